"""The cues of subtitle files: SRT, WebVTT, ASS and SSA."""

import html
import re
from pathlib import Path

from galgame_asr.corpora.recordings.timing import Cue
from galgame_asr.messages.console import log
from galgame_asr.messages.errors import DataError
from galgame_asr.messages.packages import of_extra
from galgame_asr.text.lines import lines

with of_extra("subtitle"):
    import pysubs2

SUFFIXES = (".srt", ".vtt", ".ass", ".ssa")
# A line's end between Latin words is a space, and between other letters nothing.
_BETWEEN_WORDS = re.compile(r"(?<=[!-~])\s*\n\s*(?=[!-~])")
_LINE_END = re.compile(r"\s*\n\s*")


def read(path: Path) -> list[Cue]:
    """The cues of a file in the order of their starts, each with its text in one line.

    Comments, drawings and cues without a text say nothing; one that stands twice is one.

    Raises:
        DataError: it is not UTF-8, of another format than its name says, or has no cue.
    """
    text = "\n".join(lines(path.read_bytes(), str(path)))
    try:
        file = pysubs2.SSAFile.from_string(text, path.suffix[1:].lower())
    except (pysubs2.Pysubs2Error, ValueError, LookupError) as error:
        raise DataError(f"{path} is no {path.suffix[1:]} file: {error}") from None
    found, num_empty = set(), 0
    for event in file:
        if event.is_comment or event.is_drawing:
            continue
        said = html.unescape(event.plaintext) if path.suffix == ".vtt" else event.plaintext
        cue = Cue(event.start / 1000, event.end / 1000, one_line(said))
        if cue.text and 0 <= cue.start_s < cue.end_s:
            found.add(cue)
        else:
            num_empty += 1
    if num_empty:
        log.info("%s: %d cues without a text or without a time say nothing", path, num_empty)
    if not found:
        raise DataError(f"{path} has no cue; take it away, and the recording is a draft")
    return sorted(found, key=lambda cue: (cue.start_s, cue.end_s, cue.text))


def one_line(text: str) -> str:
    r"""A text without line ends.

    >>> one_line("おはよう、\n葵。"), one_line("Good\nmorning.")
    ('おはよう、葵。', 'Good morning.')
    """
    return _LINE_END.sub("", _BETWEEN_WORDS.sub(" ", text.strip()))
