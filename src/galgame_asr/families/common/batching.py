"""Batches of similar length under a budget of padded frames.

Sorting within a large window keeps the padding small, and a seeded shuffle of
the batches keeps their order from drifting from short to long. Nothing caps the
utterances per batch (FunASR's `batch_size_sample_max: 10` does, whatever the
batch size).
"""

import math
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from itertools import chain, islice, pairwise
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

FRAMES_PER_S = 100  # the 10 ms hop of the filter banks


def num_frames(duration_s: NDArray[np.float64]) -> NDArray[np.int64]:
    """Feature frames of utterances, before stacking; at least 1."""
    frames: NDArray[np.int64] = np.maximum(np.round(duration_s * FRAMES_PER_S), 1).astype(np.int64)
    return frames


def window_frames(window_s: float | None) -> int | None:
    """Frames that a model pads all speech to; None: it does not."""
    return None if window_s is None else round(window_s * FRAMES_PER_S)


def by_length(
    order: NDArray[np.int64], frames: NDArray[np.int64], budget: int, window: int | None = None
) -> list[list[int]]:
    """Cut an order sorted by rising length into batches.

    Args:
        order: indices into `frames`, sorted by their frames.
        frames: length of every utterance.
        budget: largest (utterances x longest utterance) of a batch. An
            utterance that exceeds it alone has a batch of its own.
        window: frames that every utterance counts as; None: as many as it has.
    """
    cuts = [0]
    for position, own in enumerate(frames[order].tolist()):
        length = window or own
        if position > cuts[-1] and (position + 1 - cuts[-1]) * length > budget:
            cuts.append(position)
    return [order[start:end].tolist() for start, end in pairwise([*cuts, len(order)])]


def _at_speed(frames: NDArray[np.int64], speeds: NDArray[np.float64]) -> NDArray[np.int64]:
    heard: NDArray[np.int64] = np.maximum(np.round(frames / speeds), 1).astype(np.int64)
    return heard


class Pick(NamedTuple):
    """One utterance in one epoch."""

    epoch: int  # from 0
    row: int  # among those to train on
    speed: float  # at which it is heard; 0.9 is slower


@dataclass(frozen=True)
class PhaseBatches:
    """The batches of a whole phase, epoch after epoch: a batch sampler for torch.

    Yields lists of `Pick`. The same seed gives the same batches, so that a resumed
    phase finds its place by counting; every epoch draws anew which utterances meet,
    and at which speed. Several processes take turns; so that all have equally many,
    the last ones may get a batch of the beginning once more.
    """

    frames: NDArray[np.int64]
    budget: int
    sort_window: int
    epochs: int
    seed: int
    speeds: tuple[float, ...] = (1.0,)
    window: int | None = None  # see `by_length`
    processes: int = 1
    process: int = 0  # of this one, from 0

    def epoch(self, number: int) -> list[list[Pick]]:
        """The batches of one epoch (from 0): every utterance once, for all processes."""
        generator = np.random.default_rng([self.seed, number])
        speeds = np.random.default_rng([self.seed, number, 1]).choice(self.speeds, len(self.frames))
        frames = _at_speed(self.frames, speeds)
        shuffled = generator.permutation(len(frames))
        batches = []
        for start in range(0, len(shuffled), self.sort_window):
            window = shuffled[start : start + self.sort_window]
            order = window[np.argsort(frames[window], kind="stable")]
            batches += by_length(order, frames, self.budget, self.window)
        return [
            [Pick(number, item, float(speeds[item])) for item in batches[index]]
            for index in generator.permutation(len(batches))
        ]

    @cached_property
    def sizes(self) -> NDArray[np.int64]:
        """For each batch of all processes: epoch, real frames, padded frames."""
        rows = []
        for number in range(self.epochs):
            for batch in self.epoch(number):
                _, picked, speeds = zip(*batch, strict=True)
                frames = _at_speed(self.frames[list(picked)], np.array(speeds))
                padded = self.window or frames.max()
                rows.append((number, frames.sum(), len(frames) * padded))
        return np.array(rows)

    def __iter__(self) -> Iterator[list[Pick]]:
        repeated = -len(self.sizes) % self.processes
        everything = chain(self._all(), islice(self._all(), repeated))
        return islice(everything, self.process, None, self.processes)

    def _all(self) -> Iterator[list[Pick]]:
        return chain.from_iterable(map(self.epoch, range(self.epochs)))

    def __len__(self) -> int:
        return math.ceil(len(self.sizes) / self.processes)
