"""Batches of similar length under a budget of padded frames."""

from itertools import pairwise

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
