"""Work over all cores by processes that end with the one that started them."""

import multiprocessing
import os
import signal
import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor
from typing import Any

import psutil


def pool(
    workers: int | None = None,
    *,
    method: str | None = None,
    start: Callable[..., None] | None = None,
    arguments: tuple[Any, ...] = (),
) -> ProcessPoolExecutor:
    """A pool with a process per core, or with so many workers.

    Without the watch, workers of a process that was killed would wait for work
    for ever, and hold the lock on its unfinished work that they inherited.

    Args:
        workers: how many.
        method: how they start; None leaves it to Python. CUDA needs "spawn".
        start: what each calls first, with `arguments`.
        arguments: of `start`.
    """
    context = multiprocessing.get_context(method)
    return ProcessPoolExecutor(workers, context, _start, (start, arguments))


def _start(start: Callable[..., None] | None, arguments: tuple[Any, ...]) -> None:
    end_with_parent()
    if start:
        start(*arguments)


def end_with_parent() -> None:
    """End this process of `multiprocessing` at once when the one that started it has ended."""
    threading.Thread(target=_wait_for_parent, daemon=True).start()


def _wait_for_parent() -> None:
    parent = multiprocessing.parent_process()
    assert parent is not None  # only workers run this
    parent.join()
    os._exit(1)


def end_with(pid: int) -> None:
    """End this process at once when the process `pid` has ended, however that came."""
    threading.Thread(target=_wait_for, args=(pid,), daemon=True).start()


def _wait_for(pid: int) -> None:
    while psutil.pid_exists(pid):
        time.sleep(0.5)
    os._exit(1)


def stop_without_parent() -> None:
    """Send this process a SIGTERM when the one that started it is gone.

    For a stage under DVC: nobody would take what an orphan makes, and it would keep the
    next run waiting for its lock.
    """
    starters = [psutil.Process(os.getppid())]
    # DVC starts a command through a shell, and Debian's sh stays between the two.
    if "-c" in starters[0].cmdline()[1:2]:
        starters += starters[0].parents()[:1]
    threading.Thread(target=_stop_after, args=(starters,), daemon=True).start()


def _stop_after(starters: Sequence[psutil.Process]) -> None:
    while all(_runs(starter) for starter in starters):
        time.sleep(0.5)
    os.kill(os.getpid(), signal.SIGTERM)


def _runs(process: psutil.Process) -> bool:
    try:
        # A zombie has ended, though nobody has asked for its exit status yet.
        return bool(process.is_running() and process.status() != psutil.STATUS_ZOMBIE)
    except psutil.NoSuchProcess:
        return False
