"""Stage score: compare the transcripts of all variants with the references.

One stage for all, as starting one takes longer than scoring a variant.
"""

import json
from collections.abc import Iterator, Sequence
from itertools import product
from typing import Any

import pandas as pd

from galgame_asr.core import utterances
from galgame_asr.core.files import atomic_directory, prune, write_text
from galgame_asr.core.params import load
from galgame_asr.core.paths import DECODED, DECODED_SETS, SCORED, SPLIT, VARIANTS
from galgame_asr.decoding import transcripts
from galgame_asr.messages.console import Progress, run
from galgame_asr.messages.errors import DataError
from galgame_asr.scoring import scored
from galgame_asr.scoring.params import ScoreParams
from galgame_asr.scoring.summary import summarise
from galgame_asr.scoring.utterances import score
from galgame_asr.scoring.words import Words, require_dictionary


def main(_arguments: Sequence[str]) -> None:
    """Score every checkpoint with every prompt."""
    params = load(ScoreParams, "score")
    require_dictionary(params.dictionary)
    names = list(_variants())
    # DVC hashes the folder, so what other params left behind there must go.
    prune(DECODED, {f"{name}.jsonl" for name in names})
    references = {set_: utterances.read(SPLIT / f"{set_}.parquet") for set_ in DECODED_SETS}
    words = Words()
    with (
        atomic_directory(SCORED) as tables,
        atomic_directory(VARIANTS) as summaries,
        Progress("score", total=len(names), unit="variants") as progress,
    ):
        for name in names:
            file = DECODED / f"{name}.jsonl"
            decoded = transcripts.read(file)
            found = {}
            for set_, rows in references.items():
                try:
                    found[set_] = score(set_, rows, decoded.get(set_, {}), params.normalise, words)
                except DataError as error:
                    raise DataError(f"{file}, set {set_}: {error}") from None
            scored.write(tables / f"{name}.parquet", pd.concat(found.values(), ignore_index=True))
            sets = {set_: summarise(rows) for set_, rows in found.items() if len(rows)}
            text = json.dumps(sets, ensure_ascii=False, indent=1) + "\n"
            write_text(summaries / f"{name}.json", text)
            progress.update(1, name)


def _variants() -> Iterator[str]:
    checkpoints = load(tuple[str, ...], "decode.checkpoints")
    for checkpoint, prompt in product(checkpoints, load(dict[str, Any], "prompts")):
        yield f"{checkpoint}-{prompt}"


if __name__ == "__main__":
    run(main)
