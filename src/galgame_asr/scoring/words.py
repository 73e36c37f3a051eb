"""Japanese words and readings, by SudachiPy and its core dictionary."""

import importlib.metadata
import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache

from sudachipy import Dictionary, SplitMode

from galgame_asr.messages.errors import ConfigError

# Sudachi takes 49,149 bytes, and 65,535 once it has written its compatibility form: at
# most 33 bytes a character.
PIECE = 1500
REMEMBERED = 20_000  # texts

# Where the dictionary's first reading is not what a character says.
SAID = {"私": "ワタシ", "明日": "アシタ", "身体": "カラダ", "何": "ナニ"}
NO_READING = "キゴウ"  # what Sudachi reads symbols as

_KATAKANA = str.maketrans({code: code + 0x60 for code in [*range(0x3041, 0x3097), 0x309D, 0x309E]})
_SAME_SOUND = str.maketrans("ヂヅヲヰヱ", "ジズオイエ")
_VOWELS = {
    kana: vowel
    for vowel, row in {
        "ア": "アカサタナハマヤラワガザダバパァャヮヵ",
        "イ": "イキシチニヒミリギジビピィ",
        "ウ": "ウクスツヌフムユルグズブプヴゥュ",
        "エ": "エケセテネヘメレゲゼデベペェヶ",
        "オ": "オコソトノホモヨロゴゾドボポォョ",
    }.items()
    for kana in row
}
_SMALL_VOWELS = dict(zip("ァィゥェォ", "アイウエオ", strict=True))
_LONG_VOWELS = {("オ", "ウ"): "オ", ("エ", "イ"): "エ"}
_RUNS = re.compile(r"([アイウエオン])\1{2,}")
_STOPS = re.compile("ッ+")


@dataclass(frozen=True, slots=True)
class Word:
    """A word and where it stands in its text, in characters."""

    begin: int
    end: int
    surface: str
    reading: str  # katakana; what the dictionary lacks stays as it is written
    lemma: str  # Sudachi's normalised form: one for all spellings and inflections of a word


def dictionary_version() -> str:
    """Version of the dictionary: another one gives other words and readings."""
    return importlib.metadata.version("sudachidict-core")


def require_dictionary(version: str) -> None:
    """Check which dictionary is installed.

    Raises:
        ConfigError: it is not `version`.
    """
    installed = dictionary_version()
    if installed != version:
        raise ConfigError(
            f"score.dictionary is {version}, but sudachidict-core {installed} is installed, which "
            f"gives other readings and words. `pip install sudachidict-core=={version}`, or set "
            f"score.dictionary to {installed} so that all variants are scored again"
        )


class Words:
    """Words and readings of texts; texts seen lately are remembered.

    Normalise texts before: symbols have no reading, and digits are read one by one.
    """

    def __init__(self) -> None:
        self._dictionary = Dictionary(dict="core")
        self._tokenizer = self._dictionary.tokenizer(mode=SplitMode.C)
        self._words = lru_cache(REMEMBERED)(self._analyse)
        self._readings = lru_cache(REMEMBERED)(self._look_up)

    def words(self, text: str) -> tuple[Word, ...]:
        """The longest words (split mode C); together they are the text."""
        return self._words(text)

    def kana(self, text: str) -> str:
        """How a text sounds, as `phonetic` writes it."""
        return phonetic("".join(word.reading for word in self.words(text)))

    def readings(self, surface: str) -> frozenset[str]:
        """All readings that the dictionary has for a word, in katakana; none if it lacks it."""
        return self._readings(surface)

    def _analyse(self, text: str) -> tuple[Word, ...]:
        return tuple(
            word
            for start in range(0, len(text), PIECE)
            for word in self._piece(text[start : start + PIECE], start)
        )

    def _piece(self, text: str, start: int) -> Iterator[Word]:
        for found in self._tokenizer.tokenize(text):
            surface, reading = found.surface(), found.reading_form()
            yield Word(
                begin=start + found.begin(),
                end=start + found.end(),
                surface=surface,
                reading=SAID.get(surface)
                or katakana(surface if reading == NO_READING else reading),
                lemma=found.normalized_form(),
            )

    def _look_up(self, surface: str) -> frozenset[str]:
        return frozenset(
            katakana(found.reading_form()) for found in self._dictionary.lookup(surface)
        )


def katakana(text: str) -> str:
    """Hiragana as katakana.

    >>> katakana("すごーいヨ")
    'スゴーイヨ'
    """
    return text.translate(_KATAKANA)


def phonetic(kana: str) -> str:
    """One spelling for kana that sound the same, and for a sound however long it is held.

    >>> [phonetic(kana) for kana in ("はー", "はぁ", "とうきょう", "せんせい", "んー", "づつ")]
    ['ハア', 'ハア', 'トオキョオ', 'センセエ', 'ン', 'ズツ']
    >>> [phonetic(kana) for kana in ("ああああああ", "あっっ", "ファイル", "を", "ー")]
    ['アア', 'アッ', 'ファイル', 'オ', '']
    """
    sounds: list[str] = []
    before = ""  # vowel of the mora before
    for char in katakana(kana).translate(_SAME_SOUND):
        sound = char
        if char == "ー":
            if not before:
                continue
            sound = before
        elif _SMALL_VOWELS.get(char) == before or (char in _SMALL_VOWELS and not sounds):
            sound = _SMALL_VOWELS[char]
        sound = _LONG_VOWELS.get((before, sound), sound)
        sounds.append(sound)
        before = _VOWELS.get(sound, "")
    held = _RUNS.sub(r"\1\1", "".join(sounds))
    return _STOPS.sub("ッ", held)
