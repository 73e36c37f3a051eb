"""What the optimizer steps of a training process took, without its start and its end."""

import json
import sys
import time
from collections.abc import Mapping, Sequence

import torch
from torch.optim.optimizer import register_optimizer_step_post_hook

from benchmarks import measure


def end_after(steps: int, losses: Sequence[torch.Tensor], notes: Mapping[str, object]) -> None:
    """Let this process end once some optimizer steps are done, whoever takes them.

    The first step is a warm-up: the clocks run from its end. Then comes one line of
    JSON, for `measure.command`: cpu_s and wall_s of `steps` steps, losses of all
    batches with the warm-up's, gpu_mb at its peak, and `notes`. Validation and
    checkpoints, which would follow, do not take place.

    Args:
        steps: how many are measured.
        losses: what the process appends the loss of each batch to.
        notes: what else the line tells.
    """
    clocks: list[tuple[float, float]] = []

    def after_step(*_arguments: object) -> None:
        on_gpu = torch.cuda.is_available()
        if on_gpu and len(clocks) in (0, steps):
            torch.cuda.synchronize()
        clocks.append((measure.cpu_s(), time.monotonic()))
        if len(clocks) <= steps:
            return
        cpu_s, wall_s = (end - start for start, end in zip(clocks[0], clocks[-1], strict=True))
        values = [float(loss) for loss in losses[: steps + 1]]
        gpu_mb = torch.cuda.max_memory_allocated() / 1e6 if on_gpu else 0.0
        result = {"cpu_s": cpu_s, "wall_s": wall_s, "losses": values, "gpu_mb": gpu_mb}
        print(json.dumps({**result, **notes}), flush=True)
        sys.exit()

    register_optimizer_step_post_hook(after_step)
