"""Batches hold every utterance once, under a budget, in an order that seeds decide."""

from itertools import chain, zip_longest
from typing import Any

import numpy as np
import pytest

from galgame_asr.families.common.batching import PhaseBatches, by_length

# Durations like those of the galgame corpus: log-normal, 5 s on average, at most 30 s.
FRAMES = np.minimum(np.random.default_rng(0).lognormal(np.log(4.26), 0.6, 5000) * 100, 3000).astype(
    np.int64
)


def batches(**change: Any) -> PhaseBatches:
    values: dict[str, Any] = {"budget": 4000, "sort_window": 1024, "epochs": 2, "seed": 0}
    return PhaseBatches(FRAMES, **values | change)


def test_every_epoch_holds_every_utterance_once() -> None:
    """Nothing is dropped or repeated, and the length is what iteration gives."""
    phase = batches()
    drawn = list(phase)
    assert len(drawn) == len(phase)
    for epoch in (0, 1):
        rows = [pick.row for batch in drawn for pick in batch if pick.epoch == epoch]
        assert sorted(rows) == list(range(len(FRAMES)))


def test_no_batch_exceeds_the_budget_unless_alone() -> None:
    """Padded frames stay within the budget; one long utterance still trains, alone."""
    for batch in batches(budget=2000):
        longest = max(FRAMES[pick.row] for pick in batch)
        assert len(batch) == 1 or len(batch) * longest <= 2000
    assert any(FRAMES > 2000)


def test_a_window_counts_whole() -> None:
    """Where a model pads all speech, batches are of equal size and the padding is told."""
    phase = batches(budget=12_000, window=3000)
    assert {len(batch) for batch in phase} <= {4, len(FRAMES) % 1024 % 4}
    _, real, padded = phase.sizes.sum(axis=0)
    assert real == 2 * FRAMES.sum()
    assert padded == 2 * 3000 * len(FRAMES)


def test_nothing_caps_the_utterances_of_a_batch() -> None:
    """Seven times the budget gives seven times the utterances (FunASR stops at ten)."""
    assert len(batches(budget=28_000)) * 6 < len(batches(budget=4000))


def test_padding_is_at_most_5_percent() -> None:
    """On the corpus's distribution of durations, with the seed's batch size."""
    _, real, padded = batches(sort_window=4096).sizes.sum(axis=0)
    assert padded / real < 1.05


def test_seeds_and_epochs_decide_the_order() -> None:
    """The same seed gives the same batches; another seed or epoch other batches."""
    assert list(batches()) == list(batches())
    assert list(batches()) != list(batches(seed=1))
    phase = batches()
    assert phase.epoch(0) != phase.epoch(1)
    first, second = ({frozenset(p.row for p in b) for b in phase.epoch(n)} for n in (0, 1))
    assert first != second


def test_batches_are_not_sorted_from_short_to_long() -> None:
    """About half of the steps go to a shorter batch (in FunASR's sampler 1 %)."""
    longest = [max(FRAMES[pick.row] for pick in batch) for batch in batches().epoch(0)]
    assert 0.4 < np.mean(np.diff(longest) < 0) < 0.6


@pytest.mark.parametrize("processes", [2, 3])
def test_processes_share_the_batches(processes: int) -> None:
    """In turns they have all batches of one process; each has equally many."""
    shares = [list(batches(processes=processes, process=n)) for n in range(processes)]
    lengths = {len(share) for share in shares}
    assert lengths == {len(batches(processes=processes, process=0))}
    together = [batch for turn in zip_longest(*shares) for batch in turn]
    alone = list(batches())
    assert together[: len(alone)] == alone
    assert together[len(alone) :] == alone[: len(together) - len(alone)]


def test_speeds_are_drawn_per_utterance_and_epoch() -> None:
    """Each about equally often; the budget holds for what is heard."""
    phase = batches(speeds=(0.9, 1.0, 1.1))
    first, second = (
        {pick.row: pick.speed for pick in chain.from_iterable(phase.epoch(n))} for n in (0, 1)
    )
    for speed in (0.9, 1.0, 1.1):
        assert 0.3 < np.mean([s == speed for s in first.values()]) < 0.37
    assert first != second
    for batch in phase:
        longest = max(round(FRAMES[pick.row] / pick.speed) for pick in batch)
        assert len(batch) * longest <= 4000
    assert phase.sizes[:, 2].max() <= 4000


@pytest.mark.parametrize("count", [0, 1])
def test_few_utterances(count: int) -> None:
    """No utterance is no batch; one is one."""
    frames = FRAMES[:count]
    assert [b for b in by_length(np.arange(count), frames, 10) if b] == [[0]] * count
