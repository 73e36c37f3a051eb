"""Decisions of two people joined, and held against manifests; the command that does it."""

import dataclasses
import itertools
import shutil
from pathlib import Path
from typing import Any, Literal

import pyarrow as pa
import pytest

from galgame_asr.cli import dispatch
from galgame_asr.core import utterances
from galgame_asr.core.paths import MANIFEST
from galgame_asr.experiment.corrections import merge
from galgame_asr.manifests.corrections import append, change, latest, path_of, read
from galgame_asr.messages.errors import ConfigError, DataError
from tests.conftest import REPOSITORY
from tests.unit.manifests.test_corrections import of

SIDES: tuple[Literal["ours", "theirs"], ...] = ("ours", "theirs")
OLD, NEW, OTHER = of("a", text="一。"), of("a", text="二。", by="樹"), of("a", "drop", by="蒼")


def test_lines_of_both_are_kept() -> None:
    """Ours first; ids that one of them has count as there."""
    mine, theirs = [of("a"), of("b"), of("a", "drop")], [of("c"), of("d", "keep"), of("c", "drop")]
    merged = merge(mine, theirs)
    assert merged == [*mine, *theirs]
    assert latest(merged) == latest(mine) | latest(theirs)


def test_the_file_that_knew_of_the_other_counts() -> None:
    """Whoever is merged into whom: their work went on from ours, or ours from theirs."""
    assert merge([OLD], [OLD, NEW]) == [OLD, NEW]
    assert merge([OLD, NEW], [OLD]) == [OLD, NEW]
    assert latest(merge([of("b"), OLD], [OLD, NEW]))["a"] == NEW


def test_the_same_decision_twice_is_no_conflict() -> None:
    """Two people heard the same."""
    same = dataclasses.replace(NEW, by="蒼", when="2026-11-27T00:00:00Z")
    assert latest(merge([OLD, NEW], [OLD, same]))["a"].text == "二。"


def test_a_conflict_is_listed_and_refused() -> None:
    """With both decisions, unless a side is told, which then holds."""
    mine, theirs = [OLD, NEW, of("b")], [OLD, OTHER]
    with pytest.raises(DataError) as caught:
        merge(mine, theirs)
    said = str(caught.value)
    assert said.startswith("1 utterances were decided about in two ways:\n  a\n")
    assert "'いいえ。' -> '二。', 樹 2026-11-26T09:58:43Z" in said
    assert "theirs: drop, 蒼" in said
    assert "--ours or --theirs" in said
    for prefer, counts in zip(SIDES, (NEW, OTHER), strict=True):
        merged = merge(mine, theirs, prefer)
        assert latest(merged)["a"] == counts
        assert merged[:3] == mine
        assert {OLD, NEW, OTHER} <= set(merged)
        # Again it is decided, and on the other side too.
        assert merge(merged, theirs) == merged
        assert latest(merge(theirs, merged))["a"] == counts


def test_a_merge_is_one_whoever_does_it() -> None:
    """Of all histories of three decisions: no line is lost, and a second merge adds nothing."""
    lines = [OLD, NEW, OTHER]
    histories = [list(h) for n in range(4) for h in itertools.permutations(lines, n)]
    for mine, theirs, prefer in itertools.product(histories, histories, SIDES):
        merged = merge(mine, theirs, prefer)
        assert set(merged) == {*mine, *theirs}
        assert merged[: len(mine)] == mine
        assert merge(merged, theirs, prefer) == merged


def test_many_conflicts_are_counted() -> None:
    """And not all of them listed."""
    mine = [of(f"{n:02}", "drop") for n in range(30)]
    theirs = [of(f"{n:02}", "keep") for n in range(30)]
    with pytest.raises(DataError, match="30 utterances") as caught:
        merge(mine, theirs)
    assert "and 10 more" in str(caught.value)
    assert "\n  19\n" in str(caught.value)
    assert "\n  20\n" not in str(caught.value)


