"""SpecAugment: bands and stretches of a spectrogram masked (https://arxiv.org/abs/1904.08779)."""

from collections.abc import Sequence

import numpy as np
import torch

from galgame_asr.training.params import AugmentParams


def mask(
    features: torch.Tensor, num_mels: int, params: AugmentParams, seed: Sequence[int]
) -> torch.Tensor:
    """Features (T, stacked frames x mels) with masked parts at their mean; not in place.

    A band is masked in each of the stacked frames alike.
    """
    draw = np.random.default_rng(list(seed))
    masked = features.clone()
    frames = masked.view(len(features), -1, num_mels)
    mean = features.mean()
    for _ in range(params.mel_masks):
        width = draw.integers(params.mel_width + 1)
        start = draw.integers(num_mels - width + 1)
        frames[..., start : start + width] = mean
    for _ in range(params.time_masks):
        width = draw.integers(int(params.time_share * len(features)) + 1)
        start = draw.integers(len(features) - width + 1)
        frames[start : start + width] = mean
    return masked
