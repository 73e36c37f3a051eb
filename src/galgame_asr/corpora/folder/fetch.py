"""The user's own recordings: a folder of audio and text files, a table, or Kaldi's lists."""

import contextlib
import os
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from unicodedata import normalize

import soundfile as sf

from galgame_asr.core.paths import NOT_SPEECH
from galgame_asr.core.reader import decode, is_counted, part
from galgame_asr.corpora.common.types import UpstreamSet
from galgame_asr.corpora.folder import lists
from galgame_asr.corpora.folder.lists import Recording
from galgame_asr.corpora.folder.params import Folder, Kaldi
from galgame_asr.messages.console import log
from galgame_asr.messages.errors import DataError
from galgame_asr.shards import folder as shards
from galgame_asr.shards import in_place
from galgame_asr.shards.folder import Shard, Utterance

EXTENSIONS = {".wav", ".flac", ".ogg", ".oga", ".opus", ".mp3", ".aif", ".aiff"}
# What people record with and libsndfile does not read: named rather than passed over.
OTHER_MEDIA = {
    ".m4a", ".aac", ".wma", ".mp4", ".m4b", ".mkv", ".mka", ".mov", ".webm", ".amr", ".3gp", ".ape",
    ".wv", ".caf", ".avi", ".ts",
}  # fmt: skip
FORK = "._"  # how macOS begins the name of a second file where a disk has no room in the first
SHOWN = 5
MAX_OVERSHOOT_S = 0.5  # of a segment's end, which is rounded: as Kaldi's extract-segments


def fetch(name: str, corpus: Folder, directory: Path) -> list[Shard]:
    """Copy the recordings into shards, or list their files, sorted by id; see `corpora.fetch`."""
    with _named(f"corpora.{name}.path"):
        found = recordings(Path(corpus.path), corpus.kaldi)
    if corpus.not_speech:  # a text is a note about it, or of no file here
        found = [replace(one, text=None) for one in found if one.audio]
    root = None
    if not corpus.copy:
        files = [(one.audio, one.span_s) for one in found if one.audio and _is_file(one)]
        cut = dict.fromkeys(file for file, span_s in files if span_s)
        root = in_place.link(name, [file for file, _ in files], cut)
        log.info("%s: its audio stays in %s", name, root)
    write = partial(_write, directory, corpus.shard_size, root)
    if corpus.test_ids is None:
        return write(name, found, NOT_SPEECH if corpus.not_speech else None)
    with _named(f"corpora.{name}.test_ids"):
        tested = lists.ids(Path(corpus.test_ids), {recording.id for recording in found})
    rest = [recording for recording in found if recording.id not in tested]
    found = [recording for recording in found if recording.id in tested]
    # Shards are in the order of their names: of two equal rows the later has the flag.
    return [
        *write(f"{name}-test", found, "test"),
        *write(f"{name}-train", rest),
    ]


@contextlib.contextmanager
def _named(key: str) -> Iterator[None]:
    """Begin messages with the key of params that they are about."""
    try:
        yield
    except DataError as error:
        raise DataError(f"{key}: {error}") from None
    except OSError as error:
        raise DataError(f"{key}: {error.filename} cannot be read: {error.strerror}") from None


def _write(
    directory: Path,
    shard_size: int,
    root: Path | None,
    prefix: str,
    found: Sequence[Recording],
    upstream_set: UpstreamSet | None = None,
) -> list[Shard]:
    """Write the recordings as shards; with a root of their files, which stay, as lists."""

    def utterances(start: int) -> Iterator[Utterance]:
        for recording in found[start:]:
            extension, audio, frames = _audio(recording)
            file = None
            if root is not None and recording.audio is not None and audio is not None:
                file = in_place.place(root, recording.audio, frames)
            yield Utterance(recording.id, extension, audio, recording.text, file)

    return shards.write(
        directory,
        prefix,
        utterances,
        shard_size=shard_size,
        total=len(found),
        upstream_set=upstream_set,
        suffix=shards.TAR if root is None else shards.FILES,
    )


def recordings(path: Path, kaldi: Kaldi | None = None) -> list[Recording]:
    """The recordings of a folder or table, sorted by id; `kaldi` names the lists in a folder.

    Raises:
        DataError: it is neither, holds none, or says what cannot be; the message names the line.
    """
    found: Iterable[Recording]
    if path.suffix in lists.TABLES and path.is_file() and kaldi is None:
        found = lists.table(path)
    elif kaldi or (path / "wav.scp").is_file():
        found = lists.kaldi(path, kaldi)
    elif path.is_dir():
        found = _tree(path)
    else:
        raise DataError(f"{path} is neither a folder nor a {', '.join(lists.TABLES)} file")
    in_order = sorted(found, key=lambda recording: recording.id)
    if not in_order:
        raise DataError(f"{path} holds no recording ({', '.join(sorted(EXTENSIONS))})")
    for recording in in_order:
        if in_place.NO_NAME.search(recording.id):
            raise DataError(f"{path}: {recording.id!r} is no id; allowed: whole characters, no NUL")
    return in_order


def _audio(recording: Recording) -> tuple[str, bytes | None, tuple[int, int] | None]:
    """Extension and bytes of an utterance's audio, and its frames if it is a part of a file.

    Without bytes where there is no file.
    """
    path = recording.audio
    if path is None or not _is_file(recording):
        return "wav", None, None
    if recording.span_s is None:
        try:
            return path.suffix.lstrip(".").lower(), path.read_bytes(), None
        except OSError as error:
            raise DataError(f"{recording.id!r}: {path} cannot be read: {error.strerror}") from None
    try:
        frames = _frames(path, *recording.span_s)
        return "wav", part(path, *frames), frames
    except (DataError, sf.SoundFileError, TypeError) as error:  # .raw says nothing of itself
        raise DataError(f"segment {recording.id!r} of {path}: {error}") from None


def _is_file(recording: Recording) -> bool:
    try:
        return recording.audio is not None and recording.audio.is_file()
    except OSError as error:  # also of a name that is too long to be one
        raise DataError(
            f"{recording.id!r}: {recording.audio} cannot be read: {error.strerror}"
        ) from None


def _frames(path: Path, start_s: float, end_s: float) -> tuple[int, int]:
    """A part of an audio file in its frames; one that ends a little behind its end ends there."""
    with sf.SoundFile(path) as file:
        rate_hz, frames = file.samplerate, file.frames
        if not is_counted(file, path.stat().st_size):
            frames = len(decode(path.read_bytes())[0])
    first, last = round(start_s * rate_hz), round(end_s * rate_hz)
    if first >= frames or last > frames + MAX_OVERSHOOT_S * rate_hz:
        raise DataError(f"it ends at {end_s:g} s, and the file at {frames / rate_hz:g} s")
    return first, min(last, frames)


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
