"""Batches of similar length under a budget of padded frames.

Sorting within a large window keeps the padding small, and a seeded shuffle of
the batches keeps their order from drifting from short to long. Nothing caps the
utterances per batch (FunASR's `batch_size_sample_max: 10` does, whatever the
batch size).
"""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

FRAMES_PER_S = 100  # the 10 ms hop of the filter banks


def num_frames(duration_s: NDArray[np.float64]) -> NDArray[np.int64]:
    """Feature frames of utterances, before stacking; at least 1."""
    frames: NDArray[np.int64] = np.maximum(np.round(duration_s * FRAMES_PER_S), 1).astype(np.int64)
    return frames


def by_length(order: NDArray[np.int64], frames: NDArray[np.int64], budget: int) -> list[list[int]]:
    """Cut an order sorted by rising length into batches.

    Args:
        order: indices into `frames`, sorted by their frames.
        frames: length of every utterance.
        budget: largest (utterances x longest utterance) of a batch. An
            utterance that exceeds it alone has a batch of its own.
    """
    cuts = [0]
    for position, length in enumerate(frames[order].tolist()):
        if position > cuts[-1] and (position + 1 - cuts[-1]) * length > budget:
            cuts.append(position)
    return [order[start:end].tolist() for start, end in pairwise([*cuts, len(order)])]


@dataclass(frozen=True)
class PhaseBatches:
    """The batches of a whole phase, epoch after epoch: a batch sampler for torch.

    Yields lists of (epoch, utterance). The same seed gives the same batches, so
    that a resumed phase finds its place by counting; every epoch draws anew
    which utterances meet.
    """

    frames: NDArray[np.int64]
    budget: int
    sort_window: int
    epochs: int
    seed: int

    def epoch(self, number: int) -> list[list[int]]:
        """The batches of one epoch (from 0): every utterance once."""
        generator = np.random.default_rng([self.seed, number])
        shuffled = generator.permutation(len(self.frames))
        batches = []
        for start in range(0, len(shuffled), self.sort_window):
            window = shuffled[start : start + self.sort_window]
            order = window[np.argsort(self.frames[window], kind="stable")]
            batches += by_length(order, self.frames, self.budget)
        return [batches[index] for index in generator.permutation(len(batches))]

    @cached_property
    def sizes(self) -> NDArray[np.int64]:
        """For each batch: epoch, real frames, padded frames."""
        return np.array(
            [
                (number, self.frames[batch].sum(), len(batch) * self.frames[batch].max())
                for number in range(self.epochs)
                for batch in self.epoch(number)
            ]
        )

    def __iter__(self) -> Iterator[list[tuple[int, int]]]:
        for number in range(self.epochs):
            for batch in self.epoch(number):
                yield [(number, index) for index in batch]

    def __len__(self) -> int:
        return len(self.sizes)
