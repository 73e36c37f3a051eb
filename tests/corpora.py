"""Corpora of a test's own files, as stages fetch and manifest make them."""

import dataclasses
from collections.abc import Hashable
from pathlib import Path
from typing import Any

from galgame_asr.core import utterances
from galgame_asr.core.params import parse
from galgame_asr.corpora.common import fetch as corpora
from galgame_asr.manifests.index import Corpus, index
from galgame_asr.manifests.params import FlagSeverity
from tests.fuzz_readers import MANIFEST

Row = dict[Hashable, Any]
FLAGS = [field.name for field in dataclasses.fields(FlagSeverity)]
WARN = dataclasses.replace(
    MANIFEST,
    severity=parse(FlagSeverity, dict.fromkeys(FLAGS, "warn"), "severity"),
    min_duration_s=0.05,
)


def manifest(corpus: corpora.Entry) -> dict[str, Row]:
    """The rows of a corpus by id, below the present folder; no flag stops it."""
    directory = Path("data/raw/c")
    directory.mkdir(parents=True, exist_ok=True)
    corpora.fetch("c", corpus, directory)
    index(Corpus("c", directory, WARN), Path("c.parquet"), Path(".scratch/index"))
    rows = utterances.read(Path("c.parquet")).to_dict("records")
    return {row["id"]: row | {"flags": list(row["flags"])} for row in rows}


def put(folder: Path, files: dict[str, bytes | str]) -> Path:
    """Write files by their names in a folder."""
    for name, content in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content.encode() if isinstance(content, str) else content)
    return folder
