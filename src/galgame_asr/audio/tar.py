"""Tar shards: an index of where each member's bytes lie, and deterministic writing.

The tar layout (POSIX ustar, pax and GNU long names): a 512-byte header with the
name, an octal size and a checksum, then the payload padded to 512 bytes; two
zero blocks end the archive.
"""

import io
import tarfile
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from galgame_asr.errors import DataError
from galgame_asr.files import atomic_path
from galgame_asr.paths import HOW_TO_GET_SHARDS

BLOCK = 512


@dataclass(frozen=True)
class Member:
    """One regular file in a tar: its name, and where its bytes are."""

    name: str
    offset: int
    size: int


def members(path: Path) -> Iterator[Member]:
    """Walk a tar's headers without reading payloads.

    Unlike `tarfile`, which ends quietly at some damage, a tar that is cut short
    or holds something else is an error: a lost tail must not look like less data.

    Raises:
        DataError: the file is missing, is no tar, or ends inside a member or
            before its end marker; the message names the byte offset.
    """
    try:
        end = path.stat().st_size
    except FileNotFoundError:
        raise DataError(f"shard {path} is missing; {HOW_TO_GET_SHARDS}") from None
    with path.open("rb") as stream:
        yield from _walk(stream, path, end)


def _walk(stream: BinaryIO, path: Path, end: int) -> Iterator[Member]:
    position = 0
    long_name = None
    while True:
        stream.seek(position)
        header = stream.read(BLOCK)
        if len(header) < BLOCK:
            raise DataError(f"shard {path} is truncated at byte {position}: no end marker")
        if header == bytes(BLOCK):
            return
        info = _parse(header, path, position)
        offset = position + BLOCK
        position = offset + -(-info.size // BLOCK) * BLOCK
        if offset + info.size > end:
            raise DataError(
                f"shard {path} is truncated: member {info.name} needs bytes {offset} to "
                f"{offset + info.size}, the file ends at {end}"
            )
        if info.type == tarfile.GNUTYPE_LONGNAME:
            long_name = stream.read(info.size).rstrip(b"\0").decode("utf-8", "surrogateescape")
        elif info.type == tarfile.XHDTYPE:
            long_name = _pax_path(stream.read(info.size)) or long_name
        else:
            if info.isreg():
                yield Member(long_name or info.name, offset, info.size)
            long_name = None


def _parse(header: bytes, path: Path, position: int) -> tarfile.TarInfo:
    try:
        return tarfile.TarInfo.frombuf(header, "utf-8", "surrogateescape")
    except tarfile.HeaderError as error:
        raise DataError(f"shard {path} is not a tar at byte {position}: {error}") from None


def _pax_path(records: bytes) -> str | None:
    """The `path` among pax records of the form "LENGTH KEY=VALUE" and a newline."""
    while records:
        length = int(records.split(b" ", 1)[0])
        key, _, value = records[:length].split(b" ", 1)[1].rstrip(b"\n").partition(b"=")
        if key == b"path":
            return value.decode("utf-8", "surrogateescape")
        records = records[length:]
    return None


def write(path: Path, files: Iterable[tuple[str, bytes]]) -> None:
    """Write (name, content) pairs as a tar whose bytes depend on nothing else."""
    with (
        atomic_path(path) as temporary,
        tarfile.open(temporary, "w", format=tarfile.USTAR_FORMAT) as tar,
    ):
        for name, content in files:
            info = tarfile.TarInfo(name)  # owner, group and time are zero
            info.size = len(content)
            tar.addfile(info, io.BytesIO(content))
