"""Stopping a phase when the machine is taken away: rented ones and Slurm send SIGTERM first."""

import signal
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import Self

from galgame_asr.core.files import remove
from galgame_asr.messages.console import log
from galgame_asr.messages.errors import InterruptionError
from galgame_asr.training import states

REQUEST = "stop"  # a file that asks all processes of a phase to stop
STOPPED = "stopped"  # a file that says that a phase was stopped and goes on from a state
SIGNALS = (signal.SIGTERM, signal.SIGINT)


class Stopping:
    """Notes a SIGTERM, or the first Ctrl+C, instead of ending the process at once."""

    def __init__(self, directory: Path) -> None:
        self.request = directory / REQUEST
        self._signalled = False

    @property
    def asked(self) -> bool:
        """Whether this process was asked to save a state and end."""
        return self._signalled or self.request.exists()

    def __enter__(self) -> Self:
        self._before = {number: signal.signal(number, self._note) for number in SIGNALS}
        return self

    def __exit__(self, *_: object) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)

    def _note(self, number: int, _frame: FrameType | None) -> None:
        log.info("%s: saving a state after this step, then stopping", signal.Signals(number).name)
        self._signalled = True
        signal.signal(signal.SIGINT, signal.default_int_handler)  # a second Ctrl+C ends it


@contextmanager
def noted(directory: Path) -> Iterator[None]:
    """Leave the file `STOPPED` in a phase's directory if it was asked to stop and has a state.

    For who started `dvc repro`, which turns every exit status of a stage into its own.
    """
    for name in (REQUEST, STOPPED):  # of the run before
        remove(directory / name)
    try:
        yield
    except InterruptionError:
        if states.newest(directory):
            (directory / STOPPED).touch()
        raise
