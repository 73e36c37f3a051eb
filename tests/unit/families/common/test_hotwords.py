"""Each utterance is told names of its own, and a batch of them is decoded as each alone."""

from pathlib import Path
from typing import Any

import pytest

from galgame_asr.core.params import parse
from galgame_asr.families.common import hotwords
from galgame_asr.families.common.family import Search, load
from galgame_asr.families.common.hotwords import EachPrompted, told
from galgame_asr.families.common.params import Prompt
from galgame_asr.messages.errors import ConfigError
from tests.models import build, build_whisper, noise

TEXT = "葵と凛、おはよう。"
CAST = ["葵", "凛", "美咲", "詩織", "蓮"]


def prompt(names: Any = CAST, **values: Any) -> Prompt:
    whole = {"language": "日文", "glossary": {"names": names} | values}
    return parse(Prompt, whole, "prompts.names")


def words(rule: Prompt, key: str = "vn/1", epoch: int = 0) -> list[str]:
    return list(told(rule, key, TEXT, epoch).hotwords)


def test_names_of_the_text_and_others_are_drawn() -> None:
    """All that it holds and so many others, in an order that says nothing of which is which."""
    rule = prompt(distractors=2)
    drawn = [words(rule, f"vn/{number}") for number in range(200)]
    assert all({"葵", "凛"} < set(found) and len(set(found)) == 4 for found in drawn)
    assert {name for found in drawn for name in found} == set(CAST)
    assert {found.index("葵") for found in drawn} == {0, 1, 2, 3}
    assert set(words(prompt())) == {"葵", "凛"}
    assert set(words(prompt(distractors=9))) == set(CAST)


def test_wrong_names_are_all_wrong() -> None:
    """However many are asked for."""
    for number in (0, 1, 9):
        found = words(prompt(right=False, distractors=number))
        assert not {"葵", "凛"} & set(found)
        assert len(found) == min(number, 3)


def test_the_draw_is_one_of_utterance_and_epoch() -> None:
    """Twice the same; other epochs and utterances have others."""
    rule = prompt(distractors=1)
    assert words(rule) == words(rule)
    assert len({tuple(words(rule, epoch=epoch)) for epoch in range(20)}) > 5
    assert len({tuple(words(rule, f"vn/{number}")) for number in range(20)}) > 5


def test_a_glossary_can_be_of_some_utterances() -> None:
    """By a pattern over CORPUS/ID; words that all share stay, and a plain prompt is itself."""
    rule = prompt({"^vn/": ["葵"], "^own/a": ["凛"], "^own/": ["葵", "凛"]})
    assert words(rule, "vn/a") == ["葵"]
    assert sorted(words(rule, "own/a")) == ["凛", "葵"]
    assert words(rule, "read/own/a") == []
    shared = parse(Prompt, {"hotwords": ["先輩"], "glossary": {"names": CAST}}, "p")
    assert words(shared)[0] == "先輩"
    assert told(shared, "vn/1", "はい。") == Prompt(hotwords=("先輩",))
    assert told(Prompt(language="ja"), "vn/1", TEXT) == Prompt(language="ja")


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"names": ["葵", " "]}, r"glossary\.names.*\.1 is ' '"),
        ({"names": {"(": ["葵"]}}, r"'\(' is no regular expression"),
        ({"names": CAST, "distractors": -1}, "distractors is -1"),
        ({"names": CAST, "wrong": True}, "unknown key p.glossary.wrong. Allowed: names, right"),
    ],
)
def test_a_glossary_that_says_nothing_is_refused(values: Any, message: str) -> None:
    """With the key, what was found and what is allowed."""
    with pytest.raises(ConfigError, match=message):
        parse(Prompt, {"glossary": values}, "p")


def test_the_longest_prompt_is_no_shorter_than_any() -> None:
    """Of as many names as one text holds, and as are drawn beside them; wrong ones alone fewer."""
    rule = prompt(["葵", "凛", "美咲の姉", "詩織"], distractors=1)
    texts = ["はい。", TEXT, "葵。"]
    whole = hotwords.longest(rule, texts)
    assert list(whole.hotwords) == ["美咲の姉", "詩織", "葵"]
    assert whole.glossary is None
    wrong = prompt(["葵", "凛", "美咲の姉"], distractors=1, right=False)
    assert list(hotwords.longest(wrong, texts).hotwords) == ["美咲の姉"]
    assert hotwords.longest(Prompt(), texts) == Prompt()


@pytest.mark.parametrize("name", ["fun_asr_nano", "whisper"])
def test_a_batch_of_several_prompts_is_each_alone(tmp_path: Path, name: str) -> None:
    """Text, tokens and limit, whether a model takes one prompt at a time or many."""
    make = {"fun_asr_nano": build, "whisper": build_whisper}[name]
    family = load(name, make(tmp_path / "model"))
    assert isinstance(family, EachPrompted) == (name == "fun_asr_nano")
    language = {"fun_asr_nano": "日文", "whisper": "ja"}[name]
    features = [family.features(noise(s, i)) for i, s in enumerate([0.4, 1.9, 1.0, 0.7])]
    prompts = [
        Prompt(language=language, hotwords=found)
        for found in (("葵",), (), ("葵", "凛", "先輩が好き"), ("葵",))
    ]
    limits = [9, 8, 7, 3]
    together = hotwords.transcribe(family, features, prompts, Search(limits))
    assert together[3].num_tokens <= 3
    for item, own, limit, found in zip(features, prompts, limits, together, strict=True):
        (alone,) = family.transcribe([item], own, Search([limit]))
        assert (found.text, found.num_tokens) == (alone.text, alone.num_tokens)
        assert found.log_prob == pytest.approx(alone.log_prob, abs=1e-3)
    (other,) = family.transcribe(features[:1], prompts[1], Search(limits[:1]))
    assert together[0].log_prob != other.log_prob
