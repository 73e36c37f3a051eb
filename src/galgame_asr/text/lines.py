"""The lines of text files that people and other programs wrote."""

import codecs
import io
import re
from collections.abc import Iterable, Iterator

from galgame_asr.messages.errors import DataError

BLANKS = re.compile("[ \t]+")


def lines(data: bytes, name: str) -> list[str]:
    """Cut a UTF-8 file into its lines, without their ends and without a byte order mark.

    LF or CRLF ends a line and nothing else does: U+2028, U+0085 and the like, at which
    `str.splitlines` cuts, stand inside of texts.

    Args:
        data: the file's bytes.
        name: of the file, for messages.

    Raises:
        DataError: a line is not UTF-8, and the message has its number; or other line ends.
    """
    if data.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        raise DataError(
            f"{name} is UTF-16, as Excel and Windows call Unicode; save it as UTF-8, by "
            "`iconv -f utf-16 -t utf-8`"
        )
    if b"\n" not in data and b"\r" in data[:-1]:
        raise DataError(
            f"{name} ends its lines by CR alone, as Excel for Mac does; end them by LF, by "
            r"`tr '\r' '\n'`"
        )
    return list(of_stream(io.BytesIO(data), name))


def of_stream(stream: Iterable[bytes], name: str) -> Iterator[str]:
    """The same of a file that is open as bytes, one line at a time, for tables of any size."""
    for number, line in enumerate(stream, 1):
        own = line.removeprefix(codecs.BOM_UTF8) if number == 1 else line
        try:
            yield own.removesuffix(b"\n").removesuffix(b"\r").decode("utf-8")
        except UnicodeDecodeError as error:
            raise DataError(
                f"{name} line {number} is not UTF-8 ({error.reason} at byte {error.start}); save "
                "it as UTF-8, from Shift_JIS by `iconv -f cp932 -t utf-8`"
            ) from None


def by_id(data: bytes, name: str) -> dict[str, str]:
    """Read lines `ID TEXT`, as Kaldi and compute-wer have them; an ID alone has an empty text.

    Spaces and tabs part them, and not what else `str.split` takes for space: an id may hold U+3000.

    Raises:
        DataError: an id stands on two lines, or as for `lines`.
    """
    texts: dict[str, str] = {}
    for number, line in enumerate(lines(data, name), 1):
        if not line.strip():
            continue
        id_, *rest = BLANKS.split(line.strip(" \t"), maxsplit=1)
        if id_ in texts:
            raise DataError(
                f"{name}:{number}: utterance {id_!r} has a line above already; keep one"
            )
        texts[id_] = rest[0] if rest else ""
    return texts
