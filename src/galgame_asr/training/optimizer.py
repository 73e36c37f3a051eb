"""AdamW, and its learning rate from step to step."""

import math
from collections.abc import Iterable, Mapping

import torch
from torch import nn

from galgame_asr.messages.errors import ConfigError
from galgame_asr.training.params import CommonParams, TrainingParams


def make(
    model: nn.Module, parts: Mapping[str, str], params: TrainingParams, common: CommonParams
) -> torch.optim.AdamW:
    """AdamW over all that learns: each part at its own rate; norms and biases do not decay.

    Raises:
        ConfigError: `lr` names what is no part, or leaves out one that learns.
    """
    groups: dict[tuple[str, bool], list[nn.Parameter]] = {}
    for name, parameter in model.named_parameters():
        if parameter.requires_grad:
            group = part_of(name, parts), parameter.dim() > 1
            groups.setdefault(group, []).append(parameter)
    rates = part_rates(params.lr, parts, {part for part, _ in groups})
    return torch.optim.AdamW(
        [
            {
                "params": parameters,
                "peak_lr": rates[part],
                "weight_decay": common.weight_decay if decays else 0.0,
            }
            for (part, decays), parameters in groups.items()
        ],
        betas=common.adam_betas,
        fused=True,
    )


def part_of(name: str, parts: Mapping[str, str]) -> str:
    """The part whose rate a parameter learns at."""
    # What belongs to no part, such as a CTC head, learns with what it hangs on.
    return next((part for part, prefix in parts.items() if name.startswith(prefix)), "encoder")


def part_rates(
    lr: float | Mapping[str, float], parts: Iterable[str], learning: Iterable[str]
) -> dict[str, float]:
    """Highest learning rate of each part that learns.

    Raises:
        ConfigError: as for `make`.
    """
    if isinstance(lr, float):
        return dict.fromkeys(learning, lr)
    if unknown := sorted(set(lr) - set(parts)):
        raise ConfigError(f"lr names {', '.join(unknown)}; parts: {', '.join(parts)}")
    if missing := sorted(set(learning) - set(lr)):
        raise ConfigError(f"lr has no rate for {', '.join(missing)}, which learns")
    return dict(lr)


def set_rates(optimizer: torch.optim.Optimizer, factor: float) -> float:
    """Set the learning rates of a step; gives the highest."""
    highest = 0.0
    for group in optimizer.param_groups:
        group["lr"] = group["peak_lr"] * factor
        highest = max(highest, group["lr"])
    return highest


def schedule(common: CommonParams, step: int, num_steps: int) -> float:
    """Share of the highest learning rate in a step (from 0): a rise, then the schedule's fall."""
    warmup = math.ceil(num_steps * common.warmup)
    if step < warmup:
        return (step + 1) / (warmup + 1)
    done = (step - warmup) / max(num_steps - warmup, 1)
    match common.schedule:
        case "cosine":
            return (1 + math.cos(math.pi * done)) / 2
        case "linear":
            return 1 - done
        case "constant":
            return 1.0
