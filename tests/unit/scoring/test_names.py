"""Names are counted as a reader would count them, and their rates have intervals."""

import json
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from galgame_asr.core.params import parse, read_yaml
from galgame_asr.families.common.transcript import Transcript
from galgame_asr.messages.errors import ConfigError
from galgame_asr.report import collect, figures, markdown
from galgame_asr.report.results import Results, Variant
from galgame_asr.scoring import names, scored, variant
from galgame_asr.scoring.groups import NONE
from galgame_asr.scoring.params import ScoreParams
from galgame_asr.scoring.summary import summarise
from galgame_asr.scoring.words import Words
from galgame_asr.text.normalise import normalise
from galgame_asr.text.params import NormaliseParams
from tests.conftest import REPOSITORY

RULES = NormaliseParams()
CAST = ("葵", "葵ちゃん", "凛", "ＡＢ")
# Reference and transcript; names said, found, heard.
CASES = {
    "vn/found": ("葵、おはよう。", "葵、おはよう", (1, 1, 1)),
    "vn/missed": ("葵、おはよう。", "碧、おはよう", (1, 0, 0)),
    "vn/false": ("おはよう。", "凛、おはよう", (0, 0, 1)),
    "vn/exchanged": ("葵と帰ろう。", "凛と帰ろう。", (1, 0, 1)),
    "vn/twice": ("凛、凛！", "凛！", (2, 1, 1)),
    "vn/moved": ("凛は葵が好き。", "葵は凛が好き。", (2, 2, 2)),
    "vn/longest": ("葵ちゃん。", "葵。", (1, 0, 1)),
    "vn/spelling": ("abさん", "ＡＢさん", (1, 1, 1)),
    "vn/none": ("はい。", "はい。", (0, 0, 0)),
}


def params(found: Any) -> ScoreParams:
    values = read_yaml(REPOSITORY / "params.yaml")["score"] | {"names": found}
    return parse(ScoreParams, values, "score")


def rows() -> pd.DataFrame:
    table = [
        (id_, normalise(truth, RULES), normalise(heard, RULES))
        for id_, (truth, heard, _) in CASES.items()
    ]
    return pd.DataFrame(table, columns=["id", "truth", "heard"])


def test_counts_by_hand() -> None:
    """Of each case above."""
    found = names.count(rows(), CAST, RULES)
    assert dict(zip(CASES, found.itertuples(index=False, name=None), strict=True)) == {
        id_: counts for id_, (_, _, counts) in CASES.items()
    }


def test_names_can_be_of_some_utterances() -> None:
    """Those of another game are none here; without any, all counts are 0."""
    found = names.count(rows(), {"/(found|false)$": ("葵",), "^own/": ("凛",)}, RULES)
    assert found[list(scored.NAMES)].sum().tolist() == [1, 1, 1]
    assert not names.count(rows(), (), RULES).to_numpy().any()
    names.check({"/found$": ("葵",)}, rows()["id"])
    with pytest.raises(ConfigError, match=r"'\^own/', which is found in none of 9 utterances"):
        names.check({"^vn/": ("葵",), "^own/": ("凛",)}, rows()["id"])


@pytest.fixture
def parts(tmp_path: Path) -> dict[str, pd.DataFrame]:
    """The cases, scored as the stage does it."""
    references = {
        "test": pd.DataFrame(
            [
                {"corpus": "vn", "id": id_[3:], "duration_s": 1.0, "text": truth}
                for id_, (truth, _, _) in CASES.items()
            ]
        )
    }
    said = tmp_path / "said.jsonl"
    lines = [
        json.dumps({"set": "test", "id": id_} | Transcript(heard, 3, -1.0).as_row())
        for id_, (_, heard, _) in CASES.items()
    ]
    said.write_text("\n".join(lines) + "\n")
    return variant.score_file(said, references, params(list(CAST)), Words(), NONE)


def test_rates_are_those_of_the_counts(parts: dict[str, pd.DataFrame], tmp_path: Path) -> None:
    """9 were said, 5 of them found, 8 heard; written and read back, with intervals around."""
    table, summary = tmp_path / "t.parquet", tmp_path / "s.json"
    found = variant.write(parts, table, summary)["test"]["names"]
    assert (found["said"], found["found"], found["heard"]) == (9, 5, 8)
    assert found["recall"] == round(5 / 9, 4)
    assert found["precision"] == 5 / 8
    assert found["false_per_utterance"] == round(3 / 9, 4)
    for rate in ("recall", "precision", "false_per_utterance"):
        assert 0 <= found[f"{rate}_low"] < found[rate] < found[f"{rate}_high"]
    assert list(scored.read(table)) == scored.NAMED.names
    without = {"test": parts["test"].drop(columns=list(scored.NAMES))}
    assert "names" not in variant.write(without, table, summary)["test"]
    assert list(scored.read(table)) == scored.SCHEMA.names


def test_a_set_without_names_has_no_rate(parts: dict[str, pd.DataFrame]) -> None:
    """And is valid JSON all the same."""
    found = summarise(parts["test"].assign(**dict.fromkeys(scored.NAMES, 0)))["names"]
    assert (found["recall"], found["precision"], found["false_per_utterance"]) == (None, None, 0.0)
    json.dumps(found, allow_nan=False)


def test_the_report_tells_them(parts: dict[str, pd.DataFrame]) -> None:
    """In a table of its own, and in that of `evaluate`; without names there is none."""
    one = Variant("full/p100", "names")

    def results(part: pd.DataFrame) -> Results:
        of_it = collect.of_summary(one, summarise(part))
        return Results("test", 9, 30, [of_it], {}, [], [], [], {})

    told = results(parts["test"])
    text = markdown.text([told], {})
    assert (
        "| checkpoint | prompt | names: recall | precision | false per utterance | counts" in text
    )
    assert "| full/p100 | names | 55.56% (" in text
    assert "| 9, 5, 8 |" in text
    assert "names: recall" in figures.text([told])
    plain = results(parts["test"].drop(columns=list(scored.NAMES)))
    assert "names: recall" not in markdown.text([plain], {}) + figures.text([plain])
