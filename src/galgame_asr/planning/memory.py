"""Memory of training steps: predicted without doing them, or measured by doing them.

A step runs under torch's FakeTensorMode, in which tensors have shapes but no content;
a dispatch mode counts the bytes of those that are alive.
"""

import resource
import time
import weakref
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any
from unittest import mock

import psutil
import torch
from torch import nn
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_iter

from galgame_asr.families.common.compute import Precision, autocast

# CUDA's caching allocator hands out multiples of this.
BLOCK_BYTES = 512
Batch = Mapping[str, Any]


@dataclass(frozen=True)
class Memory:
    """Bytes of one training step."""

    weights: int
    gradients: int
    optimizer: int
    activations: int  # and the batch, alive at the end of the forward pass
    peak: int  # of all together, at any moment


@dataclass(frozen=True)
class Measured:
    """A real training step."""

    peak_bytes: int  # without what the process had before
    step_s: float


class LiveBytes(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Counts the bytes of all tensors that operations make inside the block."""

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.now = self.peak = 0
        self._seen: weakref.WeakKeyDictionary[torch.UntypedStorage, int] = (
            weakref.WeakKeyDictionary()
        )

    def add(self, tensor: object) -> None:
        """Count a tensor's storage, until it is freed."""
        if not isinstance(tensor, torch.Tensor):
            return
        storage = tensor.untyped_storage()
        if storage in self._seen:
            return
        size = -(-storage.nbytes() // BLOCK_BYTES) * BLOCK_BYTES
        self._seen[storage] = size
        self.now += size
        self.peak = max(self.peak, self.now)
        weakref.finalize(storage, self._drop, size)

    def _drop(self, size: int) -> None:
        self.now -= size

    def __torch_dispatch__(
        self, function: Any, types: Any, arguments: Any = (), keywords: Any = None
    ) -> Any:
        result = function(*arguments, **(keywords or {}))
        for tensor in tree_iter(result):
            self.add(tensor)
        return result


def predict(
    build: Callable[[], nn.Module],
    make_batches: Sequence[Callable[[], Batch]],
    precision: Precision,
) -> list[Memory]:
    """Memory of training steps that are not done, one for each batch.

    Args:
        build: makes the model, with `requires_grad` as the phase has it.
        make_batches: each makes the arguments of its forward pass; only shapes matter.
        precision: what it computes in.
    """
    found = []
    # On fake CPU tensors: torch without CUDA has no fake CUDA ones in autocast.
    with FakeTensorMode(allow_non_fake_inputs=True):
        model = build()
        for make_batch in make_batches:
            with LiveBytes() as live:
                for tensor in (*model.parameters(), *model.buffers()):
                    live.add(tensor)
                weights = live.now
                optimizer = _optimizer(model)
                # Its state is made in the first update; each step is like the second.
                for parameter in _learning(model):
                    parameter.grad = torch.zeros_like(parameter)
                optimizer.step()
                model.zero_grad()
                fixed = live.now
                marks = run_step(model, optimizer, make_batch(), precision, mark=lambda: live.now)
                forward, backward, _ = (mark - fixed for mark in marks)
            found.append(Memory(weights, backward, fixed - weights, forward, live.peak))
    return found


@contextmanager
def fakeable(network: type[nn.Module], text_tokens: int) -> Iterator[None]:
    """Replace what asks tensors for their content, which fake ones do not have.

    Args:
        network: with a method `_at_labels`.
        text_tokens: of every utterance of a batch, so that shapes tell where labels are.
    """
    num_labels = text_tokens + 1

    def at_labels(
        _model: nn.Module, hidden: torch.Tensor, targets: torch.Tensor
    ) -> tuple[torch.Tensor, torch.Tensor]:
        states = hidden[:, -num_labels:].reshape(-1, hidden.shape[2])
        return states, targets[:, -num_labels:].reshape(-1)

    with (
        # All is in float32 already, and fake parameters cannot be exchanged.
        mock.patch.object(nn.Module, "to", lambda module, *_, **__: module),
        mock.patch.object(network, "_at_labels", at_labels),
    ):
        yield


def measure(
    build: Callable[[], nn.Module],
    make_batch: Callable[[], Batch],
    *,
    device: torch.device,
    precision: Precision,
) -> Measured:
    """Do three training steps on a device; the time is that of the last.

    Memory is, on a CPU, what the system counts as resident; on a GPU, what torch allocated.
    """
    before = psutil.Process().memory_info().rss
    model = build().to(device)
    batch = {k: v.to(device) if hasattr(v, "to") else v for k, v in make_batch().items()}
    ends: list[float] = []

    def mark() -> int:
        if device.type == "cuda":
            torch.cuda.synchronize(device)
        ends.append(time.perf_counter())
        return 0

    optimizer = _optimizer(model)
    for _ in range(3):
        marks = list(run_step(model, optimizer, batch, precision, mark=mark))
    step_s = ends[-1] - ends[-1 - len(marks)]
    if device.type == "cuda":
        return Measured(int(torch.cuda.max_memory_allocated(device)), step_s)
    peak_kb: int = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return Measured(peak_kb * 1024 - int(before), step_s)


def _learning(model: nn.Module) -> list[nn.Parameter]:
    return [parameter for parameter in model.parameters() if parameter.requires_grad]


def _optimizer(model: nn.Module) -> torch.optim.Optimizer:
    return torch.optim.AdamW(_learning(model), lr=1e-4, fused=True)


def run_step(
    model: nn.Module,
    optimizer: torch.optim.Optimizer,
    batch: Batch,
    precision: Precision,
    *,
    mark: Callable[[], int],
) -> Iterator[int]:
    """A step as the trainer does it; `mark` after forward, backward and update."""
    learning = _learning(model)
    model.train()
    with autocast(learning[0].device, precision):
        loss = model(**batch)["loss"]
    yield mark()
    loss.backward()
    del loss
    yield mark()
    nn.utils.clip_grad_norm_(learning, 1.0)
    optimizer.step()
    model.zero_grad()
    yield mark()
