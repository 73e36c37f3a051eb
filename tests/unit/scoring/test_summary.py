"""Rates of a set of utterances are the sums that a reader would form, and always valid JSON."""

import json
import random
from typing import Any

import numpy as np
import pandas as pd
import pytest

from galgame_asr.messages.errors import DataError
from galgame_asr.report.comparison import compare
from galgame_asr.scoring import scored
from galgame_asr.scoring.scored import CLASSES, COUNTS, FLAGS
from galgame_asr.scoring.summary import summarise


def _row(id_: str, **values: Any) -> dict[str, Any]:
    """A row of a table of scored utterances; what is not given is nothing."""
    return {
        "set": "test",
        "id": id_,
        "corpus": "vn",
        "duration_s": 1.0,
        "reference": values.get("truth", ""),
        "hypothesis": values.get("heard", ""),
        "truth": "",
        "heard": "",
        "tokens": 1,
        "log_prob": -1.0,
        **dict.fromkeys(COUNTS, 0),
        **{f"edits_{name}": 0 for name in CLASSES},
        **{f"is_{name}": False for name in FLAGS},
        **values,
    }


ROWS = scored.frame(
    [
        _row("vn/a", truth="わたしも", heard="私も", characters=4, substitutions=1, deletions=2,
             kana=4, words=2, edits_spelling=3),
        _row("vn/b", truth="行こう", heard="行こう", characters=3, kana=3, words=1,
             reference="行こう！", duration_s=2.0),
        _row("vn/c", truth="はぁ", heard="はぁ" * 20, characters=2, insertions=38, kana=2, words=1,
             kana_errors=38, word_errors=19, edits_loop=38, is_loop=True, is_non_verbal=True),
        _row("read/d", corpus="read", truth="三番", heard="三番だよ", characters=2, insertions=2,
             kana=4, kana_errors=2, words=2, word_errors=1, edits_insertion=2,
             reference="３番", duration_s=30.0, is_suspect_label=True),
    ]
)  # fmt: skip


def _random(seed: int, rows: int = 200) -> pd.DataFrame:
    draw = random.Random(seed)
    made = []
    for number in range(rows):
        length = number % 30
        errors = sum(draw.random() < 0.3 for _ in range(length))
        made.append(
            _row(
                f"vn/{number:03}",
                truth="あ" * length,
                characters=length,
                substitutions=errors,
                edits_misheard=errors,
            )
        )
    return scored.frame(made)


def test_rates_by_hand() -> None:
    """Sums first, then one division; 43 edits of 11 characters, of which the caps leave 7."""
    summary = summarise(ROWS)
    expected = {
        "utterances": 4,
        "characters": 11,
        "substitutions": 1,
        "deletions": 2,
        "insertions": 40,
        "cer": 3.9091,
        "cer_capped": 0.6364,
        "cer_kana": 3.0769,
        "wer": 3.3333,
        "sentence_accuracy": 0.25,
        "suspect_labels": ["read/d"],
    }
    assert {name: summary[name] for name in expected} == expected
    for name in ("cer", "cer_capped", "cer_kana", "wer", "sentence_accuracy"):
        assert summary[f"{name}_low"] <= summary[name] <= summary[f"{name}_high"]
    assert summary["flags"]["loop"]["utterances"] == 1
    assert summary["flags"]["loop"]["rate"] == 0.25
    assert summary["flags"]["empty"]["rate_high"] == 0.0
    assert set(summary["flags"]) == set(FLAGS)


def test_the_breakdown_adds_up_to_the_cer() -> None:
    """Errors exactly, rates up to their rounding."""
    for rows in (ROWS, _random(1)):
        summary = summarise(rows)
        assert list(summary["breakdown"]) == list(CLASSES)
        parts = summary["breakdown"].values()
        assert sum(part["errors"] for part in parts) == sum(
            summary[name] for name in ("substitutions", "deletions", "insertions")
        )
        assert sum(part["cer"] for part in parts) == pytest.approx(summary["cer"], abs=3e-4)


