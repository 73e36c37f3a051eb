"""Markup is counted, and taken out where params say so; what people say stays."""

import dataclasses
import doctest
import random
import time
import typing
from collections.abc import Callable
from pathlib import Path

import pytest

from galgame_asr.core.params import parse, read_yaml
from galgame_asr.manifests.checks import markup
from galgame_asr.manifests.params import Exceptions, ManifestParams, Markup, severity_of
from galgame_asr.messages.errors import ConfigError, DataError
from galgame_asr.shards import tar
from tests.conftest import REPOSITORY, tone
from tests.unit.manifests.test_index import indexed

VALUES = read_yaml(REPOSITORY / "params.yaml")["manifest"]
DEFAULT = parse(ManifestParams, VALUES, "manifest")

# As they stand in the scripts of games and in transcripts of other models, and cleaned.
MARKED = {
    "漢字《かんじ》のルビです": "漢字のルビです",
    "|頁《ページ》をめくる": "頁をめくる",
    "【葵】「おはよう、詩織。」": "「おはよう、詩織。」",
    "葵「おはよう、詩織。」": "「おはよう、詩織。」",
    "葵\n「おはよう、詩織。」": "\n「おはよう、詩織。」",
    "改行<br>タグ[r]です": "改行タグです",
    "<|ja|><|NEUTRAL|><|Speech|><|woitn|>はい、そうです。": "はい、そうです。",
    "<|0.00|>はい。<|1.20|>": "はい。",
    "終わり<|im_end|>続きです": "終わり続きです",
    "{i}斜体{/i}です\\n次の行": "斜体です次の行",
    "%p%q;制御記号です": "制御記号です",
    "<|ja|>【葵】「漢字《かんじ》[r]です」": "「漢字です」",
    "<br>": "",
}
# Emphasis, notes, thoughts, faces, prices, names within a text: none of it is surely markup.
PLAIN = [
    "ﾊﾝｶｸｶﾅです", "笑顔です😀👍", "あはははははははははは", "ん…♪", "「おはよう」", "『雪国』",
    "それが《聖剣》だ", "《ちから》をくれ", "（なんだろう、これ）", "(笑)", "東京（とうきょう）",
    "[笑]", "※注", "彼は「はい」", "小説「雪国」を読んだ", "これが【聖剣】か", "100%です",
    "５０％オフ", "50%off", "¥100", "(>_<)", "<3", "1<2、3>2", "→右へ", "＼(^o^)／", "\\o/",
    "A&B", "時間：三時", "12:30", "葵＆凛", "…", "～", "|", "＜笑＞", "{笑}", "",
]  # fmt: skip


def test_cases_beside_the_rules() -> None:
    """Each rule's own cases; every rule has some, and params may name every rule."""
    assert set(markup.RULES) == set(typing.get_args(Markup))
    for test in doctest.DocTestFinder().find(markup):
        name = test.name.rpartition(".")[2]
        assert test.examples or name not in markup.RULES, f"{name} has no case"
    assert not doctest.testmod(markup).failed


@pytest.mark.parametrize("text", MARKED)
def test_markup_is_found_and_taken_out(text: str) -> None:
    """By all rules together; a second pass finds nothing."""
    assert markup.holds_markup(text)
    assert markup.clean(text, markup.RULES) == MARKED[text]
    assert not markup.holds_markup(MARKED[text])
    assert markup.clean(text, []) == text


def test_the_table_of_the_docs() -> None:
    """Each rule has a row, whose example becomes what the row says."""
    page = (REPOSITORY / "docs/data.md").read_text(encoding="utf-8").replace("\\|", "\0")
    rows = [line.strip("| ").split(" | ") for line in page.split("\n") if line.startswith("| `")]
    cells = [[cell.strip("`").replace("\0", "|") for cell in row] for row in rows]
    table = {row[0]: row[2:] for row in cells if row[0] in markup.RULES}
    assert list(table) == list(markup.RULES)
    for rule, (text, cleaned) in table.items():
        assert markup.clean(text, [rule]) == cleaned


@pytest.mark.parametrize("text", PLAIN)
def test_what_may_be_said_stays(text: str) -> None:
    """No rule touches it."""
    assert not markup.holds_markup(text)


