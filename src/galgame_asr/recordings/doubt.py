"""Texts that a model likely made up: loops, and more than anyone can say."""

from typing import Literal

from galgame_asr.scoring.hallucination import longest_loop
from galgame_asr.text.normalise import normalise

Guard = Literal["drop", "mark", "keep"]  # what happens to such a text
MARK = "［？］"  # stands before one that is marked
# Nobody says more letters in a second: fast Japanese has some 12 of kana and kanji, and the pieces
# have a margin of silence at both ends.
MAX_SPOKEN_PER_S = 20.0


def doubt(text: str, duration_s: float) -> str | None:
    """Why a text is likely made up, or None.

    >>> doubt("好き好き好き好き好き好き好き", 3.0)
    'repeats itself: 14 letters'
    >>> doubt("ご視聴ありがとうございました、またね。", 0.5)
    '34 letters a second'
    >>> doubt("葵、おはよう。", 1.0)
    """
    heard = normalise(text)
    if loop := longest_loop(heard):
        return f"repeats itself: {loop} letters"
    if len(heard) > MAX_SPOKEN_PER_S * duration_s:
        return f"{len(heard) / duration_s:.0f} letters a second"
    return None
