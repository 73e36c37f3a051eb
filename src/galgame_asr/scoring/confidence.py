"""How sure a rate of errors is, given the utterances it was measured on.

Every rate here is a sum of errors over a sum of lengths, and an utterance is what is drawn at
random: characters of one utterance go wrong together, utterances do not. Two variants are
compared on the same utterances, by the errors of the second minus those of the first; that
difference is a rate like any other, so it has no code of its own.
"""

import math
from collections.abc import Iterator
from dataclasses import dataclass
from statistics import NormalDist
from typing import Literal

import numpy as np
import numpy.typing as npt

Counts = npt.NDArray[np.integer]
Floats = npt.NDArray[np.float64]
Decision = Literal["better", "worse", "undecided"]

LEVEL = 0.95  # of every interval
POWER = 0.8  # the chance to notice a difference of the minimum detectable size
RESAMPLES = 10_000
# Above so many utterances resampling takes minutes for a report, and a sum of so many is normal
# enough for the closed form.
MAX_RESAMPLED = 5_000
CHUNK = 2**20  # utterances drawn at a time: 25 MB
BILLION = 10**9

_BOUND = NormalDist().inv_cdf((1 + LEVEL) / 2)


@dataclass(frozen=True)
class Interval:
    """Where a rate lies in 95 of 100 test sets drawn like this one."""

    low: float
    high: float


@dataclass(frozen=True)
class MatchedPairs:
    """Outcome of a matched-pairs test: the normal deviate and its two-sided p-value."""

    z: float
    p: float


def interval(
    errors: Counts,
    lengths: Counts,
    *,
    seed: int,
    resamples: int = RESAMPLES,
    whole: int | None = None,
) -> Interval | None:
    """Interval of sum(errors) / sum(lengths); None where the lengths are all 0."""
    columns = errors[:, None], lengths[:, None]
    return intervals(*columns, seed=seed, resamples=resamples, whole=whole)[0]


def mean_interval(rates: Floats, *, seed: int, resamples: int = RESAMPLES) -> Interval | None:
    """Interval of the mean of rates of groups, which are drawn whole (cluster bootstrap).

    What lines of one game have in common, such as its voices and music, is drawn with them: the
    interval says how the mean would come out with other games. None for fewer than two groups.
    """
    if len(rates) < 2:
        return None
    # Whole numbers, whose sums are exact in any order.
    parts = np.rint(rates * BILLION).astype(np.int64)
    return interval(parts, np.full_like(parts, BILLION), seed=seed, resamples=resamples)


def intervals(
    errors: Counts,
    lengths: Counts,
    *,
    seed: int,
    resamples: int = RESAMPLES,
    whole: int | None = None,
) -> list[Interval | None]:
    """Intervals of several rates of the same utterances.

    Up to MAX_RESAMPLED utterances this is the percentile bootstrap (Bisani and Ney 2004), above
    it the delta method. A rate of a part of the set has errors and lengths of 0 elsewhere.

    Args:
        errors: one row per utterance, one column per rate.
        lengths: the same shape.
        seed: of the resampling; the same seed gives the same bounds to the last bit.
        resamples: test sets drawn.
        whole: utterances of the set that these are a part of, whose number decides the method.

    Returns:
        One interval per column; None where there is nothing to divide by.
    """
    defined = np.flatnonzero(lengths.sum(axis=0))
    found: list[Interval | None] = [None] * lengths.shape[1]
    if not len(defined):
        return found
    errors, lengths = errors[:, defined], lengths[:, defined]
    if (whole or len(errors)) > MAX_RESAMPLED:
        bounds = _closed_form(errors, lengths)
    else:
        bounds = _resampled(errors, lengths, seed, resamples)
    for column, (low, high) in zip(defined.tolist(), bounds.tolist(), strict=True):
        found[column] = Interval(low, high)
    return found


