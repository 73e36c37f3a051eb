"""Stage score@CHECKPOINT-PROMPT: errors of one set of transcripts, per test set."""

import json
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

from galgame_asr import manifest
from galgame_asr.console import run
from galgame_asr.decoding import transcripts
from galgame_asr.errors import DataError
from galgame_asr.files import write_text
from galgame_asr.paths import SPLIT, TEST_SETS
from galgame_asr.scoring.cer import count_errors


def main(arguments: Sequence[str]) -> None:
    """Arguments: transcripts, file to write."""
    decoded_file, output = map(Path, arguments)
    decoded = transcripts.read(decoded_file)
    scores = {}
    for name in TEST_SETS:
        rows = manifest.read(SPLIT / f"{name}.parquet")
        if rows.empty:
            continue
        references = dict(zip(transcripts.keys(rows), rows["text"], strict=True))
        try:
            counts = count_errors(references, decoded.get(name, {}))
        except DataError as error:
            raise DataError(f"{decoded_file}, set {name}: {error}") from None
        scores[name] = {"cer": round(counts.cer, 4), **asdict(counts)}
    write_text(output, json.dumps(scores, indent=1) + "\n")


if __name__ == "__main__":
    run(main)