@pytest.fixture
def repository(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Params and a manifest of the corpus vn with three utterances, of which b is corrected."""
    shutil.copy(REPOSITORY / "params.yaml", tmp_path)
    monkeypatch.chdir(tmp_path)
    texts, labels = ["いいえ。", "はい。", "うん。"], [None, "いいえ。", None]
    columns: dict[str, Any] = dict.fromkeys(utterances.WHOLE.names, [None] * 3)
    columns |= {"id": ["a", "b", "c"], "text": texts, "label": labels}
    table = pa.table(columns, schema=utterances.WHOLE)
    utterances.write_parts(MANIFEST / "vn.parquet", [table], ["label"])
    return tmp_path


def test_the_command_shows(repository: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Counts by corpus and kind, and the latest decisions, in the order of their times."""
    dispatch(["corrections"])
    assert capsys.readouterr().out == "No decisions in corrections/.\n"
    for one in [of("a"), of("a", "drop"), of("b"), of("c", "keep")]:
        append(path_of("vn"), one)
    append(path_of("reading"), of("x", "drop", when="2026-11-25T00:00:00Z", why="雑音"))
    dispatch(["corrections"])
    said = capsys.readouterr().out.splitlines()
    assert said[:2] == [
        "reading: 0 text, 1 drop, 0 keep; 1 lines", "vn: 1 text, 1 drop, 1 keep; 4 lines",
    ]  # fmt: skip
    assert said[2] == "2026-11-25T00:00:00Z  葉  reading x  drop (雑音)"
    assert said[3] == "2026-11-26T09:58:43Z  葉  vn a  'いいえ。' -> 'はい。'"
    assert len(said) == 7


def test_the_command_checks(repository: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """All that is wrong, by line, against the labels as the corpus has them."""
    for id_ in "ab":
        append(path_of("vn"), of(id_, text="はい。", was="いいえ。"))
    append(path_of("vn"), of("b", "drop", was="はい。"))
    path_of("other").write_text("of other params")
    dispatch(["corrections", "--check"])
    said = capsys.readouterr().out
    assert "corrections/other.tsv: no corpus of params.yaml" in said
    assert "Every decision" in said
    append(path_of("vn"), of("c", "keep", was="いいえ。"))
    append(path_of("vn"), of("d", "drop", was=""))
    with pytest.raises(DataError, match="2 decisions"):
        dispatch(["corrections", "--check"])
    said = capsys.readouterr().out
    assert "corrections/vn.tsv:5: id 'c' was 'いいえ。' to 葉, but the corpus has 'うん。'" in said
    assert "corrections/vn.tsv:6: id 'd' is none of the corpus" in said


def test_a_check_needs_a_manifest(repository: Path) -> None:
    """Where there are decisions."""
    (repository / MANIFEST / "vn.parquet").unlink()
    dispatch(["corrections", "--check"])
    append(path_of("vn"), of())
    with pytest.raises(DataError, match=r"vn\.parquet is missing; `dvc repro`"):
        dispatch(["corrections", "--check"])


def test_the_command_merges(repository: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Into the corpus's file, which may not be there yet; a refused merge changes nothing."""
    theirs = repository / "theirs.tsv"
    change(theirs, lambda _: [OLD, OTHER])
    dispatch(["corrections", "--merge", "theirs.tsv", "--corpus", "vn"])
    assert "corrections/vn.tsv has 2 more lines" in capsys.readouterr().out
    assert path_of("vn").read_bytes() == theirs.read_bytes()
    change(path_of("vn"), lambda _: [OLD, NEW])
    before = path_of("vn").read_bytes()
    with pytest.raises(DataError, match="in two ways"):
        dispatch(["corrections", "--merge", "theirs.tsv", "--corpus", "vn"])
    assert path_of("vn").read_bytes() == before
    dispatch(["corrections", "--merge", "theirs.tsv", "--corpus", "vn", "--ours"])
    assert read(path_of("vn")) == [OLD, NEW, OTHER, NEW]


@pytest.mark.parametrize(
    "words",
    [
        ["--merge", "x.tsv"], ["--corpus", "vn"], ["--ours"], ["--check", "--theirs"],
        ["--merge", "x.tsv", "--corpus", "vn"], ["--merge", "params.yaml", "--corpus", "vm"],
    ],
)  # fmt: skip
def test_options_that_say_nothing_are_refused(repository: Path, words: list[str]) -> None:
    """A merge without a corpus, a side without a merge, a file or corpus that is not there."""
    with pytest.raises(ConfigError):
        dispatch(["corrections", *words])
