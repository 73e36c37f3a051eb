"""Memory of training steps: predicted without doing them, or measured by doing them.

A step runs under torch's FakeTensorMode, in which tensors have shapes but no content;
a dispatch mode counts the bytes of those that are alive.
"""

import resource
import time
import weakref
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

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
    activations: int  # alive at the end of the forward pass
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
                marks = list(run_steps(model, make_batch(), precision, mark=lambda: live.now))
            forward, backward, update = (mark - weights for mark in marks[:3])
            found.append(Memory(weights, backward, update, forward, live.peak))
    return found


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

    marks = len(list(run_steps(model, batch, precision, mark=mark, steps=3)))
    step_s = ends[-1] - ends[-1 - marks // 3]
    if device.type == "cuda":
        return Measured(int(torch.cuda.max_memory_allocated(device)), step_s)
    peak_kb: int = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return Measured(peak_kb * 1024 - int(before), step_s)


def run_steps(
    model: nn.Module, batch: Batch, precision: Precision, *, mark: Callable[[], int], steps: int = 2
) -> Iterator[int]:
    """Steps as the trainer does them; `mark` after forward, backward and update."""
    learning = [p for p in model.parameters() if p.requires_grad]
    optimizer = torch.optim.AdamW(learning, lr=1e-4, fused=True)
    model.train()
    device = learning[0].device
    for _ in range(steps):
        with autocast(device, precision):
            loss = model(**batch)["loss"]
        yield mark()
        loss.backward()
        del loss
        yield mark()
        nn.utils.clip_grad_norm_(learning, 1.0)
        optimizer.step()
        model.zero_grad()
        yield mark()
