"""Subtitle files: SRT, WebVTT and ASS."""

from collections.abc import Sequence
from typing import Literal

from galgame_asr.messages.packages import of_extra
from galgame_asr.recordings.subtitles.cues import Cue

with of_extra("subtitle"):
    import pysubs2

Format = Literal["srt", "vtt", "ass"]

# These are markup in one format or another; their full-width forms look alike and are none.
_MARKUP = str.maketrans("<>&{}\\", "＜＞＆｛｝＼")
# ASS lengths are in pixels of a screen that the file names. A line of 20 characters of this size
# is three quarters as wide as the screen; libass's default of 384 x 288 would break it again.
SCREEN = {"PlayResX": "1920", "PlayResY": "1080"}
FONT_SIZE = 72.0


def text(cues: Sequence[Cue], format_: Format) -> str:
    """The content of a subtitle file."""
    file = pysubs2.SSAFile()
    file.info |= SCREEN
    style = file.styles["Default"]
    style.fontsize, style.outline, style.marginv = FONT_SIZE, 4.0, 60
    for cue in cues:
        event = pysubs2.SSAEvent(start=_ms(cue.start_s), end=_ms(cue.end_s))
        event.plaintext = "\n".join(cue.lines).translate(_MARKUP)
        file.append(event)
    return file.to_string(format_)


def _ms(seconds: float) -> int:
    return round(seconds * 1000)
