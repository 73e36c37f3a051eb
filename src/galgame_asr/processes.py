"""Work over all cores by processes that end with the one that started them."""

import multiprocessing
import os
import threading
from concurrent.futures import ProcessPoolExecutor


def pool() -> ProcessPoolExecutor:
    """A pool with a process per core.

    Without the watch, workers of a process that was killed would wait for work
    for ever, and hold the lock on its unfinished work that they inherited.
    """
    return ProcessPoolExecutor(initializer=_end_with_parent)


def _end_with_parent() -> None:
    threading.Thread(target=_wait_for_parent, daemon=True).start()


def _wait_for_parent() -> None:
    parent = multiprocessing.parent_process()
    assert parent is not None  # only workers run this
    parent.join()
    os._exit(1)
