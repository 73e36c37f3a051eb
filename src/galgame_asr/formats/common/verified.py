"""metrics/verify/NAME.json: how near an export came to its checkpoint."""

import dataclasses
import json
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
    # that is smaller and not 0.
    differences: dict[str, float]
    size_mb: float
    size_mb_checkpoint: float


def write(path: Path, verified: Verified) -> None:
    """Write the figures, rounded to what they mean."""
    values = dataclasses.asdict(verified)
    for key, digits in DIGITS.items():
        values[key] = None if values[key] is None else round(values[key], digits)
    values["differences"] = {file: _rounded(v) for file, v in verified.differences.items()}
    write_text(path, json.dumps(values, indent=1) + "\n")


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
            f"{path} cannot be read ({error}); `dvc repro verify@{path.stem}` makes it"
        ) from None


def _rounded(difference: float) -> float:
    return float(f"{max(difference, SMALLEST_DIFFERENCE):.1e}") if difference else 0.0
