"""Groups by pattern and by list, and the mean over them, by hand."""

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from galgame_asr.core.params import load, parse, read_yaml
from galgame_asr.experiment.params import Params
from galgame_asr.families.common.transcript import Transcript
from galgame_asr.messages.errors import ConfigError, DataError
from galgame_asr.scoring import confidence, groups, scored, variant
from galgame_asr.scoring.groups import NONE, Grouping
from galgame_asr.scoring.params import ScoreParams
from galgame_asr.scoring.summary import summarise
from galgame_asr.scoring.words import Words
from tests import tables
from tests.conftest import REPOSITORY

PARAMS = load(ScoreParams, "score", file=REPOSITORY / "params.yaml")
ROWS = pd.DataFrame(
    [("vn", "a/1"), ("vn", "b/1"), ("vn", "c"), ("own", "x"), ("own", "y"), ("read", "a/1")],
    columns=["corpus", "id"],
)


def folder_of(folder: Path, **corpora: str) -> Path:
    for corpus, text in corpora.items():
        (folder / f"{corpus}.tsv").write_text(text)
    return folder


def test_a_pattern_or_a_list_names_the_group(tmp_path: Path) -> None:
    """Of its corpus alone; the same name in two corpora is one; without a match there is none."""
    folder = folder_of(tmp_path, own="id\tgroup\ny\ta\n", other="no list of ours")
    grouping = groups.read({"vn": r"^(\w+)/"}, ["vn", "own", "read"], folder)
    assert list(grouping.of(ROWS)) == ["a", "b", None, None, "a", None]
    groups.check(grouping, ROWS, folder)
    assert grouping
    assert not NONE
    assert list(NONE.of(ROWS)) == [None] * 6
    # A part that may be missing names none.
    assert list(Grouping({"vn": "^(a)?(.)"}, {}).of(ROWS))[:2] == ["a", None]


def test_rules_that_say_nothing_are_refused(tmp_path: Path) -> None:
    """A typing error would leave every utterance without a group."""
    folder = folder_of(tmp_path, own="id\tgroup\ny\ta\nz\tb\n")
    with pytest.raises(
        ConfigError, match=r"corpus own has groups by score\.groups and by .*own\.tsv"
    ):
        groups.read({"own": "(.)"}, ["own"], folder)
    with pytest.raises(DataError, match=r"own\.tsv has 1 ids that corpus own has not, such as 'z'"):
        groups.check(groups.read({}, ["own"], folder), ROWS, folder)
    with pytest.raises(
        ConfigError,
        match=r"score\.groups\.vn is .* no group in any of 3 ids, such as 'a/1', 'b/1', 'c'",
    ):
        groups.check(Grouping({"vn": r"^(\w+):"}, {}), ROWS)
    with pytest.raises(ConfigError, match=r"score\.groups names vm; the corpora are own, read, vn"):
        groups.check(Grouping({"vm": "(.)"}, {}), ROWS)
    with pytest.raises(DataError, match=r"own\.tsv:1: 'id,group' is no header; write 'id\\tgroup'"):
        groups.read({}, ["own"], folder_of(tmp_path, own="id,group\n"))


@pytest.mark.parametrize(
    ("value", "message"),
    [
        ({"vn": "^(a"}, r"score\.groups is .*vn: '\^\(a' is no regular expression"),
        ({"vn": "^a/"}, r"vn: '\^a/' has no part in \(\), which is the name of the group"),
        ({"vm": "^(a)"}, r"score\.groups names vm; corpora: reading, vn"),
    ],
)
def test_params_are_looked_at_first(value: dict[str, str], message: str) -> None:
    """Before a stage runs."""
    values = read_yaml(REPOSITORY / "params.yaml")
    values["score"]["groups"] = value
    with pytest.raises(ConfigError, match=message):
        parse(Params, values, "")


def grouped(errors: dict[str, list[tuple[int, int]]], without: int = 0) -> pd.DataFrame:
    """Scored rows of one set: by group the errors and characters of its utterances."""
    rows = [(name, wrong, length) for name, pairs in errors.items() for wrong, length in pairs] + [
        (None, 1, 2)
    ] * without
    texts = {
        f"{number:03}": ("か" * length, "か" * (length - wrong) + "き" * wrong)
        for number, (_, wrong, length) in enumerate(rows)
    }
    return tables.table({"test": texts}).assign(
        group=pd.Series([name for name, _, _ in rows], dtype=object)
    )


