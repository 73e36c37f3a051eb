"""An audit flags labels that are not what is said, and proposes what two models agree on."""

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from galgame_asr.auditing import compare
from galgame_asr.auditing.params import AuditParams, FlagSeverities, Thresholds
from galgame_asr.core.params import parse
from galgame_asr.messages.errors import ConfigError, DataError, UtteranceError
from galgame_asr.scoring.words import Words
from galgame_asr.text.normalise import DEFAULT

WORDS = Words()
BOUNDS = {
    "disagrees": {"value": 0.2}, "label_short": {"value": 0.8}, "label_long": {"value": 1.25},
}  # fmt: skip
SAID = "葵、おはよう。"  # アオイオハヨオ


def heard(*texts: str, tokens: int = 4, log_prob: float | None = -2.0) -> pd.DataFrame:
    return pd.DataFrame(
        {"id": [f"u{n}" for n in range(len(texts))], "text": texts, "tokens": tokens,
         "log_prob": log_prob, "label_log_prob": -0.5, "lead_s": 0.1, "tail_s": np.nan}
    )  # fmt: skip


def audited(labels: list[str], *models: pd.DataFrame) -> pd.DataFrame:
    table = pd.DataFrame({"id": models[0]["id"], "text": labels})
    return compare.compare(table, models, DEFAULT, WORDS)


def flagged(rows: pd.DataFrame, **bounds: Any) -> list[list[str]]:
    flags, _ = compare.flag(rows, parse(Thresholds, BOUNDS | bounds, "thresholds"))
    return compare.listed(flags.assign(not_speech=False))


def test_each_flag_has_its_label() -> None:
    """The right label has none, however it is spelt; one of other words, cut or lengthened has."""
    labels = [
        SAID,
        "あおい、おはよー",
        "葵、帰ろう。",
        "葵。",
        "葵、おはよう、先輩、ごめんね。",
        "",
    ]
    rows = audited(labels, heard(*[SAID] * 6))
    assert flagged(rows) == [
        [], [], ["disagrees"], ["disagrees", "label_short"], ["disagrees", "label_long"],
        ["disagrees", "label_short"],
    ]  # fmt: skip


def test_figures_are_those_of_kana_and_tokens() -> None:
    """アオイ for アオイオハヨオ: four errors of three kana; three by seven; -2 of 4 tokens."""
    row = audited(["葵"], heard(SAID)).iloc[0]
    assert row["kana_cer"] == [round(4 / 3, 4)]
    assert row["length_ratio"] == [round(3 / 7, 4)]
    assert row["log_prob"] == [-0.5]
    assert (row["label_log_prob"], row["lead_s"]) == ([-0.5], [0.1])


def test_two_models_must_both_be_beyond() -> None:
    """What one of them hears as the label says has no flag."""
    labels = [SAID, SAID, "葵。", "葵。"]
    first, second = heard(SAID, "凛が好き。", SAID, SAID), heard("えへへ。", "凛。", "葵", SAID)
    rows = audited(labels, first, second)
    assert flagged(rows) == [[], ["disagrees", "label_long"], [], ["disagrees", "label_short"]]


def test_a_proposal_is_what_two_models_agree_on_against_the_label() -> None:
    """As the first writes it; not where they differ, say nothing, or say what the label does."""
    labels = ["葵。", "葵。", "葵。", SAID, SAID]
    first = heard(SAID, SAID, "", SAID, "葵、おかえり。")
    second = heard("アオイオハヨー", "葵、帰ろう。", "", SAID, "葵、おかえり")
    rows = audited(labels, first, second)
    assert rows["proposal"].dropna().to_dict() == {0: SAID, 4: "葵、おかえり。"}
    assert audited(labels, first)["proposal"].isna().all()


def test_nothing_heard_disagrees_and_has_no_length() -> None:
    """Also with a label that has no kana, and of a runtime that tells no probability."""
    rows = audited([SAID, "…"], heard("", "", log_prob=None))
    assert rows["kana_cer"].tolist() == [[1.0], [1.0]]
    assert np.isnan([values[0] for values in rows["length_ratio"]]).all()
    assert np.isnan([values[0] for values in rows["log_prob"]]).all()
    assert flagged(rows) == [["disagrees"], ["disagrees"]]


