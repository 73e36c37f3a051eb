"""Batches: padding, lost utterances and order, ours against FunASR's own sampler.

Durations as of the galgame corpus: its mean of 5.1 s, the shape a log-normal guess.
FunASR's sampler is its CustomDistributedBufferDynamicBatchSampler, with its settings of
Fun-ASR-Nano (`batch_size_sample_max: 10`) and without that cap.

    python -m benchmarks.batching [--utterances 60000] [--frames 4000]
"""

import argparse
import time
from collections.abc import Iterable, Sequence

import numpy as np
from numpy.typing import NDArray

from galgame_asr.families.common.batching import num_frames
from galgame_asr.families.fun_asr_nano import family as fun_asr_nano  # noqa: F401  makes funasr quick to import
from galgame_asr.training.batches import Steps

MEAN_S, SIGMA, LONGEST_S = 5.1, 0.6, 30.0
SORT_WINDOW = 1024
NO_CAP = 1_000_000


class Lengths:
    """What FunASR's sampler asks a data set."""

    def __init__(self, frames: NDArray[np.int64]) -> None:
        self.frames = frames.tolist()

    def __len__(self) -> int:
        return len(self.frames)

    def get_source_len(self, index: int) -> int:
        """Length of one utterance in frames."""
        length: int = self.frames[index]
        return length


def main() -> None:
    """Draw durations and print one line for each sampler."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--utterances", type=int, default=60_000)
    parser.add_argument("--frames", type=int, default=4000, help="per batch: ours without padding")
    options = parser.parse_args()
    draw = np.random.default_rng(0)
    durations = draw.lognormal(np.log(MEAN_S) - SIGMA**2 / 2, SIGMA, options.utterances)
    frames = num_frames(np.minimum(durations, LONGEST_S))
    print(f"{options.utterances} utterances, {durations.mean():.2f} s on average")

    start = time.process_time()
    ours = Steps(frames, options.frames, SORT_WINDOW, epochs=1, seed=0).epoch(0)
    report(
        "this project",
        [[pick.row for pick in batch] for batch in ours],
        frames,
        time.process_time() - start,
    )
    for title, cap in (("FunASR, as set", 10), ("FunASR, no cap", NO_CAP)):
        start = time.process_time()
        batches = funasr_batches(frames, options.frames, cap)
        report(title, batches, frames, time.process_time() - start)


def funasr_batches(frames: NDArray[np.int64], budget: int, cap: int) -> list[list[int]]:
    """The batches of FunASR's sampler in its order."""
    from funasr.datasets.audio_datasets.samplers import (  # noqa: PLC0415  after the quick import
        CustomDistributedBufferDynamicBatchSampler,
    )

    sampler = CustomDistributedBufferDynamicBatchSampler(
        Lengths(frames), budget, sort_size=SORT_WINDOW, max_token_length=3500,
        batch_size_sample_max=cap,
    )  # fmt: skip
    return [batch for batch in sampler if batch]


def report(
    title: str, batches: Sequence[Iterable[int]], frames: NDArray[np.int64], cpu_s: float
) -> None:
    """One line: padded over real frames, utterances per batch, lost ones, rising neighbours."""
    lengths = [frames[list(batch)] for batch in batches]
    padded = sum(len(batch) * batch.max() for batch in lengths)
    kept = sum(len(batch) for batch in lengths)
    real = sum(batch.sum() for batch in lengths)
    longest = np.array([batch.max() for batch in lengths])
    rising = np.mean(longest[1:] >= longest[:-1])
    print(
        f"{title:16} padded/real {padded / real:.3f}; {kept / len(lengths):5.1f} utterances and "
        f"{padded / len(lengths):5.0f} frames per batch; lost {len(frames) - kept}; "
        f"next batch is longer: {rising:.0%}; {cpu_s:.2f} CPU s"
    )


if __name__ == "__main__":
    main()
