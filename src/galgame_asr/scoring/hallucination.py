"""What went wrong with a whole hypothesis: marks on an utterance, several at a time.

Most count what a model made up or left out. Two are about the reference: `non_verbal`, where
there are hardly any words to recognise, and `suspect_label`, where it seems to be cut short.
"""

import re
import unicodedata
from collections.abc import Iterator
from dataclasses import dataclass

from rapidfuzz.distance import Levenshtein

from galgame_asr.scoring.scripts import KANJI, LATIN
from galgame_asr.scoring.words import katakana

CHINESE_COMMA = "，"
MIN_TRUNCATED = 10  # characters of a reference; a shorter one loses 60 % by one slip
TRUNCATED = 0.4

# A unit of up to 10 characters, said at least four times and over at least 12 characters. The
# shortest unit comes first, so that ああああ is not a loop of ああ.
_LOOP = re.compile(
    "|".join(f"(.{{{size}}})\\{size}{{{max(4, -(-12 // size)) - 1},}}" for size in range(1, 11))
)

# Breath and voice without words, in katakana: vowels, the h row, ん, and what goes with them in
# うわっ, くっ, きゃー, ふみゅ; ちゅ and れろ of kisses.
_SOUNDS = re.compile(
    r"(?:[アイウエオハヒフヘホワンクグムァィゥェォッー]|[キヒフミ][ャュョ]|[チジヂ]ュ(?!ウ)[パプル]*|レロ)+"
)
# What sets them off from words of the same letters such as はい, うえ and おい: a drawn-out, cut
# off or repeated sound. No い, which is doubled in いい (good) and いいえ (no).
_MARKS = re.compile(
    r"[ァィゥェォッー]|([アウエオハヒフヘホクン])\1|ハア|ヒイ|フウ|ヘエ|ホオ|ワア|アン|[チジヂ]ュ|レロ|^.$"
)
# Words that have such a mark all the same.
_ANSWERS = frozenset(
    ["アア", "エエ", "ウウン", "ハーイ", "ハアイ", "ハァイ", "イーエ", "オーイ", "オオイ"]
)


@dataclass(frozen=True)
class Loop:
    """A stretch of a text that repeats one unit."""

    begin: int
    end: int
    unit: int  # characters of the unit

    @property
    def length(self) -> int:
        """Characters of all repeats."""
        return self.end - self.begin


def loops(text: str) -> Iterator[Loop]:
    """Stretches of a normalised text that repeat one unit many times, from left to right."""
    for match in _LOOP.finditer(text):
        assert match.lastindex is not None
        yield Loop(match.start(), match.end(), match.lastindex)


def longest_loop(text: str) -> int:
    """Characters of the longest loop of a normalised text; laughter of a reference can be one."""
    return max((loop.length for loop in loops(text)), default=0)


def flags(reference: str, hypothesis: str, truth: str, heard: str) -> dict[str, bool]:
    """Marks of one utterance, named as in scored.FLAGS.

    Args:
        reference: raw text.
        hypothesis: raw text.
        truth: the reference, normalised.
        heard: the hypothesis, normalised.
    """
    loop = longest_loop(heard) > longest_loop(truth)
    return {
        "wrong_language": is_wrong_language(reference, hypothesis),
        "empty": not heard and bool(truth),
        "loop": loop,
        "truncated": len(truth) >= MIN_TRUNCATED and 0 < len(heard) < TRUNCATED * len(truth),
        "invented": bool(heard) and not truth,
        "non_verbal": is_non_verbal(truth),
        "suspect_label": not loop and is_cut_short(truth, heard),
    }


def is_wrong_language(reference: str, hypothesis: str) -> bool:
    """Whether a raw hypothesis holds what Japanese writers do not use, and the reference not.

    These are letters outside JIS X 0208 such as 你, 嗯 or Hangul, Latin where the reference has
    none, and the Chinese comma.
    """
    if LATIN.search(hypothesis) and not LATIN.search(reference):
        return True
    added = set(hypothesis) - set(reference)
    return CHINESE_COMMA in added or any(_is_foreign(character) for character in added)


def _is_foreign(character: str) -> bool:
    if KANJI.match(character):
        try:
            # JIS X 0208 and ASCII; euc_jp would let the rare kanji of JIS X 0212 pass.
            character.encode("iso2022_jp")
        except UnicodeEncodeError:
            return True
        return False
    # Other scripts by their names, as JIS X 0208 lacks some kana and has Greek and Cyrillic.
    return unicodedata.category(character).startswith("L") and not re.match(
        r"(HALFWIDTH |FULLWIDTH )?(HIRAGANA|KATAKANA|LATIN|VERTICAL KANA|MASU|IDEOGRAPHIC)",
        unicodedata.name(character, ""),
    )


def is_non_verbal(truth: str) -> bool:
    """Whether a normalised reference looks like moans, laughs, sighs or cries without words.

    That is: only sounds, and among them one that is drawn out, cut off or repeated.

    >>> [is_non_verbal(text) for text in ["はぁはぁ", "あははっ", "んっ", "はい", "うん", "いいえ"]]
    [True, True, True, False, False, False]
    """
    text = katakana(truth)
    return (
        text not in _ANSWERS
        and _SOUNDS.fullmatch(text) is not None
        and _MARKS.search(text) is not None
    )


def is_cut_short(truth: str, heard: str) -> bool:
    """Whether a hypothesis says the reference and goes on for longer than that.

    Up to one character in five of the beginning may differ.
    """
    if not truth or len(heard) <= 2 * len(truth) + 10:
        return False
    return Levenshtein.distance(truth, heard[: len(truth)]) <= len(truth) // 5
