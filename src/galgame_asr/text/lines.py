"""The lines of text files that people and other programs wrote."""

import codecs

from galgame_asr.messages.errors import DataError


def lines(data: bytes, name: str) -> list[str]:
    """Cut a UTF-8 file into its lines, without their ends and without a byte order mark.

    LF or CRLF ends a line and nothing else does: U+2028, U+0085 and the like, at which
    `str.splitlines` cuts, stand inside of texts.

    Args:
        data: the file's bytes.
        name: of the file, for messages.

    Raises:
        DataError: a line is not UTF-8; the message has its number.
    """
    found = []
    for number, line in enumerate(data.removeprefix(codecs.BOM_UTF8).split(b"\n"), 1):
        try:
            found.append(line.removesuffix(b"\r").decode("utf-8"))
        except UnicodeDecodeError as error:
            raise DataError(
                f"{name} line {number} is not UTF-8 ({error.reason} at byte {error.start}); save "
                "it as UTF-8, from Shift_JIS by `iconv -f cp932 -t utf-8`"
            ) from None
    return found[:-1] if not found[-1] else found
