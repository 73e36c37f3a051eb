"""Every edit gets one class, and the class that a reader would give it."""

import random

import pytest
from rapidfuzz.distance import Levenshtein

from galgame_asr.scoring.breakdown import Block, break_down, count
from galgame_asr.scoring.scored import CLASSES
from galgame_asr.scoring.words import Words

# Groups of words that are mistaken for one another, by sound or by spelling.
CONFUSED = (
    "わたし 私 あたし ワタシ わたくし",
    "なに 何 なん",
    "校則 拘束 高速 こうそく",
    "ねぇ ねえ ね",
    "アレ あれ あれっ",
    "行く いく 行け 逝く",
    "会う 逢う あう",
    "だめっ 駄目 だめ",
    "先輩 せんぱい センパイ 千杯",
    "今日 きょう 昨日",
    "すごい すっごい すごーい",
    "は が を も に",
    "です だよ だね なんだ",
    "ふふ うふふ あはは",
    "待って 待て まって",
    "図書館 としょかん 体育館",
)
GROUPS = [group.split() for group in CONFUSED]


@pytest.fixture(scope="module")
def words() -> Words:
    return Words()


def _pair(draw: random.Random) -> tuple[str, str]:
    truth, heard = "", ""
    for _ in range(draw.randint(0, 9)):
        group = draw.choice(GROUPS)
        truth += draw.choice([*group, ""])
        heard += draw.choice([*group, ""]) * draw.choice([1] * 30 + [2, 15])
    return truth, heard


def test_the_classes_add_up_to_the_edit_distance(words: Words) -> None:
    """On thousands of random sentences; each block adds its own distance, or what a loop costs."""
    draw = random.Random(7)
    seen = dict.fromkeys(CLASSES, 0)
    for _ in range(3000):
        truth, heard = _pair(draw)
        blocks = break_down(truth, heard, words)
        assert sum(count(blocks).values()) == Levenshtein.distance(truth, heard), (truth, heard)
        for block in blocks:
            assert block.edits > 0
            if block.kind != "loop":
                assert block.edits == Levenshtein.distance(block.truth, block.heard)
                assert block.truth in truth
            seen[block.kind] += 1
    assert min(seen.values()) > 50


@pytest.mark.parametrize(
    ("truth", "heard", "kind"),
    [
        ("わたし", "私", "spelling"),
        ("なに", "何", "spelling"),
        ("ねぇ", "ねえ", "spelling"),
        ("アレ", "あれ", "spelling"),
        ("はー", "はあ", "spelling"),
        ("ありがとー", "ありがとう", "spelling"),
        ("できる", "出来る", "spelling"),
        ("ふたり", "二人", "spelling"),
        ("からだ", "身体", "spelling"),
        ("会う", "逢う", "spelling"),
        ("えっ", "え", "spelling"),
        ("", "っ", "spelling"),
        ("だめっ", "駄目", "spelling"),
        ("すっごい", "すごい", "spelling"),
        ("校則", "拘束", "homophone"),
        ("当主", "投手", "homophone"),
        ("熱い", "暑い", "homophone"),
        ("わたし", "あたし", "misheard"),
        ("行く", "行け", "misheard"),
        ("やはり", "やっぱり", "misheard"),
        ("待って", "待て", "misheard"),
        ("学校", "図書館", "misheard"),
        ("うん", "", "deletion"),
        ("", "うん", "insertion"),
    ],
)
def test_one_word(words: Words, truth: str, heard: str, kind: str) -> None:
    """Cases by hand: what sounds the same is spelling or homophone, all else is hearing."""
    distance = Levenshtein.distance(truth, heard)
    assert break_down(truth, heard, words) == [Block(truth, heard, kind, distance)]


def test_blocks_of_a_sentence(words: Words) -> None:
    """Equal words between two blocks keep them apart."""
    assert break_down("わたしは校則を守る", "私は拘束を守るよ", words) == [
        Block("わたし", "私", "spelling", 3),
        Block("校則", "拘束", "homophone", 2),
        Block("", "よ", "insertion", 1),
    ]
    assert break_down("わたしは校則を守る", "わたしは校則を守る", words) == []


def test_a_loop_costs_what_its_best_shortening_saves(words: Words) -> None:
    """What else went wrong in the utterance keeps its own class."""
    assert break_down("わたしも好きだよ", "私も好き" + "だよ" * 50, words) == [
        Block("", "だよ" * 49, "loop", 98),
        Block("わたし", "私", "spelling", 3),
    ]
    # 44 edits; one ありがとう would have been 6.
    assert [block.edits for block in break_down("今日も頑張ろう", "ありがとう" * 9, words)] == [
        38,
        6,
    ]


def test_laughter_of_the_reference_is_no_loop(words: Words) -> None:
    """Only repeats above the reference's own are the model's."""
    laugh = "あ" + "は" * 20
    assert count(break_down(laugh, laugh[:-3], words))["loop"] == 0
    assert count(break_down(laugh, laugh + "は" * 5, words))["loop"] == 5