def test_a_rule_takes_time_in_proportion_to_the_text() -> None:
    """Texts are anybody's: openings that nothing closes make no rule slow, nor does it fail."""
    draw, start = random.Random(0), time.process_time()
    pieces = ["<rt>", "{rt}", "<|", "[a ", "{a=", "|", "《", "》", "漢", "かな", "【", "%p", "「"]
    for piece in pieces:
        markup.holds_markup(piece * 200_000)
    for _ in range(2000):
        markup.clean("".join(draw.choices(pieces, k=draw.randrange(12))), markup.RULES)
    assert time.process_time() - start < 60  # each of its steps twice as many would be hours


def test_the_manifest_holds_the_cleaned_text(make_shard: Callable[..., Path]) -> None:
    """Of the corpora that params name; flagged all the same, and the shard keeps what was there."""
    text = "【葵】「漢字《かんじ》[r]です」"
    shard = make_shard({"a.ogg": tone(1.0), "a.txt": text.encode()})
    rows, counts = indexed(shard, DEFAULT)
    assert (rows["text"][0], list(rows["flags"][0])) == (text, ["text_markup"])
    assert (counts["flags"]["text_markup"], counts["usable"]) == (1, 1)
    for rules, cleaned in (
        (["ruby", "tags"], "【葵】「漢字です」"),
        (["speaker"], "「漢字《かんじ》[r]です」"),
        (list(markup.RULES), "「漢字です」"),
    ):
        params = parse(ManifestParams, VALUES | {"clean": {"vn": rules}}, "manifest")
        rows, counts = indexed(shard, params)
        assert (rows["text"][0], list(rows["flags"][0])) == (cleaned, ["text_markup"])
    rows, _ = indexed(shard, dataclasses.replace(DEFAULT, clean={"other": ("tags",)}))
    assert rows["text"][0] == text
    assert {m.name: data for m, data in tar.contents(shard)}["a.txt"] == text.encode()


def test_the_row_can_be_dropped(make_shard: Callable[..., Path]) -> None:
    """Or the stage stopped, as by any flag; a text that was markup alone is empty."""
    shard = make_shard({"a.ogg": tone(1.0), "a.txt": "改行<br>です".encode()})
    _, counts = indexed(shard, DEFAULT)
    assert counts["usable"] == 1
    severity = dataclasses.replace(DEFAULT.severity, text_markup="drop")
    _, counts = indexed(shard, dataclasses.replace(DEFAULT, severity=severity))
    assert counts["usable"] == 0
    shard = make_shard({"a.ogg": tone(1.0), "a.txt": b"<br>"})
    with pytest.raises(DataError, match="must not occur: text_empty 1"):
        indexed(shard, dataclasses.replace(DEFAULT, clean={"vn": ("tags",)}))


def test_severities_of_a_corpus() -> None:
    """Its name counts before its kind, and what neither names is as for all."""
    exceptions: Exceptions = {
        "folder": {"sample_rate": "warn", "channels": "warn"},
        "mine": {"channels": "drop"},
    }
    found = severity_of("mine", "folder", DEFAULT.severity, exceptions)
    assert (found.sample_rate, found.channels, found.too_long) == ("warn", "drop", "fail")
    assert severity_of("vn", "synthetic", DEFAULT.severity, exceptions) == DEFAULT.severity
    for wrong, message in (
        ({"mine": {"samplerate": "warn"}}, "mine: there is no flag 'samplerate'. .*'sample_rate'"),
        ({"mine": {"sample_rate": "ignore"}}, "manifest.exceptions.mine.sample_rate is 'ignore'"),
    ):
        with pytest.raises(ConfigError, match=message):
            parse(ManifestParams, VALUES | {"exceptions": wrong}, "manifest")


def test_a_rule_that_is_none_is_an_error() -> None:
    """With those that there are."""
    with pytest.raises(ConfigError, match=r"manifest\.clean\.mine\.0 is 'html': .*'tags'"):
        parse(ManifestParams, VALUES | {"clean": {"mine": ["html"]}}, "manifest")
