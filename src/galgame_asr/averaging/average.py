"""Averaging checkpoints: steadier than any of them (https://arxiv.org/abs/1803.05407)."""

from collections.abc import Sequence
from pathlib import Path

import torch

from galgame_asr.families.common import family as families
from galgame_asr.messages.console import Progress


def average(family: str, checkpoints: Sequence[Path], output: Path) -> None:
    """Write a model directory whose tensors are the mean of those of several.

    The files beside the tensors, its `defaults` among them, are those of the last one. Sums
    are in float64, so that the mean of equal tensors is that tensor; beside them, one checkpoint
    is in memory at a time.

    Raises:
        CheckpointError: as for `families.load`.
    """
    sums: dict[str, torch.Tensor] = {}
    loaded = None
    with Progress("average", total=len(checkpoints), unit="checkpoints") as progress:
        for path in checkpoints:
            del loaded
            loaded = families.load(family, path)
            for name, tensor in loaded.model.state_dict().items():
                if name in sums:
                    sums[name] += tensor
                else:
                    sums[name] = tensor.to(torch.float64, copy=True)
            progress.update(1)
    assert loaded is not None  # an average is of several
    for name, tensor in loaded.model.state_dict().items():
        tensor.copy_(sums.pop(name).div_(len(checkpoints)))
    loaded.save(output)