def test_the_mean_over_groups_by_hand() -> None:
    """Of 1 in 10, 3 in 10 and 12 in 20 it is a third: a large group counts no more."""
    rows = grouped({"a": [(1, 4), (0, 6)], "b": [(3, 10)], "c": [(2, 10), (10, 10)]}, without=2)
    found = summarise(rows)
    assert {name: (part["errors"], part["characters"], part["cer"]) for name, part in
            found["by_group"].items()} == {
        "a": (1, 10, 0.1), "b": (3, 10, 0.3), "c": (12, 20, 0.6)
    }  # fmt: skip
    assert found["macro"] == {
        "groups": 3, "utterances": 5, "without_group": 2,
        # Of 27 ways to draw three groups one is all a, and one all c: 3.7 % each.
        "cer": 0.3333, "cer_low": 0.1, "cer_high": 0.6,
        "cer_capped": 0.3333, "cer_capped_low": 0.1, "cer_capped_high": 0.6,
    }  # fmt: skip
    # Neither changes what is said of the whole set.
    plain = summarise(rows.drop(columns="group"))
    assert {name: found[name] for name in plain} == plain
    assert list(found)[: len(plain)] == list(plain)


def test_the_interval_of_a_mean_is_that_of_its_groups() -> None:
    """Of many groups it is the mean and 1.96 standard errors of groups, however long these are."""
    rates = np.arange(100) * 37 % 100 / 100
    found = confidence.mean_interval(rates, seed=0)
    assert found
    error = 1.96 * float(rates.std()) / 10
    assert found.low == pytest.approx(0.495 - error, abs=0.005)
    assert found.high == pytest.approx(0.495 + error, abs=0.005)
    assert confidence.mean_interval(rates[:1], seed=0) is None


def test_a_group_without_characters_has_no_rate() -> None:
    """It is listed and is in no mean; a mean of one group has no interval."""
    found = summarise(grouped({"a": [(1, 4)], "b": [(0, 0)]}))
    assert found["by_group"]["b"]["cer"] is None
    assert found["macro"]["groups"] == 1
    assert found["macro"]["cer"] == 0.25
    assert found["macro"]["cer_low"] is None


def test_tables_have_a_column_only_if_there_are_groups(tmp_path: Path) -> None:
    """A group may be in one set alone; without any rule files are as they always were."""
    references = {
        name: pd.DataFrame({"corpus": "vn", "id": ids, "duration_s": 1.0, "text": "はい"})
        for name, ids in {"test": ["a/1", "b/1", "c"], "ood": ["d", "e"]}.items()
    }
    said = tmp_path / "said.jsonl"
    said.write_text(
        "".join(
            json.dumps({"set": name, "id": f"vn/{id_}"} | Transcript("はい", 1, 0.0).as_row())
            + "\n"
            for name, rows in references.items()
            for id_ in rows["id"]
        )
    )
    written = []
    for number, grouping in enumerate((NONE, Grouping({"vn": r"(\w)/"}, {}), NONE)):
        parts = variant.score_file(said, references, PARAMS, Words(), grouping)
        table, summary = tmp_path / f"{number}.parquet", tmp_path / f"{number}.json"
        found = variant.write(parts, table, summary)
        written.append((table.read_bytes(), summary.read_bytes()))
        back = scored.read(table)
        if grouping:
            assert list(back["group"].fillna("")) == ["a", "b", "", "", ""]
            assert found["test"]["macro"]["without_group"] == 1
            assert "macro" not in found["ood"]
            assert list(found["test"]["by_group"]) == ["a", "b"]
        else:
            assert list(back) == scored.SCHEMA.names
            assert "macro" not in found["test"]
    assert written[0] == written[2] != written[1]


def test_the_method_is_that_of_the_whole_set(monkeypatch: pytest.MonkeyPatch) -> None:
    """A small group of a large set has the closed form too, or a report would take hours."""
    rows = grouped({"a": [(1, 4), (0, 6), (2, 5)], "b": [(3, 10)] * 3})
    resampled = summarise(rows)["by_group"]["a"]
    monkeypatch.setattr(confidence, "MAX_RESAMPLED", 4)
    closed = summarise(rows)["by_group"]["a"]
    assert resampled["cer"] == closed["cer"]
    assert resampled["cer_high"] != closed["cer_high"]
