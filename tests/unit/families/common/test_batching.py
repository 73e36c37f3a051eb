"""Batches of decoding stay under a budget of padded frames."""

import numpy as np
import pytest

from galgame_asr.families.common.batching import by_length

FRAMES = np.array([100, 150, 200, 900, 1000])


def test_no_batch_exceeds_the_budget_unless_alone() -> None:
    """Padded frames stay within the budget; one long utterance still has a batch, alone."""
    assert by_length(np.arange(5), FRAMES, 600) == [[0, 1, 2], [3], [4]]


def test_a_window_counts_whole() -> None:
    """Where a model pads all speech, batches are of equal size."""
    assert by_length(np.arange(5), FRAMES, 6000, window=3000) == [[0, 1], [2, 3], [4]]


@pytest.mark.parametrize("count", [0, 1])
def test_few_utterances(count: int) -> None:
    """No utterance is no batch; one is one."""
    frames = FRAMES[:count]
    assert [b for b in by_length(np.arange(count), frames, 10) if b] == [[0]] * count
