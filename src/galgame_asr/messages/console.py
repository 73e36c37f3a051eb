"""What a command shows: one log line per event, and a progress bar with ETA on a terminal."""

import codecs
import gc
import io
import logging
import os
import select
import sys
import time
from collections.abc import Callable, Sequence
from types import TracebackType
from typing import Self, TextIO

from tqdm import tqdm

from galgame_asr.messages.errors import GalgameAsrError

log = logging.getLogger("galgame_asr")

# How often a long task writes a line when its output is not a terminal.
SECONDS_BETWEEN_LINES = 30.0


def run(main: Callable[[Sequence[str]], None]) -> None:
    """Run a command's main with the process arguments and exit.

    Exit status 0 on success; for a `GalgameAsrError` its own (1, but 75 after a
    SIGTERM) with one message on standard error. Other exceptions keep their
    traceback: they are bugs. A reader who has enough, such as `head`, ends it quietly; what a
    terminal that is not UTF-8 cannot show becomes `?`, which one line says.
    """
    logging.basicConfig(format="%(asctime)s %(message)s", datefmt="%H:%M:%S", level=logging.WARNING)
    log.setLevel(logging.INFO)
    encoding = getattr(sys.stdout, "encoding", None) or "utf-8"
    if isinstance(sys.stdout, io.TextIOWrapper) and codecs.lookup(encoding).name != "utf-8":
        sys.stdout.reconfigure(errors="replace")
        log.warning("output is %s, not UTF-8: what it lacks is shown as ?", encoding)
    try:
        # What torch and others made when they were imported stays to the end. Looking for garbage
        # in it is a fifth of a short command's time, a second of which is at its end.
        gc.freeze()
        main(sys.argv[1:])
        gc.freeze()
    except GalgameAsrError as error:
        print(f"{type(error).__name__}: {error}", file=sys.stderr)
        sys.exit(error.exit_status)
    except BrokenPipeError:
        if not _is_closed(sys.stdout):
            raise
        # Or Python would complain once more when it ends.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(128 + 13)  # what the shell calls an end by SIGPIPE


def _is_closed(stream: TextIO) -> bool:
    """Whether nobody reads the other end of a stream any more."""
    poll = select.poll()
    poll.register(stream.fileno(), select.POLLOUT)
    return any(event & (select.POLLERR | select.POLLHUP) for _, event in poll.poll(0))


class Progress:
    """Progress of `total` units: a bar with ETA on a terminal, a line now and then in a log.

    A total of None, where nobody knows it, shows no ETA. `done` units are of an
    earlier run and tell nothing about speed.
    """

    def __init__(self, task: str, *, total: int | None, unit: str, done: int = 0) -> None:
        self.task, self.total, self.unit = task, total, unit
        self.done = self._first = done
        self._started = self._last_line = time.monotonic()
        self._bar = tqdm(total=total, initial=done, desc=task, unit=unit, leave=False, disable=None)

    def update(self, units: int, note: str = "") -> None:
        """Count `units` more as done; `note` is shown beside the bar."""
        self.done += units
        if not self._bar.disable:
            self._bar.set_postfix_str(note, refresh=False)
            self._bar.update(units)
            return
        now = time.monotonic()
        if now - self._last_line < SECONDS_BETWEEN_LINES or self.done == self.total:
            return
        self._last_line = now
        if self.total is None:
            log.info("%s %d %s %s", self.task, self.done, self.unit, note)
            return
        eta_s = (now - self._started) / (self.done - self._first) * (self.total - self.done)
        log.info(
            "%s %d/%d %s, ETA %s %s",
            self.task, self.done, self.total, self.unit, clock(eta_s), note,
        )  # fmt: skip

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._bar.close()
        if error is None:
            elapsed_s = time.monotonic() - self._started
            new = self.done - self._first
            log.info("%s %d %s in %s", self.task, new, self.unit, clock(elapsed_s))


def clock(seconds: float) -> str:
    """Seconds as `m:ss` or `h:mm:ss`."""
    minutes, second = divmod(round(seconds), 60)
    hour, minute = divmod(minutes, 60)
    return f"{hour}:{minute:02}:{second:02}" if hour else f"{minute}:{second:02}"
