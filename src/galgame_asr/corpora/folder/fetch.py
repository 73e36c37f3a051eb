"""The user's own recordings: a folder of audio and text files, a table, or Kaldi's lists."""

import contextlib
import io
import json
import math
import os
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from unicodedata import normalize

import numpy as np
import soundfile as sf

from galgame_asr.core.reader import decode, is_counted
from galgame_asr.corpora.folder.params import Folder
from galgame_asr.messages.console import log
from galgame_asr.messages.errors import DataError
from galgame_asr.shards import folder as shards
from galgame_asr.shards.folder import Shard, Utterance
from galgame_asr.text.lines import by_id, lines

EXTENSIONS = {".wav", ".flac", ".ogg", ".oga", ".opus", ".mp3", ".aif", ".aiff"}
# What people record with and libsndfile does not read: named rather than passed over.
OTHER_MEDIA = {
    ".m4a", ".aac", ".wma", ".mp4", ".m4b", ".mkv", ".mka", ".mov", ".webm", ".amr", ".3gp", ".ape",
    ".wv", ".caf", ".avi", ".ts",
}  # fmt: skip
FORK = "._"  # how macOS begins the name of a second file where a disk has no room in the first
SHOWN = 5
MAX_OVERSHOOT_S = 0.5  # of a segment's end, which is rounded: as Kaldi's extract-segments
NO_ID = re.compile("[\0\ud800-\udfff]")  # ends a name in a tar, or is half of a character


@dataclass(frozen=True)
class Recording:
    """An utterance: one audio file, or a part of one, and its text; None for what is not there."""

    id: str
    audio: Path | None
    text: str | None
    span_s: tuple[float, float] | None = None  # start and end in the file; None: all of it


def fetch(name: str, corpus: Folder, directory: Path) -> list[Shard]:
    """Copy the recordings into shards, sorted by id; see `corpora.fetch`."""
    try:
        found = recordings(Path(corpus.path))
    except DataError as error:
        raise DataError(f"corpora.{name}.path: {error}") from None
    except OSError as error:
        raise DataError(
            f"corpora.{name}.path: {error.filename} cannot be read: {error.strerror}"
        ) from None

    def utterances(start: int) -> Iterator[Utterance]:
        for recording in found[start:]:
            extension, audio = _audio(recording)
            yield Utterance(recording.id, extension, audio, recording.text)

    return shards.write(directory, name, utterances, shard_size=corpus.shard_size, total=len(found))


def recordings(path: Path) -> list[Recording]:
    """The recordings of a folder or table, sorted by id.

    Raises:
        DataError: it is neither, holds none, or says what cannot be; the message names the line.
    """
    if path.suffix in (".tsv", ".jsonl") and path.is_file():
        found = _table(path)
    elif (path / "wav.scp").is_file():
        found = _kaldi(path)
    elif path.is_dir():
        found = _tree(path)
    else:
        raise DataError(f"{path} is neither a folder nor a .tsv or .jsonl file")
    in_order = sorted(found, key=lambda recording: recording.id)
    if not in_order:
        raise DataError(f"{path} holds no recording ({', '.join(sorted(EXTENSIONS))})")
    for recording in in_order:
        if NO_ID.search(recording.id):
            raise DataError(f"{path}: {recording.id!r} is no id; allowed: whole characters, no NUL")
    return in_order


def _audio(recording: Recording) -> tuple[str, bytes | None]:
    """Extension and bytes of an utterance's audio; without bytes where there is no file."""
    path = recording.audio
    try:
        if path is None or not path.is_file():
            return "wav", None
        if recording.span_s is None:
            return path.suffix.lstrip(".").lower(), path.read_bytes()
    except OSError as error:  # also of a name that is too long to be one
        raise DataError(f"{recording.id!r}: {path} cannot be read: {error.strerror}") from None
    try:
        return "wav", _cut(path, *recording.span_s)
    except (DataError, sf.SoundFileError) as error:
        raise DataError(f"segment {recording.id!r} of {path}: {error}") from None


def _cut(path: Path, start_s: float, end_s: float) -> bytes:
    """A part of an audio file as WAV; one that ends a little behind the file's end ends there."""
    with sf.SoundFile(path) as file:
        rate_hz, frames = file.samplerate, file.frames
        first, last = round(start_s * rate_hz), round(end_s * rate_hz)
        whole = None
        if not is_counted(file, path.stat().st_size):
            whole = (decode(path.read_bytes())[0] * 32768).astype(np.int16)
            frames = len(whole)
        if first >= frames or last > frames + MAX_OVERSHOOT_S * rate_hz:
            raise DataError(f"it ends at {end_s:g} s, and the file at {frames / rate_hz:g} s")
        last = min(last, frames)
        if whole is None:
            file.seek(first)
            samples = file.read(last - first, dtype="int16")
        else:
            samples = whole[first:last]
    if len(samples) < last - first:
        raise DataError("the file is cut short")
    buffer = io.BytesIO()
    sf.write(buffer, samples, rate_hz, format="WAV", subtype="PCM_16")
    return buffer.getvalue()


