"""Shards of audio that stays where it is: lists of its files and their hashes, and the texts.

One JSON line for each utterance: `id`, `file` (below the folder at `core.paths.files_of`; with
its frames, if it is a part of one), `hash` (xxh3_128 of its bytes) and `text`; null for what is
not there.
"""

import json
import os
import re
from collections.abc import Collection, Iterable, Iterator
from pathlib import Path

import soundfile as sf
import xxhash

from galgame_asr.core.files import write_text
from galgame_asr.core.paths import HOW_TO_GET_SHARDS, IN_PLACE, files_of
from galgame_asr.core.reader import PART, is_counted, read_file
from galgame_asr.messages.errors import DataError

Line = tuple[str, str | None, str | None, str | None]  # id, file, hash, text
KEYS = ("id", "file", "hash", "text")
NO_NAME = re.compile("[\0\ud800-\udfff]")  # ends a name in a tar, or is half of a character
# Of these every version of libsndfile gives the same samples from any frame on.
LOSSLESS = {"WAV", "WAVEX", "RF64", "W64", "FLAC", "AIFF", "CAF"}
SAMPLES = ("PCM_", "FLOAT", "DOUBLE")


def link(corpus: str, files: Collection[Path], cut: Collection[Path] = ()) -> Path:
    """Link the folder below which all audio of a corpus lies, and give it.

    Args:
        corpus: its name.
        files: all files; what is stored of them is relative to that folder.
        cut: those of which parts are utterances.

    Raises:
        DataError: there is none, a name cannot be stored, or parts of a file cannot be read alone.
    """
    try:
        root = _root([file.absolute() for file in files])
        for file in cut:
            _refuse_lossy(file)
    except DataError as error:
        raise DataError(f"corpora.{corpus}.copy: {error}; set copy to true") from None
    at = files_of(corpus)
    try:
        at.parent.mkdir(parents=True, exist_ok=True)
        at.unlink(missing_ok=True)
        at.symlink_to(root)
    except OSError as error:
        raise DataError(
            f"corpora.{corpus}.copy: {at} must be a link to {root}: {error.strerror}; move it away"
        ) from None
    return root


def _root(files: list[Path]) -> Path:
    for file in files:
        if NO_NAME.search(str(file)) or PART.search(file.name):
            raise DataError(f"{str(file)!r} is no name that a table can hold, or ends as a part's")
    # Without a file there is nothing to link; the manifest will say of each that it is missing.
    root = Path(os.path.commonpath([file.parent for file in files] or [Path.cwd()]))
    if root == Path(root.anchor):
        raise DataError(
            f"{files[0]} and {files[-1]} lie below no common folder, as audio that stays must"
        )
    return root


def _refuse_lossy(file: Path) -> None:
    try:
        with sf.SoundFile(file) as opened:
            found = f"{opened.format}, {opened.subtype}"
            is_exact = opened.format in LOSSLESS and opened.subtype.startswith(SAMPLES)
            if not is_counted(opened, file.stat().st_size):
                found += ", and does not say how long it is"
            elif is_exact:
                return
    except (sf.SoundFileError, TypeError):
        found = "nothing that libsndfile reads"
    raise DataError(
        f"parts of {file}, which is {found}, cannot be read alone; those of "
        f"{', '.join(sorted(LOSSLESS))} without lossy compression can"
    )


def place(root: Path, file: Path, frames: tuple[int, int] | None = None) -> str:
    """How a list names a file below the linked folder, or a part of it: first frame, and last."""
    name = file.absolute().relative_to(root).as_posix()
    return name if frames is None else "{}#{}-{}".format(name, *frames)


def write(path: Path, files: Iterable[tuple[str, str | None, bytes | None, str | None]]) -> None:
    """List files, given as id, place, bytes and text."""
    lines = []
    for id_, file, audio, text in files:
        digest = None if audio is None else xxhash.xxh3_128_hexdigest(audio)
        # As ASCII: half of a character in a text survives.
        lines.append(json.dumps(dict(zip(KEYS, (id_, file, digest, text), strict=True))) + "\n")
    write_text(path, "".join(lines))


def read(path: Path) -> Iterator[Line]:
    """The lines of a list.

    Raises:
        DataError: it is missing or damaged.
    """
    try:
        for line in path.read_text("utf-8").splitlines():
            row = json.loads(line)
            id_, file, digest, text = (row[key] for key in KEYS)
            yield id_, file, digest, text
    except FileNotFoundError:
        raise DataError(f"shard {path} is missing; {HOW_TO_GET_SHARDS}") from None
    except (KeyError, TypeError, ValueError) as error:
        raise DataError(f"shard {path} is no list of files ({error!r})") from None


def contents(path: Path, corpus: str) -> Iterator[tuple[str, str, bytes | None, str | None]]:
    """Id, place as rows of the manifest name it, bytes and text of each utterance.

    Raises:
        DataError: as for `read`, or a file is missing or has changed.
    """
    for id_, file, digest, text in read(path):
        if file is None or digest is None:
            yield id_, "", None, text
        else:
            name = f"{IN_PLACE}{corpus}/{file}"
            yield id_, name, read_file(name, digest), text
