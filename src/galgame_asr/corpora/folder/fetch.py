"""The user's own recordings: a folder of audio and text files, a table, or Kaldi's two lists."""

import csv
import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from galgame_asr.corpora.folder.params import Folder
from galgame_asr.messages.errors import DataError
from galgame_asr.shards import folder as shards
from galgame_asr.shards.folder import Shard, Utterance

EXTENSIONS = {".wav", ".flac", ".ogg", ".opus", ".mp3"}


@dataclass(frozen=True)
class Recording:
    """One audio file and its text; None if there is no text."""

    id: str
    audio: Path
    text: str | None


def fetch(name: str, corpus: Folder, directory: Path) -> list[Shard]:
    """Copy the recordings into shards, sorted by id; see `corpora.fetch`."""
    path = Path(corpus.path)
    if path.suffix in (".tsv", ".jsonl") and path.is_file():
        found = _table(path)
    elif (path / "wav.scp").is_file():
        found = _kaldi(path)
    elif path.is_dir():
        found = _tree(path)
    else:
        raise DataError(
            f"corpora.{name}.path: {path} is neither a folder nor a .tsv or .jsonl file"
        )
    recordings = sorted(found, key=lambda recording: recording.id)
    if not recordings:
        kinds = ", ".join(sorted(EXTENSIONS))
        raise DataError(f"corpora.{name}.path: {path} holds no recording ({kinds})")

    def utterances(start: int) -> Iterator[Utterance]:
        for recording in recordings[start:]:
            audio = recording.audio.read_bytes() if recording.audio.is_file() else None
            extension = recording.audio.suffix.lstrip(".").lower()
            yield Utterance(recording.id, extension, audio, recording.text)

    return shards.write(
        directory, name, utterances, shard_size=corpus.shard_size, total=len(recordings)
    )


def _tree(root: Path) -> Iterator[Recording]:
    """Audio files anywhere below a folder, each with a .txt of its stem beside it."""
    for path in root.rglob("*"):
        if path.suffix.lower() in EXTENSIONS:
            text = path.with_suffix(".txt")
            yield Recording(
                path.relative_to(root).with_suffix("").as_posix(),
                path,
                text.read_text("utf-8", "surrogateescape") if text.is_file() else None,
            )


def _table(path: Path) -> Iterator[Recording]:
    """Rows with `audio` (a path, relative to the table) and `text`; `id` if there is one."""
    with path.open(encoding="utf-8", newline="") as stream:
        rows: list[dict[str, Any]]
        try:
            if path.suffix == ".jsonl":
                rows = [json.loads(line) for line in stream if line.strip()]
            else:
                rows = list(csv.DictReader(stream, delimiter="\t", quoting=csv.QUOTE_NONE))
        except ValueError as error:
            raise DataError(f"{path} is not as its name says: {error}") from None
    for number, row in enumerate(rows, 1):
        if not row.get("audio"):
            raise DataError(f"{path} row {number} has no column audio: {row}")
        audio = path.parent / row["audio"]
        id_ = row.get("id") or Path(row["audio"]).with_suffix("").as_posix().lstrip("./")
        yield Recording(str(id_), audio, row.get("text"))


def _kaldi(root: Path) -> Iterator[Recording]:
    """wav.scp ("ID PATH") and text ("ID TEXT"), as Kaldi and the seed's tools write them."""
    texts = dict(_lines(root / "text")) if (root / "text").is_file() else {}
    for id_, audio in _lines(root / "wav.scp"):
        if audio.endswith("|"):
            raise DataError(f"{root / 'wav.scp'}: {id_} is a command, not a file: {audio}")
        yield Recording(id_, root / audio, texts.get(id_))


def _lines(path: Path) -> Iterator[tuple[str, str]]:
    for line in path.read_text(encoding="utf-8").splitlines():
        if line.strip():
            id_, *rest = line.split(maxsplit=1)
            yield id_, rest[0] if rest else ""
