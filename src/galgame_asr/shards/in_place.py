"""Shards of audio that stays where it is: lists of its files and their hashes, and the texts.

One JSON line for each utterance: `id`, `file` (below the folder at `core.paths.files_of`), `hash`
(xxh3_128 of its bytes) and `text`; null for what is not there.
"""

import json
from collections.abc import Iterable, Iterator
from pathlib import Path

import xxhash

from galgame_asr.core.files import write_text
from galgame_asr.core.paths import HOW_TO_GET_SHARDS, IN_PLACE
from galgame_asr.core.reader import read_file
from galgame_asr.messages.errors import DataError

Line = tuple[str, str | None, str | None, str | None]  # id, file, hash, text
KEYS = ("id", "file", "hash", "text")


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
