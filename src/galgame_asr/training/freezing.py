"""Which parameters learn."""

import difflib
from collections.abc import Mapping, Sequence

from torch import nn

from galgame_asr.messages.errors import ConfigError


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