def _tree(root: Path) -> Iterator[Recording]:
    """Audio anywhere below a folder and .txt of the same stem: a row for each of either."""
    audio: dict[str, list[Path]] = {}
    texts: dict[str, Path] = {}
    others, num_forks = [], 0
    for path in sorted(root.rglob("*")):
        id_, suffix = _id(path.relative_to(root)), path.suffix.lower()
        if path.is_dir():
            continue
        if path.name.startswith(FORK):
            num_forks += 1
        elif suffix in EXTENSIONS:
            audio.setdefault(id_, []).append(path)
        elif suffix == ".txt":
            texts[id_] = path
        elif suffix in OTHER_MEDIA:
            others.append(path)
    if num_forks:
        log.info(
            "%s: %d files %s*, which macOS keeps notes in, are left out", root, num_forks, FORK
        )
    if others:
        shown = ", ".join(str(path.relative_to(root)) for path in others[:SHOWN])
        log.warning(
            "%d files of a kind that is not taken: %s; convert them, as by `ffmpeg -i %s %s`",
            len(others), shown, others[0].name, others[0].with_suffix(".flac").name,
        )  # fmt: skip
    for id_ in audio.keys() | texts.keys():
        text = texts[id_].read_text("utf-8", "surrogateescape") if id_ in texts else None
        for file in audio.get(id_) or (None,):
            yield Recording(id_, file, text)


def _id(path: Path) -> str:
    """A path without its suffix: composed, as macOS does not write it, and of whole characters.

    A name that came out of a zip of a Japanese Windows need not be UTF-8.
    """
    name = os.fsencode(path.with_suffix("")).decode("utf-8", "backslashreplace")
    return normalize("NFC", name)


def _table(path: Path) -> Iterator[Recording]:
    """Rows with `audio` (a path, relative to the table) and `text`; `id` if there is one."""
    for number, row in _rows(path):
        where = f"{path} line {number}"
        audio = _value(row, "audio", where)
        if not audio:
            raise DataError(f"{where} has no column audio; its columns: {_shown(row)}")
        if not Path(audio).name:
            raise DataError(f"{where}: audio is {audio!r}; allowed: the path of a file")
        id_ = _value(row, "id", where) or Path(audio).with_suffix("").as_posix().lstrip("./")
        yield Recording(id_, _file(path.parent, audio), _value(row, "text", where))


def _file(root: Path, name: str) -> Path:
    """A file that a list names: as Windows or macOS spell it, where it is not there as written."""
    with contextlib.suppress(OSError):  # no name at all; it will be said when the file is read
        for spelt in (name, name.replace("\\", "/")):
            for form in (spelt, normalize("NFC", spelt), normalize("NFD", spelt)):
                if (root / form).is_file():
                    return root / form
    return root / name


def _rows(path: Path) -> Iterator[tuple[int, dict[str, Any]]]:
    """The rows of a table with the numbers of their lines."""
    numbered = [(n, line) for n, line in enumerate(lines(path.read_bytes(), str(path)), 1)]
    if path.suffix == ".jsonl":
        for number, line in numbered:
            if line.strip():
                yield number, _object(line, f"{path} line {number}")
        return
    if not numbered:
        return
    columns = numbered[0][1].split("\t")
    for number, line in numbered[1:]:
        cells = line.split("\t")
        if len(cells) > len(columns):
            raise DataError(
                f"{path} line {number} has {len(cells)} columns, and the first line "
                f"{len(columns)} ({_shown(columns)}); a tab in a text must go: {line!r}"
            )
        if line.strip():
            yield number, dict(zip(columns, cells, strict=False))


def _object(line: str, where: str) -> dict[str, Any]:
    try:
        found = json.loads(line)
    except (ValueError, RecursionError) as error:
        raise DataError(f"{where} is not JSON: {error}") from None
    if not isinstance(found, dict):
        raise DataError(
            f"{where} is {type(found).__name__}: {line:.80}; allowed: an object like "
            '{"audio": "a.wav", "text": "はい"}'
        )
    return found


def _value(row: dict[str, Any], column: str, where: str) -> str | None:
    """The text in a column; None where there is none."""
    value = row.get(column)
    if value is None or isinstance(value, str):
        return value
    raise DataError(
        f"{where}: {column} is {json.dumps(value, ensure_ascii=False):.80} "
        f"({type(value).__name__}); allowed: text in quotes"
    )


def _kaldi(root: Path) -> Iterator[Recording]:
    """wav.scp ("ID PATH"), text ("ID TEXT") and, if there is one, segments ("ID FILE START END").

    As Kaldi and the seed's tools write them; a row for each id of either side.
    """
    texts = _listed(root / "text") if (root / "text").is_file() else {}
    files: dict[str, Path] = {}
    for id_, audio in _listed(root / "wav.scp").items():
        if audio.endswith("|"):
            raise DataError(f"{root / 'wav.scp'}: {id_!r} is a command, not a file: {audio}")
        files[id_] = _file(root, audio)
    spans: dict[str, tuple[str, tuple[float, float] | None]]
    segments = root / "segments"
    if segments.is_file():
        spans = {id_: _span(segments, id_, rest) for id_, rest in _listed(segments).items()}
    else:
        spans = {id_: (id_, None) for id_ in files}
    for id_ in spans.keys() | texts.keys():
        file, span_s = spans.get(id_, (None, None))
        yield Recording(id_, files.get(file) if file else None, texts.get(id_), span_s)


def _span(path: Path, id_: str, rest: str) -> tuple[str, tuple[float, float]]:
    """The file of a segment, and where it starts and ends in it."""
    try:
        file, start, end = rest.split()
        span_s = float(start), float(end)
    except ValueError:
        span_s = 0.0, 0.0
    if not 0 <= span_s[0] < span_s[1] < math.inf:
        raise DataError(
            f"{path}: {id_!r} has {rest!r}; allowed: a file of wav.scp, start and end in seconds"
        )
    return file, span_s


def _listed(path: Path) -> dict[str, str]:
    return by_id(path.read_bytes(), str(path))


def _shown(names: Any) -> str:
    """Names with what cannot be seen in them."""
    return ", ".join(repr(str(name)) for name in names)
