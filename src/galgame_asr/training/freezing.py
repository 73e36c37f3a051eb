"""Which parameters learn."""

import difflib
from collections.abc import Mapping, Sequence

import torch
from torch import nn

from galgame_asr.families.common import lora
from galgame_asr.families.common.family import Family
from galgame_asr.messages.console import log
from galgame_asr.messages.errors import ConfigError
from galgame_asr.training.activation_checkpointing import recompute
from galgame_asr.training.params import CommonParams, PhaseParams, TrainingParams


def prepare(family: Family, params: TrainingParams, common: CommonParams) -> None:
    """Let the parts of a model learn that a phase asks for, and no other.

    Raises:
        ConfigError: freeze flags, adapters or the CTC loss do not fit the model.
    """
    torch.manual_seed(common.seed)  # first weights of what is new: for a CTC loss, and adapters
    if params.ctc_weight:
        branch = params.ctc if isinstance(params, PhaseParams) else None
        family.add_ctc_loss(params.ctc_weight, branch)
    adapted = _adapted(family, params)
    learning = freeze(
        family.model, family.parts, params.freeze, fixed=family.fixed, adapted=adapted
    )
    for part in adapted:
        assert params.lora is not None
        module = family.model.get_submodule(family.parts[part].removesuffix("."))
        lora.add(
            module,
            rank=params.lora.rank,
            alpha=params.lora.alpha,
            dropout=params.lora.dropout,
            targets=params.lora.targets,
            dora=params.lora.dora,
        )
        learning[part] = sum(p.numel() for n, p in module.named_parameters() if ".lora_" in n)
    if common.activation_checkpointing:
        recompute(family.layers)
    total = sum(p.numel() for p in family.model.parameters())
    log.info(
        "learning %s of %.3f M parameters",
        ", ".join(f"{part} {count / 1e6:.3f} M" for part, count in learning.items()), total / 1e6,
    )  # fmt: skip


def _adapted(family: Family, params: TrainingParams) -> Sequence[str]:
    """The parts that adapters learn in."""
    if not params.lora:
        return ()
    if unknown := sorted(set(params.lora.parts or ()) - set(family.parts)):
        raise ConfigError(
            f"lora.parts names {', '.join(unknown)}; parts: {', '.join(family.parts)}"
        )
    frozen = [part for part in family.lora_parts if params.freeze.get(part, True)]
    adapted = params.lora.parts or frozen or family.lora_parts
    for part in adapted:
        if not params.freeze.get(part, True):
            raise ConfigError(
                f"lora learns in a part that is frozen: set freeze.{part} to true, or lora to null"
            )
    return adapted


def freeze(
    model: nn.Module,
    parts: Mapping[str, str],
    frozen: Mapping[str, bool],
    *,
    fixed: Sequence[str] = (),
    adapted: Sequence[str] = (),
) -> dict[str, int]:
    """Set `requires_grad` of each part of a model, and of nothing else.

    Args:
        model: any module.
        parts: part name -> prefix of its parameters' names.
        frozen: part name -> whether it is kept as it is; must name every part.
        fixed: names of parameters that never learn, whatever their part does.
        adapted: frozen parts in which adapters will learn.

    Returns:
        Part name -> number of its parameters that learn.

    Raises:
        ConfigError: a name is no part, a part is not named, a part's prefix
            matches no parameter, or nothing is left to learn.
    """
    for name in frozen:
        if name not in parts:
            near = difflib.get_close_matches(name, parts, n=1, cutoff=0.5)
            guess = f"did you mean '{near[0]}'? " if near else ""
            raise ConfigError(f"freeze names '{name}', {guess}parts: {', '.join(parts)}")
    if forgotten := [name for name in parts if name not in frozen]:
        raise ConfigError(f"freeze must say true or false for each of: {', '.join(forgotten)}")
    learning = {}
    for name, prefix in parts.items():
        parameters = {k: p for k, p in model.named_parameters() if k.startswith(prefix)}
        if not parameters:
            raise ConfigError(f"freeze.{name}: no parameter of the model begins with '{prefix}'")
        for key, parameter in parameters.items():
            parameter.requires_grad_(not frozen[name] and key not in fixed)
        learning[name] = sum(p.numel() for p in parameters.values() if p.requires_grad)
    if not any(learning.values()) and not adapted:
        raise ConfigError("freeze is true for every part; nothing would learn")
    return learning
