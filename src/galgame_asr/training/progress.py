"""What a phase shows and notes about its speed; nothing here is part of the result."""

import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Self

from galgame_asr.messages.console import Progress, log


class Watch:
    """Progress with ETA, and speed.tsv: step, time, audio seconds per second of the steps alone.

    With `tensorboard`, event files of losses and learning rate beside it.
    """

    def __init__(self, num_steps: int, done: int, logs: Path, *, tensorboard: bool) -> None:
        self.file = logs / "speed.tsv"
        self._bar = Progress("train", total=num_steps, unit="steps", done=done)
        self._note = self._scores = ""
        self._writer = None
        if tensorboard:
            # Imports what few runs need.
            from tensorboardX import SummaryWriter  # noqa: PLC0415

            self._writer = SummaryWriter(str(logs))
        logs.mkdir(parents=True, exist_ok=True)
        if done == 0:
            self.file.write_text("step\ttime\taudio_s_per_s\n")
        self._since = time.monotonic()

    def __enter__(self) -> Self:
        self._bar.__enter__()
        return self

    def __exit__(self, *error: object) -> None:
        self._bar.__exit__(*error)  # type: ignore[arg-type]
        if self._writer:
            self._writer.close()

    def step(self) -> None:
        """Move the bar."""
        self._bar.update(1, ", ".join(filter(None, (self._note, self._scores))))

    @contextmanager
    def pause(self) -> Iterator[None]:
        """Leave the time of something beside the steps out of their speed."""
        since = time.monotonic()
        yield
        self._since += time.monotonic() - since

    def row(self, row: Mapping[str, float]) -> None:
        """Note a row of the log and the speed since the last one."""
        now = time.monotonic()
        speed = row["audio_s"] / (now - self._since)
        self._since = now
        self._note = f"loss {row['loss']:.3f}, {speed:.0f} audio s/s"
        with self.file.open("a") as stream:
            stream.write(f"{row['step']}\t{time.time():.1f}\t{speed:.2f}\n")
        self._scalars(row)

    def dev(self, row: Mapping[str, float]) -> None:
        """Show the scores of the dev set."""
        scores = ", ".join(f"{k.replace('_', ' ')} {v:.4f}" for k, v in row.items() if k != "step")
        log.info("step %d: %s", row["step"], scores)
        self._scores = scores
        self._scalars(row)

    def _scalars(self, row: Mapping[str, float]) -> None:
        if self._writer:
            for name, value in row.items():
                self._writer.add_scalar(name, value, row["step"])
