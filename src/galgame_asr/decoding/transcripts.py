"""Files of transcripts: one JSON object per line with set, id, raw text and log probability."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pandas as pd

from galgame_asr.core.files import write_text
from galgame_asr.families.common.transcript import Transcript
from galgame_asr.messages.errors import DataError

# set -> utterance id -> transcript
Transcripts = dict[str, dict[str, Transcript]]


def keys(rows: pd.DataFrame) -> "pd.Series[str]":
    """What names each utterance of a table: CORPUS/ID, as two corpora may have the same ids."""
    return rows["corpus"] + "/" + rows["id"]


def write(path: Path, transcripts: Mapping[str, Mapping[str, Transcript]]) -> None:
    """Write transcripts sorted by set and id."""
    lines = [
        json.dumps(_line(name, id_, by_id[id_]), ensure_ascii=False)
        for name, by_id in sorted(transcripts.items())
        for id_ in sorted(by_id)
    ]
    write_text(path, "".join(f"{line}\n" for line in lines))


def _line(name: str, id_: str, transcript: Transcript) -> dict[str, Any]:
    return {"set": name, "id": id_, **transcript.as_row()}


def read(path: Path) -> Transcripts:
    """Read transcripts.

    Raises:
        DataError: the file is missing, a line is damaged, or an id stands twice in a set.
    """
    transcripts: Transcripts = {}
    try:
        lines = path.read_bytes().split(b"\n")
    except FileNotFoundError:
        raise DataError(f"{path} is missing; `dvc repro` makes it") from None
    for number, line in enumerate(lines[:-1], start=1):
        try:
            row = json.loads(line)
            by_id = transcripts.setdefault(row["set"], {})
            id_ = row["id"]
            transcript = Transcript(row["text"], row["tokens"], row["log_prob"])
        except (KeyError, TypeError, ValueError, RecursionError) as error:
            raise DataError(f"{path}:{number} is no transcript: {error!r}") from None
        if id_ in by_id:
            raise DataError(f"{path}:{number} repeats utterance {id_} of set {row['set']}")
        by_id[id_] = transcript
    return transcripts