def test_a_quantile_is_of_the_corpus_itself() -> None:
    """A twentieth is beyond the bound that leaves 0.95 below, whatever the figures are."""
    labels = ["葵" * number for number in range(1, 101)]
    rows = audited(labels, heard(*["葵"] * 100))
    flags = flagged(rows, label_long={"quantile": 0.95}, label_short={"quantile": 0.03})
    assert sum("label_long" in own for own in flags) == 5
    assert sum("label_short" in own for own in flags) == 3


def test_only_audio_with_speech_is_speech() -> None:
    """What cannot be read is none either; where no label is doubtful nothing is asked about."""

    class Reader:
        def read_row(self, row: Any) -> Any:
            if row["id"] == "broken":
                raise UtteranceError("no audio")
            return np.full(10, row["id"] == "speech", np.float32)

    class Detector:
        def hears(self, audio: Any) -> bool:
            return bool(audio.any())

    rows = pd.DataFrame({"id": ["speech", "noise", "broken"]})
    reader: Any = Reader()
    detector: Any = Detector()
    flags = pd.DataFrame({"not_speech": [False] * 3})
    for doubted, expected in ([True] * 3, [False, True, True]), ([False] * 3, [False] * 3):
        flags["not_speech"] = False
        doubtful = pd.Series(doubted)
        heard = compare.without_speech(rows[doubtful], reader, detector)
        flags.loc[doubtful, "not_speech"] = heard
        assert flags["not_speech"].tolist() == expected


def test_other_rows_are_an_error() -> None:
    """An audit of another sample is not taken for this one's."""
    table = pd.DataFrame({"id": ["u1"], "text": [SAID]})
    with pytest.raises(DataError, match="other rows"):
        compare.compare(table, [heard(SAID)], DEFAULT, WORDS)


def test_a_flag_may_stop_the_stage() -> None:
    """As any check's: by its severity."""
    rows = audited([SAID, "葵。"], heard(SAID, SAID))
    rows["flags"] = flagged(rows)
    effects = {
        "disagrees": "drop",
        "label_short": "fail",
        "label_long": "warn",
        "not_speech": "warn",
    }
    with pytest.raises(DataError, match=r"1 labels .*\(label_short\): u1;"):
        compare.refuse_failed(rows, parse(FlagSeverities, effects, "audit.severity"))
    compare.refuse_failed(
        rows, parse(FlagSeverities, effects | {"label_short": "warn"}, "audit.severity")
    )


def test_counts_and_tables_keep_all(tmp_path: Path) -> None:
    """Every row is in each histogram where it has the figure; a table is read as it was written."""
    rows = audited([SAID, "葵。", "葵。"], heard(SAID, SAID, ""), heard(SAID, SAID, SAID))
    rows["flags"] = flagged(rows)
    found = compare.counts(rows, ["a", "b"], {"disagrees": 0.2})
    assert found["utterances"] == 3
    assert found["flagged"] == 2
    assert found["flags"]["disagrees"] == 2
    bars = found["histograms"]["kana_cer"]["utterances"]
    assert {name: sum(counts) for name, counts in bars.items()} == {"a": 3, "b": 3}
    assert sum(found["histograms"]["length_ratio"]["utterances"]["a"]) == 2
    compare.write(tmp_path / "vn.parquet", rows)
    again = compare.read(tmp_path / "vn.parquet")
    assert again["flags"].map(list).tolist() == rows["flags"].tolist()
    assert again["hypotheses"].map(list).tolist() == rows["hypotheses"].tolist()
    assert again["proposal"].dropna().to_dict() == rows["proposal"].dropna().to_dict() == {1: SAID}


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"checkpoints": ["a", "a"]}, "agrees with itself"),
        ({"checkpoints": ["a", "b", "c"]}, "at most 2"),
        ({"corpora": {"vn": {"sample": 1.5}}}, "sample"),
        ({"corpora": {"vn": {"thresholds": {"disagrees": {}}}}}, "one of value and quantile"),
    ],
)
def test_params_that_cannot_be_meant_are_refused(change: dict[str, Any], message: str) -> None:
    """With the key."""
    severity = dict.fromkeys(("disagrees", "label_short", "label_long", "not_speech"), "drop")
    whole = {"checkpoints": ["a"], "prompt": "japanese", "severity": severity, "corpora": {}}
    for corpus in change.get("corpora", {}).values():
        corpus.setdefault("sample", 1.0)
        corpus["thresholds"] = BOUNDS | corpus.get("thresholds", {})
    with pytest.raises(ConfigError, match=message):
        parse(AuditParams, whole | change, "audit")
