"""Intervals, tests and decisions: against another tool, by hand, and on simulated test sets."""

import math
import random
from collections.abc import Callable

import kaldialign
import numpy as np
import pytest

from galgame_asr.scoring import confidence
from galgame_asr.scoring.confidence import Counts, Interval, MatchedPairs


def _simulate(draw: np.random.Generator, utterances: int) -> tuple[Counts, Counts]:
    """Errors and lengths of utterances that are not equally hard; the true rate is 0.2."""
    lengths = draw.integers(0, 40, utterances)
    return draw.binomial(lengths, draw.beta(1, 4, utterances)), lengths


def test_agrees_with_kaldialign() -> None:
    """Its bounds, as Kaldi's, are the mean of the same bootstrap and 1.96 deviations around it.

    Without loops the rates of resamples are near to normal, and both are the same.
    """
    draw = random.Random(1)
    pairs = []
    for _ in range(400):
        truth = draw.choices("あいうえお", k=draw.randint(1, 20))
        heard = [char for char in truth if draw.random() > 0.2]
        pairs.append((truth, heard))
    references, hypotheses = map(list, zip(*pairs, strict=True))
    expected = kaldialign.bootstrap_wer_ci(references, hypotheses, replications=10_000)
    counts = [kaldialign.edit_distance(*pair)["total"] for pair in pairs]
    found = confidence.interval(
        np.array(counts), np.array([len(truth) for truth in references]), seed=0
    )
    assert found is not None
    width = found.high - found.low
    assert abs(found.low - expected["ci95min"]) < 0.04 * width
    assert abs(found.high - expected["ci95max"]) < 0.04 * width


@pytest.mark.parametrize("limit", [confidence.MAX_RESAMPLED, 0])
def test_covers_the_true_rate(monkeypatch: pytest.MonkeyPatch, limit: int) -> None:
    """About 95 of 100 intervals hold the true rate, resampled and in closed form."""
    monkeypatch.setattr(confidence, "MAX_RESAMPLED", limit)
    draw = np.random.default_rng(2)
    covered = 0
    for seed in range(400):
        found = confidence.interval(*_simulate(draw, 200), seed=seed, resamples=500)
        assert found is not None
        covered += found.low <= 0.2 <= found.high
    assert 0.91 <= covered / 400 <= 0.98


def test_the_closed_form_is_close_to_resampling(monkeypatch: pytest.MonkeyPatch) -> None:
    """The two meet for many utterances, so the limit between them shows in no rate."""
    errors, lengths = _simulate(np.random.default_rng(3), 2000)
    resampled = confidence.interval(errors, lengths, seed=0)
    monkeypatch.setattr(confidence, "MAX_RESAMPLED", 0)
    closed = confidence.interval(errors, lengths, seed=0)
    assert resampled is not None
    assert closed is not None
    width = closed.high - closed.low
    assert abs(resampled.low - closed.low) < 0.05 * width
    assert abs(resampled.high - closed.high) < 0.05 * width


def test_parts_of_a_set_are_rates_of_their_own() -> None:
    """A rate of some rows holds its value; one without characters has no interval."""
    errors, lengths = _simulate(np.random.default_rng(4), 300)
    mask = np.arange(300) < 40
    whole, part, none = confidence.intervals(
        np.column_stack([errors, errors * mask, errors * 0]),
        np.column_stack([lengths, lengths * mask, lengths * 0]),
        seed=0,
    )
    assert whole == confidence.interval(errors, lengths, seed=0)
    assert part is not None
    assert part.low < errors[mask].sum() / lengths[mask].sum() < part.high
    assert none is None
    empty = np.zeros((0, 2), dtype=np.int64)
    assert confidence.intervals(empty, empty, seed=0) == [None, None]


def test_a_part_missing_from_resamples_does_not_spoil_the_rest() -> None:
    """With characters in one utterance alone, a third of the resamples have none to divide by."""
    assert confidence.interval(np.array([1, 0, 0]), np.array([4, 0, 0]), seed=0) == Interval(
        0.25, 0.25
    )


