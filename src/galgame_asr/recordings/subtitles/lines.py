"""Lines of Japanese subtitles: broken between phrases, two of them at most."""

import unicodedata
from functools import lru_cache
from itertools import accumulate

from galgame_asr.messages.packages import of_extra

with of_extra("subtitle"):
    import budoux

# No line begins with these, nor ends with those (the core of JIS X 4051).
NOT_FIRST = (
    "。、，．！？!?,.…‥・ー〜～」』）］】〉》”’)"
    "ぁぃぅぇぉっゃゅょゎァィゥェォッャュョヮヵヶ々ゝゞヽヾ"
)
NOT_LAST = "「『（［【〈《“‘("
# A break after these is worth lines that differ by so many characters more.
PAUSES = "。、！？!?…"
PAUSE_BONUS = 6


def width(text: str) -> float:
    """Width in full-width characters: Latin letters and half-width kana count half.

    >>> width("葵OK…")
    3.0
    """
    return sum(
        1.0 if unicodedata.east_asian_width(character) in "WFA" else 0.5
        for character in text
        if not unicodedata.combining(character)
    )


def wrap(text: str, limit: float) -> tuple[str, ...] | None:
    """Break a text into one or two lines of at most `limit` full-width characters.

    Two lines are of similar width and break between phrases; inside of one only
    where nothing else fits.

    Returns:
        The lines, or None if the text does not fit.
    """
    if width(text) <= limit:
        return (text,)
    if width(text) > 2 * limit:
        return None
    for places in (phrase_starts(text), character_starts(text)):
        pairs = [(text[:at].rstrip(), text[at:].lstrip()) for at in places]
        fitting = [pair for pair in pairs if max(map(width, pair)) <= limit]
        if fitting:
            return min(fitting, key=_unevenness)
    return None


def phrase_starts(text: str) -> list[int]:
    """Where phrases begin, the first one left out."""
    starts = set(accumulate(map(len, _parser().parse(text))))
    return [at for at in character_starts(text) if at in starts]


def character_starts(text: str) -> list[int]:
    """Where a line may begin, if need be inside of a word."""
    return [
        at
        for at in range(1, len(text))
        if text[at] not in NOT_FIRST
        and text[at - 1] not in NOT_LAST
        and not unicodedata.combining(text[at])
        and not (_is_latin(text[at - 1]) and _is_latin(text[at]))
    ]


def _unevenness(pair: tuple[str, str]) -> float:
    first, second = pair
    return abs(width(first) - width(second)) - PAUSE_BONUS * (first[-1:] in PAUSES)


def _is_latin(character: str) -> bool:
    return character.isascii() and character.isalnum()


@lru_cache(1)
def _parser() -> budoux.Parser:
    return budoux.load_default_japanese_parser()