def _resampled(errors: Counts, lengths: Counts, seed: int, resamples: int) -> Floats:
    columns = np.hstack([errors, lengths]).astype(np.float64)
    # Sums of whole numbers are exact in any order, so threads do not change the result.
    sums = np.concatenate([w @ columns for w in _weights(len(columns), seed, resamples)])
    numerators, denominators = np.hsplit(sums, 2)
    # A small part of the set may be missing from a resample, which then says nothing about it.
    rates = np.divide(
        numerators, denominators, out=np.full_like(numerators, np.nan), where=denominators > 0
    )
    tail = 100 * (1 - LEVEL) / 2
    bounds: Floats = np.nanpercentile(rates, [tail, 100 - tail], axis=0).T
    return bounds


def _weights(utterances: int, seed: int, resamples: int) -> Iterator[Floats]:
    """How often each utterance is drawn: one row per resample, some resamples at a time."""
    draw = np.random.default_rng(seed)
    step = max(1, CHUNK // utterances)
    for start in range(0, resamples, step):
        rows = min(step, resamples - start)
        drawn = draw.integers(0, utterances, (rows, utterances))
        drawn += utterances * np.arange(rows)[:, None]
        counts = np.bincount(drawn.ravel(), minlength=rows * utterances)
        yield counts.reshape(rows, utterances).astype(np.float64)


def _closed_form(errors: Counts, lengths: Counts) -> Floats:
    rates = errors.sum(axis=0) / lengths.sum(axis=0)
    spread = _BOUND * _standard_error(errors, lengths)
    return np.column_stack([rates - spread, rates + spread])


def _standard_error(errors: Counts, lengths: Counts) -> Floats:
    """Of a ratio of two sums over utterances, by the delta method."""
    total = lengths.sum(axis=0)
    residuals = errors - errors.sum(axis=0) / total * lengths
    deviation: Floats = np.sqrt(np.square(residuals).sum(axis=0)) / total
    return deviation


def matched_pairs(first: Counts, second: Counts) -> MatchedPairs | None:
    """MAPSSWE test of whether two variants make the same number of errors.

    Gillick and Cox 1989, "Some statistical issues in the comparison of speech recognition
    algorithms", as in sc_stats of NIST's SCTK, with each utterance as one segment: utterances
    are decoded on their own, so their errors are independent. z is negative where the second
    variant makes fewer errors.

    Returns:
        None for fewer than two utterances, or where all differ by the same amount.
    """
    differences = second - first
    if len(differences) < 2:
        return None
    if not differences.any():
        return MatchedPairs(z=0.0, p=1.0)
    deviation = float(differences.std(ddof=1))
    if deviation == 0:
        return None
    z = float(differences.mean()) * math.sqrt(len(differences)) / deviation
    return MatchedPairs(z=z, p=math.erfc(abs(z) / math.sqrt(2)))


def detectable_difference(differences: Counts, lengths: Counts) -> float | None:
    """Smallest true difference of two rates that these utterances would show, with power 0.8.

    Of two variants, `differences` are the errors of one minus those of the other. Of one
    variant alone they are its errors, for planning: two variants find the same utterances hard,
    and with a correlation of 0.5 their difference varies as much as the errors of one.
    """
    if not lengths.sum():
        return None
    error = float(_standard_error(differences, lengths))
    return (_BOUND + NormalDist().inv_cdf(POWER)) * error


def capped(errors: Counts, lengths: Counts) -> Counts:
    """Errors, at most the length of the reference for each utterance.

    A single decoder loop makes hundreds of errors: two of 1,000 utterances can be a sixth of
    all errors and most of the variance, and then they alone decide which variant wins. Text
    invented for an empty reference is left out altogether: that is the flag `invented`.
    """
    return np.minimum(errors, lengths)


def decide(difference: Interval | None) -> Decision:
    """Whether the second variant is better than the first.

    Args:
        difference: interval of the second's capped errors minus the first's.
    """
    if difference is not None and difference.high < 0:
        return "better"
    if difference is not None and difference.low > 0:
        return "worse"
    return "undecided"
