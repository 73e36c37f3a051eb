"""Tar shards: an index of where each member's bytes lie, and deterministic writing.

The tar layout (POSIX ustar, pax and GNU long names): a 512-byte header with the
name, an octal size and a checksum, then the payload padded to 512 bytes; two
zero blocks end the archive.
"""

import io
import tarfile
import zlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from galgame_asr.core.files import atomic_path
from galgame_asr.core.paths import HOW_TO_GET_SHARDS
from galgame_asr.messages.errors import DataError

BLOCK = 512
END = bytes(BLOCK)
REGULAR = (tarfile.REGTYPE, tarfile.AREGTYPE)
# Links and sparse files: taken for no files, they would be lost without a word.
ELSEWHERE = (tarfile.LNKTYPE, tarfile.SYMTYPE, tarfile.GNUTYPE_SPARSE)
READ_AHEAD = 1 << 20


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
        DataError: the file is missing, is no tar, ends inside a member or
            before its end marker, or goes on behind it; the message names the
            byte offset. Or a member is a link.
    """
    with _opened(path) as stream:
        yield from _walk(stream, path)


def contents(path: Path) -> Iterator[tuple[Member, bytes]]:
    """Walk a tar once from start to end, with the bytes of every member.

    Raises:
        DataError: as for `members`.
    """
    with _opened(path) as stream:
        for member in _walk(stream, path):
            stream.seek(member.offset)
            yield member, stream.read(member.size)


def _opened(path: Path) -> BinaryIO:
    try:
        return path.open("rb", buffering=READ_AHEAD)
    except FileNotFoundError:
        raise DataError(f"shard {path} is missing; {HOW_TO_GET_SHARDS}") from None


def _walk(stream: BinaryIO, path: Path) -> Iterator[Member]:
    end = path.stat().st_size
    position = 0
    long_name = None
    while True:
        stream.seek(position)
        header = stream.read(BLOCK)
        if len(header) < BLOCK:
            raise DataError(f"shard {path} is truncated at byte {position}: no end marker")
        if header == END:
            _refuse_more(stream, path)
            return
        name, size, kind = _parse(header, path, position)
        offset = position + BLOCK
        position = offset + -(-size // BLOCK) * BLOCK
        if offset + size > end:
            raise DataError(
                f"shard {path} is truncated: member {name} needs bytes {offset} to "
                f"{offset + size}, the file ends at {end}"
            )
        if kind == tarfile.GNUTYPE_LONGNAME:
            long_name = _text(stream.read(size))
        elif kind == tarfile.XHDTYPE:
            long_name = _pax_path(stream.read(size), path, offset) or long_name
        else:
            if kind in ELSEWHERE:
                raise DataError(
                    f"shard {path}: the bytes of member {long_name or name} are elsewhere, it is a "
                    "link; pack it by `tar --dereference --hard-dereference`"
                )
            if kind in REGULAR:
                yield Member(long_name or name, offset, size)
            long_name = None


def _refuse_more(stream: BinaryIO, path: Path) -> None:
    """Read to the end of the file, where zeros alone follow the end marker."""
    while block := stream.read(READ_AHEAD):
        if block.strip(b"\0"):
            raise DataError(
                f"shard {path} goes on behind its end marker, before byte {stream.tell()}: several "
                "tars in one file? unpack them by `tar --ignore-zeros`"
            )


def _parse(header: bytes, path: Path, position: int) -> tuple[str, int, bytes]:
    """Name, size and kind of the member after a header, several times as fast as `tarfile`."""
    # The checksum is the sum of the bytes, with spaces in its own place. The low half of
    # Adler-32 is that sum plus one, modulo 65521, and comes at once.
    blanked = header[:148] + b"        " + header[156:]
    try:
        if (int(header[148:156].rstrip(b" \0"), 8) + 1) % 65521 != zlib.adler32(blanked) & 0xFFFF:
            raise ValueError("bad checksum")
        # The first bit marks a size too large for octal digits, in base 256.
        large = header[124] & 0x80
        size = int.from_bytes(header[125:136]) if large else int(header[124:136].rstrip(b" \0"), 8)
        if size < 0:
            raise ValueError(f"a size of {size}")
    except ValueError as error:
        raise DataError(f"shard {path} is not a tar at byte {position}: {error}") from None
    name = _text(header[:100])
    # Only POSIX tars have a prefix; GNU keeps other things there.
    if header[257:263] == b"ustar\0" and header[345]:
        name = f"{_text(header[345:500])}/{name}"
    return name, size, header[156:157]


def _text(field: bytes) -> str:
    return field.split(b"\0", 1)[0].decode("utf-8", "backslashreplace")


def _pax_path(records: bytes, path: Path, position: int) -> str | None:
    """The `path` among pax records of the form "LENGTH KEY=VALUE" and a newline."""
    while records:
        digits = records[:20].split(b" ", 1)[0]
        length = int(digits) if digits.isdigit() else 0
        # It counts its own digits and the space too: else the next record is this one again.
        if not len(digits) < length <= len(records):
            raise DataError(
                f"shard {path} is not a tar at byte {position}: no pax record: {records[:20]!r}"
            )
        record, records = records[:length], records[length:]
        key, _, value = record[len(digits) + 1 :].rstrip(b"\n").partition(b"=")
        if key == b"path":
            return value.decode("utf-8", "backslashreplace")
    return None


def write(path: Path, files: Iterable[tuple[str, bytes]]) -> None:
    """Write (name, content) pairs as a tar whose bytes depend on nothing else."""
    with (
        atomic_path(path) as temporary,
        tarfile.open(temporary, "w", format=tarfile.PAX_FORMAT) as tar,
    ):
        for name, content in files:
            info = tarfile.TarInfo(name)  # owner, group and time are zero
            info.size = len(content)
            tar.addfile(info, io.BytesIO(content))
