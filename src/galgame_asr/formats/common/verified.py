"""metrics/verify/NAME.json: how near an export came to its checkpoint, and whether that will do."""

import dataclasses
import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from galgame_asr.core.files import write_text
from galgame_asr.messages.errors import DataError

# After the point.
DIGITS = {
    "cer": 4, "cer_front_end": 4, "cer_checkpoint": 4, "log_prob_difference": 3,
    "size_mb": 1, "size_mb_checkpoint": 1,
}  # fmt: skip


# Below are roundings of float32, which differ between CPUs: ONNX Runtime's softmax takes
# AVX-512 where there is AVX-512, and no setting keeps it from that.
SMALLEST_DIFFERENCE = 1e-5


@dataclass(frozen=True, kw_only=True)
class Verified:
    """What stage verify found; for texts and CERs see `agreement.Agreement`."""

    checkpoint: str
    format: str
    precision: str
    # Package and version that decoded.
    runtime: str
    # What the gate of params refuses; empty: it passed.
    problems: list[str]
    utterances: int
    equal: int
    distinct: int
    cer: float | None
    cer_front_end: float | None
    cer_checkpoint: float | None
    log_prob_difference: float | None
    # Equal texts of the runtime's own command, and how many it was asked for; None without one.
    by_command: tuple[int, int] | None
    # By file, see `Exporter.differences`; SMALLEST_DIFFERENCE stands for any
    # that is smaller and not 0, None for what is no number, as float16 makes of large values.
    differences: Mapping[str, float | None]
    size_mb: float
    size_mb_checkpoint: float

    @property
    def refusal(self) -> str:
        """What the gate refuses, and what to do; empty: it passed."""
        if not self.problems:
            return ""
        return (
            f"{'; '.join(self.problems)}. Choose a higher precision, or lower the gate if this "
            "will do"
        )


def write(path: Path, verified: Verified) -> None:
    """Write the figures, rounded to what they mean."""
    values = dataclasses.asdict(verified)
    for key, digits in DIGITS.items():
        number = values[key] is not None and math.isfinite(values[key])
        values[key] = round(values[key], digits) if number else None
    values["differences"] = {file: rounded(v) for file, v in verified.differences.items()}
    write_text(path, json.dumps(values, indent=1, allow_nan=False) + "\n")


def read(path: Path) -> Verified:
    """Read the figures of an export.

    Raises:
        DataError: the file is missing or has other keys.
    """
    try:
        values = json.loads(path.read_text(encoding="utf-8"))
        pair = values.pop("by_command")
        return Verified(**values, by_command=None if pair is None else tuple(pair))
    except (OSError, ValueError, TypeError, KeyError) as error:
        raise DataError(
            f"{path} cannot be read ({error}); `dvc repro --force --single-item "
            f"verify@{path.stem}` makes it"
        ) from None


def rounded(difference: float | None) -> float | None:
    """Two digits of a difference, the same ones on every CPU; None: it is no number."""
    if difference is None or not math.isfinite(difference):
        return None
    return float(f"{max(difference, SMALLEST_DIFFERENCE):.1e}") if difference else 0.0
