"""Stage score@CHECKPOINT-PROMPT: compare one set of transcripts with the references."""

import json
from collections.abc import Sequence
from pathlib import Path

import pandas as pd

from galgame_asr.core import utterances
from galgame_asr.core.files import write_text
from galgame_asr.core.params import load
from galgame_asr.core.paths import SPLIT, TEST_SETS
from galgame_asr.decoding import transcripts
from galgame_asr.messages.console import run
from galgame_asr.messages.errors import DataError
from galgame_asr.scoring import scored
from galgame_asr.scoring.params import ScoreParams
from galgame_asr.scoring.summary import summarise
from galgame_asr.scoring.utterances import score
from galgame_asr.scoring.words import Words, require_dictionary


def main(arguments: Sequence[str]) -> None:
    """Arguments: transcripts, table of utterances to write, summary to write."""
    decoded_file, table, summary = map(Path, arguments)
    params = load(ScoreParams, "score")
    require_dictionary(params.dictionary)
    decoded, words = transcripts.read(decoded_file), Words()
    tables = {}
    for name in TEST_SETS:
        rows = utterances.read(SPLIT / f"{name}.parquet")
        try:
            tables[name] = score(name, rows, decoded.get(name, {}), params.normalise, words)
        except DataError as error:
            raise DataError(f"{decoded_file}, set {name}: {error}") from None
    scored.write(table, pd.concat(tables.values(), ignore_index=True))
    sets = {name: summarise(rows) for name, rows in tables.items() if len(rows)}
    write_text(summary, json.dumps(sets, ensure_ascii=False, indent=1) + "\n")


if __name__ == "__main__":
    run(main)
