"""LoRA: low-rank updates of frozen linear layers (https://arxiv.org/abs/2106.09685), by peft."""

from collections.abc import Mapping, Sequence

import torch
from torch import nn

from galgame_asr.messages.errors import ConfigError

BASE = ".base_layer."  # what peft puts into the name of a layer's own tensors


def add(
    module: nn.Module,
    *,
    rank: int,
    alpha: int,
    dropout: float,
    targets: Sequence[str],
    dora: bool = False,
) -> None:
    """Put adapters beside the linear layers of `module` that `targets` names.

    The module computes what it did before until they learn. Its own parameters
    no longer do. With `dora` the length of each row of the weights learns apart from its
    direction (https://arxiv.org/abs/2402.09353).

    Raises:
        ConfigError: a target is the name of no linear layer.
    """
    # peft takes seconds to import, which runs without LoRA need not wait for.
    from peft import LoraConfig, inject_adapter_in_model  # noqa: PLC0415

    linear = {name.split(".")[-1] for name, m in module.named_modules() if isinstance(m, nn.Linear)}
    if unknown := sorted(set(targets) - linear):
        raise ConfigError(
            f"lora.targets names {', '.join(unknown)}; linear layers: {', '.join(sorted(linear))}"
        )
    config = LoraConfig(
        r=rank, lora_alpha=alpha, lora_dropout=dropout, target_modules=list(targets), use_dora=dora
    )
    inject_adapter_in_model(config, module)


def merge(
    model: nn.Module, tensors: Mapping[str, torch.Tensor]
) -> tuple[dict[str, torch.Tensor], set[str]]:
    """Fold adapters into the tensors of the layers they stand beside: W + scaling * B A.

    With DoRA, its rows are brought to the lengths that were learned.

    Args:
        model: tells the scalings; it is not changed.
        tensors: its whole state, as gathered from wherever it lies.

    Returns:
        tensors under their names without adapters, and which of those names were folded.
    """
    from peft.tuners.lora import LoraLayer  # noqa: PLC0415  as above

    merged = {n.replace(BASE, "."): t for n, t in tensors.items() if ".lora_" not in n}
    folded = set()
    for name, layer in model.named_modules():
        if isinstance(layer, LoraLayer):
            ((adapter, scaling),) = layer.scaling.items()
            down = tensors[f"{name}.lora_A.{adapter}.weight"]
            up = tensors[f"{name}.lora_B.{adapter}.weight"]
            weight = merged[f"{name}.weight"] + scaling * (up @ down)
            lengths = tensors.get(f"{name}.lora_magnitude_vector.{adapter}.weight")
            if lengths is not None:
                weight = (lengths / weight.norm(dim=1))[:, None] * weight
            merged[f"{name}.weight"] = weight
            folded.add(f"{name}.weight")
    return merged, folded
