"""Averaging checkpoints: steadier than any of them (https://arxiv.org/abs/1803.05407)."""

from collections.abc import Sequence
from pathlib import Path

import torch

from galgame_asr.families.common import family as families
from galgame_asr.messages.console import Progress


def average(family: str, checkpoints: Sequence[Path], output: Path) -> None:
    """Write a model directory whose tensors are the mean of those of several.

    The files beside the tensors, its `defaults` among them, are those of the last one. Sums
    are in float64, so that the mean of equal tensors is that tensor.

    Raises:
        CheckpointError: as for `families.load`.
    """
    sums: dict[str, torch.Tensor] = {}
    with Progress("average", total=len(checkpoints), unit="checkpoints") as progress:
        for path in checkpoints:
            loaded = families.load(family, path)
            state = loaded.model.state_dict()
            for name, tensor in state.items():
                sums[name] = sums[name] + tensor if name in sums else tensor.double()
            progress.update(1)
    mean = {name: (sum_ / len(checkpoints)).to(state[name].dtype) for name, sum_ in sums.items()}
    loaded.model.load_state_dict(mean)
    loaded.save(output)
