"""Checks of an utterance's text file."""

import re
from collections.abc import Iterable

from galgame_asr.manifests.checks import markup
from galgame_asr.text.letters import letters

BOM = "\ufeff"
# Everything str.splitlines takes for a line's end, and tabs, which part columns.
LINE_BREAKS = re.compile("[\r\n\t\v\f\x1c-\x1e\x85\u2028\u2029]+")


def check(
    data: bytes | None, charset: re.Pattern[str] | None, clean: Iterable[str] = ()
) -> tuple[str, list[str]]:
    """The text of a file, cleaned so that it is one line, and what is wrong with it.

    Args:
        data: the file's bytes; None if there is no file.
        charset: matches the characters this corpus may have; None allows all.
        clean: rules of `markup`, whose finds are taken out.
    """
    if data is None:
        return "", ["text_missing"]
    flags = []
    try:
        text = data.decode("utf-8")
    except UnicodeDecodeError:
        flags.append("text_not_utf8")
        text = data.decode("utf-8", "replace")
    if BOM in text:
        flags.append("text_bom")
        text = text.replace(BOM, "")
    if "\0" in text:
        flags.append("text_nul")
        text = text.replace("\0", "")
    if markup.holds_markup(text):
        flags.append("text_markup")
        text = markup.clean(text, clean)
    text = text.strip()
    if LINE_BREAKS.search(text):
        flags.append("text_multiline")
        text = LINE_BREAKS.sub(" ", text)
    if not text:
        flags.append("text_empty")
    elif not letters(text):
        flags.append("text_symbols")
    if charset and charset.sub("", text):
        flags.append("text_charset")
    return text, flags
