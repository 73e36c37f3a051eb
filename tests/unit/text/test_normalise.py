"""Normalising keeps what is heard, whatever the spelling, and is done once."""

import doctest
import itertools
import json
import random
import sys
import time
import unicodedata
from pathlib import Path
from types import ModuleType

import pytest

from galgame_asr.text import normalise as rules
from galgame_asr.text import numbers
from galgame_asr.text.normalise import normalise
from galgame_asr.text.params import NormaliseParams

VECTORS = json.loads((Path(__file__).parents[1] / "normalise_vectors.json").read_text("utf-8"))
SETTINGS = [
    NormaliseParams(),
    NormaliseParams(elongation="collapse"),
    NormaliseParams(iteration_marks=False),
    NormaliseParams(iteration_marks=False, elongation="collapse"),
]
PUNCTUATION = "。、？！…・「」♪♡!?~-()"
SPACES = " \u3000\t\n\u00a0\u200b"
CHARACTERS = (
    "あいがッゃんーー〜ｶﾞか\u3099人時々々ゝゞヾ〇○零一二三五九十百千万億点"
    "0123456789１２０①％.,,..aＢΣß가\u1100\u1161<>" + PUNCTUATION + SPACES
)


@pytest.mark.parametrize("vector", VECTORS["surface"], ids=lambda vector: repr(vector["in"]))
def test_vectors(vector: dict[str, str]) -> None:
    assert normalise(vector["in"]) == vector["out"], vector["why"]


@pytest.mark.parametrize("module", [rules, numbers], ids=lambda module: module.__name__)
def test_cases_beside_the_rules(module: ModuleType) -> None:
    """Each rule's own cases; every public rule has some."""
    for test in doctest.DocTestFinder().find(module):
        name = test.name.removeprefix(module.__name__).lstrip(".")
        assert test.examples or not name or name.startswith("_"), f"{name} has no case"
    assert not doctest.testmod(module).failed


def _random_texts(count: int) -> list[str]:
    draw = random.Random(0)
    anything = [chr(code) for code in range(sys.maxunicode + 1) if not 0xD800 <= code < 0xE000]
    texts = []
    for number in range(count):
        alphabet = CHARACTERS if number % 4 else draw.sample(anything, 40) + list(CHARACTERS)
        texts.append("".join(draw.choices(alphabet, k=draw.randint(0, 14))))
    return texts


@pytest.mark.parametrize("setting", SETTINGS, ids=str)
def test_once_is_enough(setting: NormaliseParams) -> None:
    """A second pass changes nothing."""
    for text in _random_texts(2_000):
        once = normalise(text, setting)
        assert normalise(once, setting) == once, repr(text)


def test_every_code_point_once() -> None:
    """Nor does it for any single code point, and only letters and numbers are left."""
    for code in range(sys.maxunicode + 1):
        if unicodedata.category(chr(code)) in {"Cn", "Co"}:  # unassigned, private
            continue
        once = normalise(chr(code))
        assert once == chr(code) or normalise(once) == once, hex(code)
        assert all(unicodedata.category(char)[0] in "LN" for char in once), hex(code)


@pytest.mark.parametrize("setting", SETTINGS, ids=str)
def test_spaces_change_nothing(setting: NormaliseParams) -> None:
    draw = random.Random(1)
    for text in _random_texts(2_000):
        spaced = "".join(char + draw.choice(["", *SPACES]) for char in text)
        assert normalise(spaced, setting) == normalise(text, setting), repr(text)


@pytest.mark.parametrize("setting", SETTINGS, ids=str)
def test_punctuation_changes_nothing(setting: NormaliseParams) -> None:
    """Anywhere but inside of a number, and but before a mark that changes a kana."""
    draw = random.Random(2)
    for text in _random_texts(2_000):
        bare = "".join(char for char in text if char not in PUNCTUATION + SPACES)
        dotted = "".join(
            before + (draw.choice(["", *PUNCTUATION]) if _apart(before, after) else "")
            for before, after in itertools.pairwise(bare + " ")
        )
        assert normalise(dotted, setting) == normalise(bare, setting), repr(bare)


def _apart(before: str, after: str) -> bool:
    number = all(
        char in ".," or unicodedata.normalize("NFKC", char)[0].isdecimal()
        for char in (before, after)
    )
    return not number and after not in "\u3099ﾞ"


def test_options() -> None:
    """Each setting changes its own rule only."""
    text = "時々すごーー〜い"
    assert normalise(text) == "時時すごーーーい"
    assert normalise(text, NormaliseParams(iteration_marks=False)) == "時々すごーーーい"
    assert normalise(text, NormaliseParams(elongation="collapse")) == "時時すごーい"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("1、2、3", "一二三"),
        ("15000000", "千五百万"),
        ("1000000000000", "一兆"),
        ("10000000000000000", "一" + "〇" * 16),
        ("1.05", "一点〇五"),
        ("1,0000", "一万"),
        ("２０万", "二十万"),
        ("二〇万", "二十万"),
        ("三〇一号室", "三百一号室"),
        ("零時", "〇時"),
        ("Σίσυφος", "σίσυφοσ"),
    ],
)
def test_more_numbers(text: str, expected: str) -> None:
    assert normalise(text) == unicodedata.normalize("NFKC", expected)


@pytest.mark.parametrize(
    "unit", ["え", "1", "1,", "1,000,", "1.", "二〇", "々", "ー", "<", "。", "か\u3099"]
)
@pytest.mark.parametrize("end", ["", "万", "十"])
def test_loops_are_quick(unit: str, end: str) -> None:
    """A model that loops cannot hold the scoring up: linear time."""
    start = time.process_time()
    normalise(unit * 20_000 + end)
    assert time.process_time() - start < 0.5
