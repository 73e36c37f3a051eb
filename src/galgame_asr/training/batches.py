"""The utterances of every optimizer step of a phase, and how a machine divides a step.

A step is part of the recipe: which utterances it holds does not depend on the machine. Its
division into micro-batches, which processes take in turn, changes results by rounding alone.

Sorting within a large window keeps the padding small, and a seeded shuffle of the steps keeps
their order from drifting from short to long. Nothing caps the utterances per step (FunASR's
`batch_size_sample_max: 10` does, whatever the batch size).
"""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from itertools import count, islice, pairwise
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray


class Pick(NamedTuple):
    """One utterance in one epoch."""

    epoch: int  # from 0
    row: int  # among those to train on
    speed: float  # at which it is heard; 0.9 is slower


def evenly(lengths: NDArray[np.int64], parts: int) -> list[slice]:
    """Cut lengths into runs of about equal sums: at most `parts`, none of them empty."""
    ends = np.cumsum(lengths)
    targets = ends[-1] * np.arange(1, parts) / parts
    cuts = np.searchsorted(ends - lengths / 2, targets)
    return [slice(start, end) for start, end in pairwise(np.unique([0, *cuts, len(lengths)]))]


def at_speed(frames: NDArray[np.int64], speeds: NDArray[np.float64]) -> NDArray[np.int64]:
    """Frames of utterances that are heard at other speeds; at least 1."""
    heard: NDArray[np.int64] = np.maximum(np.round(frames / speeds), 1).astype(np.int64)
    return heard


@dataclass(frozen=True)
class Steps:
    """The steps of a whole phase, epoch after epoch.

    The same seed gives the same steps, so that a resumed phase finds its place by counting;
    every epoch draws anew which utterances meet, and at which speed.
    """

    frames: NDArray[np.int64]  # of each utterance
    step_frames: int  # about so many in a step, without padding
    sort_window: int
    epochs: int
    seed: int
    speeds: tuple[float, ...] = (1.0,)

    def epoch(self, number: int) -> Iterator[list[Pick]]:
        """The steps of one epoch (from 0): every utterance once."""
        speeds, _, steps = self._epoch(number)
        for rows in steps:
            drawn = zip(rows.tolist(), speeds[rows].tolist(), strict=True)
            yield [Pick(number, row, speed) for row, speed in drawn]

    def since(self, done: int) -> Iterator[list[Pick]]:
        """The steps after the first `done` ones."""
        epoch = int(self.sizes[done, 0]) if done < len(self) else self.epochs
        skipped = done - int(np.searchsorted(self.sizes[:, 0], epoch))
        for number in range(epoch, self.epochs):
            yield from islice(self.epoch(number), skipped, None)
            skipped = 0

    @cached_property
    def sizes(self) -> NDArray[np.int64]:
        """For each step: epoch, frames."""
        rows = []
        for number in range(self.epochs):
            _, frames, steps = self._epoch(number)
            rows += [(number, frames[step].sum()) for step in steps]
        return np.array(rows, dtype=np.int64).reshape(-1, 2)

    def __len__(self) -> int:
        return len(self.sizes)

    def _epoch(
        self, number: int
    ) -> tuple[NDArray[np.float64], NDArray[np.int64], list[NDArray[np.int64]]]:
        """Speed and frames of each utterance, and the utterances of each step."""
        draw = np.random.default_rng([self.seed, number])
        speeds = np.random.default_rng([self.seed, number, 1]).choice(self.speeds, len(self.frames))
        frames = at_speed(self.frames, speeds)
        shuffled = draw.permutation(len(frames))
        steps = []
        for start in range(0, len(shuffled), self.sort_window):
            window = shuffled[start : start + self.sort_window]
            order = window[np.argsort(frames[window], kind="stable")]
            parts = max(round(frames[order].sum() / self.step_frames), 1)
            steps += [order[part] for part in evenly(frames[order], parts)]
        return speeds, frames, [steps[index] for index in draw.permutation(len(steps))]


@dataclass(frozen=True)
class Division:
    """How a machine does a step: in micro-batches of similar length."""

    # Largest (utterances x longest utterance) of a micro-batch; what exceeds it alone has one
    # of its own. None: no more of them than processes.
    budget: int | None
    window: int | None = None  # frames that every utterance counts as, see `window_frames`
    processes: int = 1

    def cut(self, frames: NDArray[np.int64]) -> list[NDArray[np.int64]]:
        """Cut a step, given its utterances' frames, into micro-batches: indices into `frames`."""
        order = np.argsort(frames, kind="stable")
        counted = np.full(len(frames), self.window) if self.window else frames[order]
        most = self.budget or len(frames) * int(counted.max())
        for turns in count(max(int(counted.sum()) // (most * self.processes), 1)):
            parts = evenly(counted, turns * self.processes)
            if all(len(counted[p]) == 1 or self.padded(counted[p]) <= most for p in parts):
                return [order[part] for part in parts]
        raise AssertionError  # with enough turns each has a micro-batch of its own

    def padded(self, frames: NDArray[np.int64]) -> int:
        """Frames of a micro-batch with its padding."""
        return len(frames) * (self.window or int(frames.max()))
