"""What the optimizer steps of a training process took, without its start and its end."""

import json
import re
import sys
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path

import torch
from torch.optim.optimizer import register_optimizer_step_post_hook

from benchmarks import measure

PROCESS = Path("/proc/self")


def end_after(steps: int, losses: Sequence[torch.Tensor], notes: Mapping[str, object]) -> None:
    """Let this process end once some optimizer steps are done, whoever takes them.

    The first step is a warm-up: it is measured from its end. Then comes one line of JSON,
    for `measure.command`: cpu_s and wall_s of `steps` steps, peak_mb and gpu_mb during
    them, losses of all batches with the warm-up's, and `notes`. Validation and checkpoints,
    which would follow, do not take place.

    Args:
        steps: how many are measured.
        losses: what the process appends the loss of each batch to.
        notes: what else the line tells.
    """
    done, start_cpu_s, start = 0, 0.0, 0.0
    on_gpu = torch.cuda.is_available()

    def after_step(*_arguments: object) -> None:
        nonlocal done, start_cpu_s, start
        done += 1
        if on_gpu and done in (1, steps + 1):
            torch.cuda.synchronize()
        if done == 1:
            with suppress(OSError):  # not every kernel has it; then it is the peak of all
                (PROCESS / "clear_refs").write_text("5")  # Linux counts the peak from here
            if on_gpu:
                torch.cuda.reset_peak_memory_stats()
            start_cpu_s, start = measure.cpu_s(), time.monotonic()
        elif done > steps:
            result = {
                "cpu_s": measure.cpu_s() - start_cpu_s,
                "wall_s": time.monotonic() - start,
                "peak_mb": _peak_mb(),
                "gpu_mb": torch.cuda.max_memory_allocated() / 1e6 if on_gpu else 0.0,
                "losses": [float(loss) for loss in losses[:done]],
            }
            print(json.dumps({**result, **notes}), flush=True)
            sys.exit()

    register_optimizer_step_post_hook(after_step)


def _peak_mb() -> float:
    """Peak memory without mapped files, such as the weights that a model was loaded from."""
    status = (PROCESS / "status").read_text()
    peak, files = (
        int(match[1]) if (match := re.search(rf"{name}:\s*(\d+) kB", status)) else 0
        for name in ("VmHWM", "RssFile")
    )
    return (peak - files) / 1e3
