"""Activation checkpointing: less memory for the price of a second forward pass.

One layer at a time: of each layer only the input is kept, and the rest is computed
again when its gradient is (https://arxiv.org/abs/1604.06174).
"""

from collections.abc import Callable, Iterable
from typing import Any

import torch
from torch import nn
from torch.utils.checkpoint import checkpoint


def recompute(layers: Iterable[nn.Module]) -> None:
    """Let layers recompute their activations; results and gradients stay the same.

    Unlike transformers' own, this acts on frozen layers in eval mode too, through
    which gradients flow to the parts before them.
    """
    for layer in layers:
        # The module's own attribute shadows its class's method; its tensors keep their names.
        layer.forward = _recomputing(layer.forward)


def _recomputing(forward: Callable[..., Any]) -> Callable[..., Any]:
    def run(*args: Any, **kwargs: Any) -> Any:
        if not torch.is_grad_enabled():
            return forward(*args, **kwargs)
        return checkpoint(forward, *args, use_reentrant=False, **kwargs)

    return run
