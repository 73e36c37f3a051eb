"""Steps hold every utterance once, in an order that seeds decide; divisions keep that."""

from itertools import chain
from typing import Any

import numpy as np
import pytest

from galgame_asr.training.batches import Division, Steps, evenly

# Durations like those of the galgame corpus: log-normal, 5 s on average, at most 30 s.
FRAMES = np.minimum(np.random.default_rng(0).lognormal(np.log(4.26), 0.6, 5000) * 100, 3000).astype(
    np.int64
)


def steps(**change: Any) -> Steps:
    values: dict[str, Any] = {"step_frames": 4000, "sort_window": 1024, "epochs": 2, "seed": 0}
    return Steps(FRAMES, **values | change)


def test_every_epoch_holds_every_utterance_once() -> None:
    """Nothing is dropped or repeated, and the length is what iteration gives."""
    phase = steps()
    drawn = list(phase.since(0))
    assert len(drawn) == len(phase)
    for epoch in (0, 1):
        rows = [pick.row for step in drawn for pick in step if pick.epoch == epoch]
        assert sorted(rows) == list(range(len(FRAMES)))
    frames = [(step[0].epoch, sum(FRAMES[pick.row] for pick in step)) for step in drawn]
    assert phase.sizes.tolist() == [list(size) for size in frames]


def test_a_phase_goes_on_at_any_step() -> None:
    """Wherever it stopped: within an epoch, between two, and at its end."""
    phase = steps()
    drawn = list(phase.since(0))
    first = int((phase.sizes[:, 0] == 0).sum())
    for done in (1, first - 1, first, first + 1, len(drawn) - 1, len(drawn)):
        assert list(phase.since(done)) == drawn[done:]


@pytest.mark.parametrize("step_frames", [4000, 28_000])
def test_steps_are_about_as_large_as_asked_for(step_frames: int) -> None:
    """In frames without padding, all alike; nothing caps their utterances (FunASR's ten)."""
    sizes = steps(step_frames=step_frames).sizes[:, 1]
    assert sizes.mean() == pytest.approx(step_frames, rel=0.06)
    assert sizes.max() < step_frames + FRAMES.max()
    assert sizes.std() < 0.2 * step_frames


def test_padding_is_at_most_5_percent() -> None:
    """On the corpus's distribution of durations, with the seed's batch size."""
    phase = steps(sort_window=4096)
    picked = [FRAMES[[pick.row for pick in step]] for step in phase.since(0)]
    padded = sum(len(frames) * frames.max() for frames in picked)
    assert padded / sum(frames.sum() for frames in picked) < 1.05


def test_seeds_and_epochs_decide_the_order() -> None:
    """The same seed gives the same steps; another seed or epoch other ones."""
    assert list(steps().since(0)) == list(steps().since(0))
    assert list(steps().since(0)) != list(steps(seed=1).since(0))
    phase = steps()
    first, second = ({frozenset(p.row for p in b) for b in phase.epoch(n)} for n in (0, 1))
    assert first != second


def test_steps_are_not_sorted_from_short_to_long() -> None:
    """About half of them are shorter than the one before (in FunASR's sampler 1 %)."""
    longest = [max(FRAMES[pick.row] for pick in step) for step in steps().epoch(0)]
    assert 0.4 < np.mean(np.diff(longest) < 0) < 0.6


def test_speeds_are_drawn_per_utterance_and_epoch() -> None:
    """Each about equally often; a step is as large as what is heard."""
    phase = steps(speeds=(0.9, 1.0, 1.1))
    first, second = (
        {pick.row: pick.speed for pick in chain.from_iterable(phase.epoch(n))} for n in (0, 1)
    )
    for speed in (0.9, 1.0, 1.1):
        assert 0.3 < np.mean([s == speed for s in first.values()]) < 0.37
    assert first != second
    step = next(phase.epoch(0))
    heard = sum(round(FRAMES[pick.row] / pick.speed) for pick in step)
    assert phase.sizes[0, 1] == heard


def test_runs_are_even_and_never_empty() -> None:
    """Whatever the lengths, their order is kept and each belongs to one run."""
    draw = np.random.default_rng(1)
    for _ in range(300):
        lengths = draw.integers(1, draw.integers(2, 3000), draw.integers(1, 30))
        parts = int(draw.integers(1, 40))
        runs = [list(range(len(lengths)))[run] for run in evenly(lengths, parts)]
        assert list(chain.from_iterable(runs)) == list(range(len(lengths)))
        assert all(runs)
        assert len(runs) <= parts
        largest = max(lengths[run].sum() for run in runs)
        assert largest <= lengths.sum() / parts + lengths.max()


@pytest.mark.parametrize("processes", [1, 2, 3])
@pytest.mark.parametrize("budget", [None, 600, 1200, 4000])
def test_micro_batches_stay_within_their_budget(processes: int, budget: int | None) -> None:
    """Unless one utterance alone exceeds it; together they are the step."""
    division = Division(budget, processes=processes)
    for step in list(steps().epoch(0))[:40]:
        frames = FRAMES[[pick.row for pick in step]]
        parts = division.cut(frames)
        assert sorted(np.concatenate(parts)) == list(range(len(step)))
        for part in parts:
            assert budget is None or len(part) == 1 or division.padded(frames[part]) <= budget
        if budget is None:
            assert len(parts) == min(processes, len(step))


def test_a_window_counts_whole() -> None:
    """Where a model pads all speech, micro-batches have equally many utterances."""
    parts = Division(12_000, window=3000).cut(FRAMES[:10])
    assert [len(part) for part in parts] == [3, 4, 3]
