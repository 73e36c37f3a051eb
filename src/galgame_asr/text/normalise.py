"""Normalising Japanese text before it is scored: what is heard stays, in one spelling.

Each rule is a function with its cases. Kana type, long vowels, っ and kanji stay as
they are: whether those are style or hearing is for the readings to tell.
"""

import re
import unicodedata

from galgame_asr.text.letters import letters
from galgame_asr.text.numbers import arabic_to_kanji, positional_to_kanji
from galgame_asr.text.params import NormaliseParams

DEFAULT = NormaliseParams()
# Spaces, zero width ones among them, and variation selectors.
_INVISIBLE = re.compile("[\\s\u200b-\u200d\u2060\ufe00-\ufe0f\ufeff]+")
# These are lost in compatibility form, so their turn is before it.
_DRAWN_OUT = str.maketrans({**dict.fromkeys("〜～〰∼∾", "ー"), "℃": "度"})
_SYMBOLS = str.maketrans({**dict.fromkeys("○●◯⚪零", "〇"), "%": "パーセント"})
_REPEATS = re.compile("[々〻ゝヽゞヾ]")
_ELONGATION = re.compile("ー+")


def normalise(text: str, rules: NormaliseParams = DEFAULT) -> str:
    """Keep what is heard: letters and numbers, each in one spelling.

    A second pass changes nothing, nor do spaces, nor does punctuation outside of
    numbers: 1、2 is one and two.

    >>> normalise("すご〜い、 ＯＫ！ 2024年の○○さん、時々5％…")
    'すごーいok二千二十四年の〇〇さん時時五パーセント'
    """
    text = arabic_to_kanji(symbols(compatible(text)))
    # Without what stood between them, parts of a Hangul syllable can be composed.
    text = unicodedata.normalize("NFKC", letters(text))
    if rules.iteration_marks:
        text = repeat(text)
    if rules.elongation == "collapse":
        text = collapse(text)
    return positional_to_kanji(text)


def compatible(text: str) -> str:
    """Unicode's compatibility form in lower case, without spaces; wave dashes draw out.

    >>> compatible("すご〜い すご～い、ＯＫ　ｶﾞﾝﾊﾞﾚ ①番 ㌔")
    'すごーいすごーい、okガンバレ1番キロ'
    >>> compatible("え―っ")  # a dash is punctuation
    'え―っ'
    >>> compatible("25℃")
    '25度'
    """
    text = _INVISIBLE.sub("", text).translate(_DRAWN_OUT)
    return unicodedata.normalize("NFKC", text).casefold()


def symbols(text: str) -> str:
    """One circle for names left out and for zero; percent as it is read.

    >>> symbols("○○さん、◯●、零、50%")
    '〇〇さん、〇〇、〇、50パーセント'
    """
    return text.translate(_SYMBOLS)


def repeat(text: str) -> str:
    """Write what an iteration mark repeats; one that leads has nothing to repeat.

    >>> repeat("時々、いすゞ、こゝろ")
    '時時、いすず、こころ'
    >>> repeat("々")
    '々'
    """
    if not _REPEATS.search(text):
        return text
    written: list[str] = []
    for char in text:
        if not written or not _REPEATS.match(char):
            written.append(char)
        elif char in "ゞヾ":
            voiced = unicodedata.normalize("NFC", written[-1] + "\u3099")
            written.append(voiced if len(voiced) == 1 else written[-1])
        else:
            written.append(written[-1])
    return unicodedata.normalize("NFC", "".join(written))  # Hangul again


def collapse(text: str) -> str:
    """One ー for a run of them.

    >>> collapse("すごーーーい")
    'すごーい'
    """
    return _ELONGATION.sub("ー", text)
