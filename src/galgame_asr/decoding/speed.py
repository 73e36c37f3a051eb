"""How fast a variant was decoded, in logs/: no output of a stage, as no two runs take as long.

By FunASR's protocol (docs/benchmark/rtf_reproducibility.md of its repository): RTFx is seconds
of audio for each second of work; one scope is timed, said with device, threads and batching, at
best three times, of which the median counts.
"""

import json
import statistics
import time
from dataclasses import asdict, dataclass, field
from pathlib import Path

from galgame_asr.core.files import write_text

SCOPE = (
    "Timed: reading audio, features, model and text, of dev sample and test sets, by one process; "
    "not timed: loading the model, and the first batch, in which runtimes warm up"
)


@dataclass(frozen=True)
class Conditions:
    """Runs under other conditions are not compared."""

    device: str  # name of the GPU, or of the CPU
    cpu_threads: int
    precision: str  # of what torch computes
    batch_frames: int
    torch: str  # its version
    utterances: int
    audio_s: float
    size_mb: float  # of all files of the model


@dataclass(frozen=True)
class Speed:
    """The runs of one variant under the same conditions."""

    conditions: Conditions
    seconds: tuple[float, ...]

    @property
    def rtfx(self) -> float:
        """Of the median run."""
        return self.conditions.audio_s / statistics.median(self.seconds)

    @property
    def range(self) -> tuple[float, float]:
        """Of the slowest run and of the fastest."""
        return (
            self.conditions.audio_s / max(self.seconds),
            self.conditions.audio_s / min(self.seconds),
        )


@dataclass
class Clock:
    """Adds up audio and time, from the end of the first batch on."""

    utterances: int = 0
    audio_s: float = 0.0
    start: float | None = field(default=None)
    seconds: float = 0.0

    def batch(self, utterances: int, audio_s: float) -> None:
        """One more is done."""
        now = time.monotonic()
        if self.start is None:
            self.start = now
            return
        self.utterances += utterances
        self.audio_s += audio_s
        self.seconds = now - self.start


def record(path: Path, conditions: Conditions, seconds: float) -> None:
    """Add a run to a file; runs under other conditions go."""
    earlier = read(path)
    known = earlier.seconds if earlier and earlier.conditions == conditions else ()
    speed = Speed(conditions, (*known, round(seconds, 3)))
    write_text(path, json.dumps(asdict(speed), ensure_ascii=False, indent=1) + "\n")


def read(path: Path) -> Speed | None:
    """The runs of a file; None where there is none, or it is of another version."""
    try:
        values = json.loads(path.read_bytes())
        return Speed(Conditions(**values["conditions"]), tuple(values["seconds"]))
    except (OSError, KeyError, TypeError, ValueError):
        return None


def size_mb(directory: Path) -> float:
    """Of all files of a model."""
    size = sum(file.stat().st_size for file in directory.rglob("*") if file.is_file())
    return round(size / 1e6, 1)