@pytest.mark.parametrize(
    ("section", "expected"),
    [
        ("by_speech", {"verbal": 3, "non_verbal": 1}),
        ("by_script", {"kana": 2, "kanji": 1, "latin_or_digits": 1}),
        (
            "by_duration",
            {"under_2_s": 2, "2_to_5_s": 1, "5_to_10_s": 0, "10_to_20_s": 0, "from_20_s": 1},
        ),
        ("by_corpus", {"read": 1, "vn": 3}),
    ],
)
def test_each_utterance_is_in_one_group(section: str, expected: dict[str, int]) -> None:
    """Groups of a section add up to the set; one without characters has no rate."""
    groups = summarise(ROWS)[section]
    assert {name: group["utterances"] for name, group in groups.items()} == expected
    assert sum(group["characters"] for group in groups.values()) == 11
    assert sum(group["errors"] for group in groups.values()) == 43
    for group in groups.values():
        known = group["characters"] > 0
        assert (group["cer"] is not None) == known == (group["cer_low"] is not None)


def test_non_verbal_utterances_have_a_row_of_their_own() -> None:
    """Two characters with 38 errors stand apart from the words."""
    groups = summarise(ROWS)["by_speech"]
    assert (groups["non_verbal"]["characters"], groups["non_verbal"]["cer"]) == (2, 19.0)
    assert groups["verbal"]["cer"] == 0.5556


@pytest.mark.parametrize("rows", [ROWS[:0], scored.frame([_row("vn/a")])])
def test_nothing_to_divide_by_is_null(rows: pd.DataFrame) -> None:
    """No rows, or no characters: null instead of a crash or NaN, which JSON does not know."""
    summary = summarise(rows)
    json.dumps(summary, allow_nan=False)
    for name in ("cer", "cer_low", "cer_capped", "cer_kana", "wer", "detectable_difference"):
        assert summary[name] is None
    assert summary["breakdown"]["misheard"] == {"errors": 0, "cer": None}
    assert summary["sentence_accuracy"] == (1.0 if len(rows) else None)
    comparison = compare(rows, rows)
    json.dumps(comparison, allow_nan=False)
    assert comparison["decision"] == "undecided"


def test_the_same_bytes_whatever_the_order_of_rows() -> None:
    """The same seed gives the same file; another seed other bounds."""
    rows = _random(2)
    text = json.dumps(summarise(rows, seed=3), allow_nan=False)
    shuffled = rows.sample(frac=1, random_state=0)
    assert json.dumps(summarise(shuffled, seed=3)) == text
    assert json.dumps(summarise(rows, seed=4)) != text
    other = _random(3)
    assert compare(shuffled, other) == compare(rows, other)


def test_a_variant_does_not_differ_from_itself() -> None:
    """No difference, a p-value of 1, and no decision."""
    comparison = compare(_random(4), _random(4))
    assert comparison["decision"] == "undecided"
    for name in ("cer", "cer_capped", "cer_kana", "wer", "sentence_accuracy"):
        if comparison[name]["difference"] is not None:
            found = comparison[name]
            assert (found["difference"], found["low"], found["high"]) == (0, 0, 0)
            assert (found["z"], found["p"]) == (0, 1)


def test_the_second_variant_is_judged() -> None:
    """Fewer errors than the first: better, in negative differences; the other way round, worse."""
    first = _random(5)
    second = first.assign(substitutions=(first["substitutions"] * 0.7).astype(np.int32))
    comparison = compare(first, second)
    assert comparison["decision"] == "better"
    assert comparison["cer"]["low"] <= comparison["cer"]["difference"] <= comparison["cer"]["high"]
    assert comparison["cer"]["high"] < 0
    assert comparison["cer"]["p"] < 0.05
    assert 0 < comparison["cer"]["detectable"] < -comparison["cer"]["difference"]
    assert compare(second, first)["decision"] == "worse"


def test_only_the_same_references_are_compared() -> None:
    """Other utterances, or other rules of normalising, make no pairs."""
    rows = _random(6)
    for other in (rows[1:], rows.assign(truth="い")):
        with pytest.raises(DataError, match=r"different references.*score both again"):
            compare(rows, other)
