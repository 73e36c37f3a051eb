"""Stage score: compare the transcripts of all variants with the references.

One stage for all, as starting one takes longer than scoring a variant.
"""

from collections.abc import Iterator, Sequence
from itertools import product
from pathlib import Path
from typing import Any

import pandas as pd

from galgame_asr.core import utterances
from galgame_asr.core.files import atomic_directory, prune
from galgame_asr.core.params import load
from galgame_asr.core.paths import DECODED, DECODED_SETS, SCORED, SPLIT, VARIANTS
from galgame_asr.decoding.transcripts import keys
from galgame_asr.messages.console import Progress, log, run
from galgame_asr.scoring import groups, names, variant
from galgame_asr.scoring.params import ScoreParams
from galgame_asr.scoring.words import Words, require_dictionary


def main(_arguments: Sequence[str]) -> None:
    """Score every checkpoint with every prompt, and the baselines."""
    params = load(ScoreParams, "score")
    require_dictionary(params.dictionary)
    files = dict(_variants())
    # DVC hashes the folder, so what other params left behind there must go.
    prune(DECODED, {str(file.relative_to(DECODED)) for file in files.values()})
    references = {set_: utterances.read(SPLIT / f"{set_}.parquet") for set_ in DECODED_SETS}
    corpora = {corpus for rows in references.values() for corpus in rows["corpus"]}
    grouping = groups.read(params.groups, corpora)
    for set_, rows in references.items():
        if grouping and (without := int(grouping.of(rows).isna().sum())):
            log.info("%s: %d of %d utterances have no group", set_, without, len(rows))
    names.check(params.names, pd.concat([keys(rows) for rows in references.values()]))
    words = Words()
    with (
        atomic_directory(SCORED) as tables,
        atomic_directory(VARIANTS) as summaries,
        Progress("score", total=len(files), unit="variants") as progress,
    ):
        for name, file in files.items():
            found = variant.score_file(file, references, params, words, grouping)
            variant.write(found, tables / f"{name}.parquet", summaries / f"{name}.json")
            progress.update(1, name)


def _variants() -> Iterator[tuple[str, Path]]:
    """Each with what was decoded of it."""
    checkpoints = load(tuple[str, ...], "decode.checkpoints")
    for checkpoint, prompt in product(checkpoints, load(dict[str, Any], "prompts")):
        yield f"{checkpoint}-{prompt}", DECODED / f"{checkpoint}-{prompt}.jsonl"
    for baseline in load(dict[str, Any], "baselines"):
        for file in sorted((DECODED / baseline).glob("*.jsonl")):
            yield f"{baseline}-{file.stem}", file


if __name__ == "__main__":
    run(main)
