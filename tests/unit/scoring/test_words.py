"""Words cover their text; what sounds the same reads the same."""

import doctest
import importlib.metadata
import json
import random
from pathlib import Path

import pytest

from galgame_asr.scoring import words as module
from galgame_asr.scoring.words import PIECE, Words, dictionary_version, phonetic
from tests.conftest import REPOSITORY

VECTORS = json.loads((Path(__file__).parents[1] / "normalise_vectors.json").read_text("utf-8"))
KANA = "あいうえおかせとのんっゃょぁぇーアイウエオンッァヲヂヴ漢a"


@pytest.fixture(scope="module")
def words() -> Words:
    return Words()


@pytest.mark.parametrize("vector", VECTORS["phonetic"], ids=lambda vector: vector["in"])
def test_phonetic_vectors(vector: dict[str, str], words: Words) -> None:
    """Kana read alone, and kana that Sudachi has cut into words."""
    assert phonetic(vector["in"]) == vector["out"], vector["why"]
    assert words.kana(vector["in"]) == vector["out"], vector["why"]


def test_cases_beside_the_rules() -> None:
    assert not doctest.testmod(module).failed


def test_phonetic_once_is_enough() -> None:
    """A second pass changes nothing."""
    draw = random.Random(0)
    for _ in range(20_000):
        once = phonetic("".join(draw.choices(KANA, k=draw.randint(0, 10))))
        assert phonetic(once) == once


def test_a_word_and_its_readings(words: Words) -> None:
    """Offsets in characters, the reading that is said, one lemma for all spellings."""
    first, particle, *_ = words.words("私は出来る")
    assert (first.begin, first.end, first.surface, first.reading) == (0, 1, "私", "ワタシ")
    assert (particle.begin, particle.reading) == (1, "ハ")
    assert words.words("わたし")[0].lemma == first.lemma
    assert words.words("できる")[0].lemma == words.words("出来る")[0].lemma
    assert words.readings("私") == {"アタシ", "シ", "ワタクシ", "ワタシ"}
    assert words.readings("zzqq") == frozenset()


@pytest.mark.parametrize(
    ("text", "same"),
    [
        ("私の身体", "わたしのからだ"),
        ("明日は何をする", "あしたはなにをする"),
        ("東京の先生", "とーきょーのせんせー"),
        ("ねぇ", "ねえ"),
        ("百二十円", "ひゃくにじゅうえん"),
    ],
)
def test_what_sounds_the_same_reads_the_same(words: Words, text: str, same: str) -> None:
    assert words.kana(text) == words.kana(same)


def test_long_texts_lose_nothing(words: Words) -> None:
    """Texts beyond Sudachi's limit of 49,149 bytes; words tile their text."""
    for text in ("あのね先生𠮟る" * 4000, "あ" * 20_000, "ﷺ" * (2 * PIECE + 1), "aé🙂 。" * 5, ""):
        found = words.words(text)
        assert "".join(word.surface for word in found) == text
        assert all(text[word.begin : word.end] == word.surface for word in found)


def test_the_dictionary_is_the_pinned_one() -> None:
    """Its version is part of the metric."""
    assert dictionary_version() == importlib.metadata.version("sudachidict-core")
    pinned = (REPOSITORY / "constraints.txt").read_text("utf-8")
    assert f"sudachidict-core=={dictionary_version()}\n" in pinned