def test_the_seed_decides_to_the_last_bit(monkeypatch: pytest.MonkeyPatch) -> None:
    """The same seed gives the same interval, however much is drawn at a time."""
    errors, lengths = _simulate(np.random.default_rng(5), 301)
    first = confidence.interval(errors, lengths, seed=1)
    assert confidence.interval(errors, lengths, seed=2) != first
    monkeypatch.setattr(confidence, "CHUNK", 1000)
    assert confidence.interval(errors, lengths, seed=1) == first


def test_matched_pairs_by_hand() -> None:
    """Differences -1, 0, -2, 1, -3: mean -1, deviation sqrt(2.5), z = -sqrt(2)."""
    first, second = np.array([3, 1, 4, 0, 5]), np.array([2, 1, 2, 1, 2])
    found = confidence.matched_pairs(first, second)
    assert found is not None
    assert found.z == pytest.approx(-math.sqrt(2))
    assert found.p == pytest.approx(0.15729920705)  # erfc(1)
    other_way = confidence.matched_pairs(second, first)
    assert other_way is not None
    assert (other_way.z, other_way.p) == pytest.approx((math.sqrt(2), found.p))


def test_matched_pairs_at_the_edges() -> None:
    """Equal variants do not differ; without variance or utterances there is no test."""
    one, two = np.array([1, 2]), np.array([2, 3])
    assert confidence.matched_pairs(one, one) == MatchedPairs(z=0.0, p=1.0)
    assert confidence.matched_pairs(one, two) is None
    assert confidence.matched_pairs(one[:1], two[:1]) is None
    assert confidence.matched_pairs(one[:0], one[:0]) is None


def test_equal_variants_do_not_differ() -> None:
    """The paired interval of a variant with itself is 0, and decides nothing."""
    errors, lengths = _simulate(np.random.default_rng(6), 100)
    found = confidence.interval(errors - errors, lengths, seed=0)
    assert found == Interval(0.0, 0.0)
    assert confidence.decide(found) == "undecided"


@pytest.mark.parametrize(
    ("interval", "expected"),
    [
        (Interval(-0.03, -0.01), "better"),
        (Interval(0.01, 0.03), "worse"),
        (Interval(-0.01, 0.03), "undecided"),
        (Interval(-0.01, 0.0), "undecided"),
        (None, "undecided"),
    ],
)
def test_decisions(interval: Interval | None, expected: str) -> None:
    """Fewer errors are better; an interval that holds 0 does not decide."""
    assert confidence.decide(interval) == expected


def test_one_loop_does_not_decide() -> None:
    """A variant that hears better is better, although it loops on one utterance."""
    draw = np.random.default_rng(7)
    lengths = draw.integers(5, 40, 1000)
    first = draw.binomial(lengths, 0.25)
    second = draw.binomial(first, 0.8)
    second[0] += 5000
    assert second.sum() > first.sum()

    def decision(errors: Callable[[Counts], Counts]) -> str:
        return confidence.decide(
            confidence.interval(errors(second) - errors(first), lengths, seed=0)
        )

    assert decision(lambda errors: errors) == "undecided"
    assert decision(lambda errors: confidence.capped(errors, lengths)) == "better"


def test_the_detectable_difference_is_detected_with_its_power() -> None:
    """Of two variants that far apart, about 80 of 100 test sets show which is better."""
    draw = np.random.default_rng(8)
    lengths = draw.integers(5, 40, 500)

    def differences(shift: float) -> Counts:
        return draw.binomial(lengths, 0.2 - shift) - draw.binomial(lengths, 0.2)

    detectable = confidence.detectable_difference(differences(0), lengths)
    assert detectable is not None
    found = [
        confidence.interval(differences(detectable), lengths, seed=0, resamples=300)
        for _ in range(300)
    ]
    detected = sum(confidence.decide(interval) == "better" for interval in found)
    assert 0.7 <= detected / 300 <= 0.9
    assert confidence.detectable_difference(lengths[:0], lengths[:0]) is None
