"""What the stages of a rehearsal took, kept in a file: one that was stopped goes on."""

import json
import threading
import time
from dataclasses import asdict, dataclass
from pathlib import Path

from galgame_asr.core.files import write_text

# What DVC says of a stage that it runs, and of one that it does not.
BEGINS, SKIPS = "Running stage '", "Stage '"


@dataclass
class Ran:
    """One stage, as it ran."""

    stage: str
    seconds: float = 0.0
    peak_bytes: int = 0  # of memory, all its processes together
    gpu_bytes: int = 0  # in use on all cards
    is_over: bool = False  # and not stopped, nor failed


class Record:
    """All stages that ran here, in this call of DVC or in those before.

    A stage that was stopped adds its seconds and keeps the larger peaks; one that runs again from
    its end counts anew. Written at each change, as a stop can come at any time.
    """

    def __init__(self, file: Path) -> None:
        self.running: Ran | None = None  # or failed
        self.is_stopped = False  # by a signal, in this call
        self._file = file
        rows = json.loads(file.read_text()) if file.exists() else []
        self._known = {row["stage"]: Ran(**row) for row in rows}
        self._named: list[str] = []  # by DVC in this call, in its order
        self._began = 0.0
        self._lock = threading.RLock()  # one thread hears, and another takes samples

    @property
    def stages(self) -> list[Ran]:
        """Those that DVC has come to; others are none of the profile's any more."""
        return [self._known[name] for name in dict.fromkeys(self._named) if name in self._known]

    def hear(self, line: str) -> None:
        """Take note of what DVC says."""
        says = next((start for start in (BEGINS, SKIPS) if line.startswith(start)), None)
        if says is None:
            return
        with self._lock:
            self.end(is_over=True)
            stage = line.removeprefix(says).partition("'")[0]
            self._named.append(stage)
            if says == BEGINS:
                before = self._known.get(stage)
                if before is None or before.is_over:
                    self._known[stage] = Ran(stage)
                self.running = self._known[stage]
                self._began = time.monotonic() - self.running.seconds
                self._write()

    def end(self, *, is_over: bool) -> None:
        """Note that the stage that ran, if one did, is over; or else that it failed."""
        with self._lock:
            if self.running:
                self.running.is_over = is_over
                self._write()
                self.running = None if is_over else self.running

    def sample(self, peak_bytes: int, gpu_bytes: int) -> None:
        """Note the memory of the stage that runs, if one does."""
        with self._lock:
            if self.running:
                self.running.peak_bytes = max(self.running.peak_bytes, peak_bytes)
                self.running.gpu_bytes = max(self.running.gpu_bytes, gpu_bytes)
                self._write()

    def _write(self) -> None:
        if self.running:
            self.running.seconds = time.monotonic() - self._began
        rows = [asdict(ran) for ran in self._known.values()]
        write_text(self._file, json.dumps(rows, indent=1) + "\n")
