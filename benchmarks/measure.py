"""CPU time and memory of a piece of work and all processes it starts."""

import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import wraps
from typing import Any

import psutil


@dataclass(frozen=True)
class Cost:
    """What a command took."""

    cpu_s: float
    wall_s: float
    peak_mb: float  # of all its processes together

    def __str__(self) -> str:
        """One line."""
        return f"{self.cpu_s:8.2f} CPU s {self.wall_s:8.2f} s {self.peak_mb:7.0f} MB"


def proportional(process: psutil.Process) -> int:
    """Memory of a process in bytes; pages that several share count once (PSS)."""
    size: int = process.memory_full_info().pss
    return size


def private(process: psutil.Process) -> int:
    """Memory of a process in bytes, without mapped files: quick to ask, whatever its size."""
    info = process.memory_info()
    size: int = info.rss - info.shared
    return size


def command(
    *words: str, memory: Callable[[psutil.Process], int] = proportional
) -> tuple[Cost, str]:
    """Run a command; its cost and its standard output.

    Args:
        words: the command.
        memory: how its peak is measured. `proportional` walks through all pages, which
            holds a process of gigabytes up.

    Raises:
        subprocess.CalledProcessError: it failed.
    """
    start, peak = time.monotonic(), 0
    with (
        # A pipe would hold the command up once it is full.
        tempfile.TemporaryFile("w+", encoding="utf-8") as printed,
        subprocess.Popen(words, stdout=printed) as process,
    ):
        family = psutil.Process(process.pid)
        while process.poll() is None:
            try:
                members = [family, *family.children(recursive=True)]
                peak = max(peak, sum(memory(member) for member in members))
            except (psutil.NoSuchProcess, psutil.AccessDenied):
                pass  # it just ended
            time.sleep(0.05)
        printed.seek(0)
        output = printed.read()
    if process.returncode:
        raise subprocess.CalledProcessError(process.returncode, words, output)
    cpu = json.loads(output.splitlines()[-1])["cpu_s"]
    return Cost(cpu, time.monotonic() - start, peak / 1e6), output


def part(module: str, *arguments: str) -> tuple[Cost, str]:
    """Run a part of a benchmark in a Python of its own, which ends with `report_cpu`."""
    return command(sys.executable, "-m", module, *arguments)


def report_cpu(since: float, **notes: object) -> None:
    """Print the CPU seconds of this process and its children, for `command`; and what else."""
    print(json.dumps({"cpu_s": cpu_s() - since, **notes}), flush=True)


def cpu_s() -> float:
    """CPU seconds of this process and of its children that have ended."""
    times = psutil.Process().cpu_times()
    return float(times.user + times.system + times.children_user + times.children_system)


class Parts:
    """CPU seconds of this process in some of its functions, by their names."""

    def __init__(self) -> None:
        self.cpu_s: dict[str, float] = {}

    def timed(self, name: str, function: Callable[..., Any]) -> Callable[..., Any]:
        """The function, whose time counts under a name. None may call another one."""
        self.cpu_s[name] = 0.0

        @wraps(function)
        def call(*arguments: Any, **keywords: Any) -> Any:
            start = time.process_time()
            try:
                return function(*arguments, **keywords)
            finally:
                self.cpu_s[name] += time.process_time() - start

        return call
