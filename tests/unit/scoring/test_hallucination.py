"""Marks on hypotheses that went wrong as a whole, and on references that are hard to score."""

import pytest

from galgame_asr.scoring.hallucination import (
    Loop,
    flags,
    is_non_verbal,
    is_wrong_language,
    longest_loop,
    loops,
)
from galgame_asr.scoring.scored import FLAGS
from galgame_asr.text.normalise import normalise


def _marked(reference: str, hypothesis: str) -> set[str]:
    found = flags(reference, hypothesis, normalise(reference), normalise(hypothesis))
    assert tuple(found) == FLAGS
    return {name for name, value in found.items() if value}


@pytest.mark.parametrize(
    ("reference", "hypothesis", "expected"),
    [
        ("おはよう、先輩。", "おはよう、先輩。", set()),
        ("おはよう、先輩。", "おはよ、千杯。", set()),
        ("そうだね", "嗯，是的", {"wrong_language"}),
        ("そうだね", "", {"empty"}),
        ("……", "", set()),
        ("……", "ありがとう", {"invented"}),
        ("それは違うと思う", "それは" * 4, {"loop"}),
        ("あの日のことを覚えていますか", "あの日の", {"truncated"}),
        ("あの日のことを覚えていますか", "", {"empty"}),
        ("昨日はね", "昨日はね、駅前の喫茶店でずっと待っていたんだよ", {"suspect_label"}),
        ("昨日はね、雨が", "昨日わね、雨が降って結局何処にも行けなかったんだよ", {"suspect_label"}),
        ("昨日はね", "明日もね、駅前の喫茶店でずっと待っているんだよ", set()),
        ("昨日はね", "昨日はね" + "ほら" * 20, {"loop"}),
        ("はぁ……はぁ……", "はぁ、はぁ", {"non_verbal"}),
    ],
)
def test_marks_by_hand(reference: str, hypothesis: str, expected: set[str]) -> None:
    """One case of each mark, and neighbours that are not meant."""
    assert _marked(reference, hypothesis) == expected


@pytest.mark.parametrize(
    ("reference", "hypothesis", "expected"),
    [
        ("うん", "嗯", True),
        ("ねえ", "你", True),
        ("あっ", "啊", True),  # in JIS X 0212, so in euc_jp, but not in JIS X 0208
        ("うん、そう", "うん，そう", True),
        ("はい", "네", True),
        ("はい", "да", True),
        ("そうね", "Oh, そうね", True),
        ("そうね", "Ｏｈ、そうね", True),
        ("OKだよ", "okayだよ", False),
        ("𠮟らないで", "𠮟らないで", False),
        ("うん", "うん。！？♪〜…「」ｱｲｳ", False),
        ("五度、五番", "5℃、①、ヴ、ゔ、々、〆、〇", False),
        ("", "", False),
    ],
)
def test_wrong_language(reference: str, hypothesis: str, expected: bool) -> None:
    """What Japanese writers do not use counts, unless the reference has it too."""
    assert is_wrong_language(reference, hypothesis) is expected


def test_loops_need_a_short_unit_many_times() -> None:
    """At most 10 characters, at least 4 times and 12 characters; the shortest unit is named."""
    assert list(loops("ね" + "そう" * 6 + "だ")) == [Loop(begin=1, end=13, unit=2)]
    assert list(loops("は" * 13)) == [Loop(begin=0, end=13, unit=1)]
    assert list(loops("はははは" + "ありがとう" * 4)) == [Loop(begin=4, end=24, unit=5)]
    for text in ("そう" * 5, "そうだね" * 3, "は" * 11, "一二三四五六七八九十百" * 9, ""):
        assert longest_loop(text) == 0, text


def test_loops_take_linear_time() -> None:
    """A decoder that ran to its limit is scored at once."""
    assert longest_loop("え" * 50_000) == 50_000
    assert longest_loop("一二三四五六七八九十百" * 5_000) == 0


SOUNDS = (
    "はぁ はあ はぁはぁ ハァハァ ふぅ ふう うふふ あはは アハハッ えへへ ひひひ くくく へへっ "
    "あっ あっあっ あん あんあん あぁん んっ んんっ ん うっ うぅ うわっ うわあ きゃー ひゃっ "
    "ふぁあ ちゅっ ちゅぱちゅぱ じゅるっ れろれろ おおお"
)
WORDS = (
    "はい うん ううん ええ ああ いいえ いえ いい いいわ おい おいおい うえ あおい いわ うむ ふむ "
    "ほい はーい はいはい あのね ふふそうね はぁ疲れた 母 ちゅうい えっと OK"
)


@pytest.mark.parametrize("text", SOUNDS.split())
def test_sounds_without_words(text: str) -> None:
    """Moans, laughs, sighs and cries, in either kana."""
    assert is_non_verbal(text)


@pytest.mark.parametrize("text", ["", *WORDS.split()])
def test_words_made_of_the_same_sounds(text: str) -> None:
    """Answers and words stay among the utterances with something to recognise."""
    assert not is_non_verbal(text)
