"""The table of exports: what each costs in characters and in size."""

from collections.abc import Mapping, Sequence

from galgame_asr.formats.common.verified import Verified
from galgame_asr.report import formats

Exports = Mapping[str, Verified]  # by name in params
HEAD = (
    "export", "checkpoint", "precision", "runtime", "MB", "same text", "CER of the checkpoint",
    "with the runtime's features", "CER of the export", "largest difference",
)  # fmt: skip
LEGEND = (
    "Texts and CERs are those of the test utterances that verify decodes. With the runtime's "
    "features: the checkpoint, hearing what the runtime's own front end makes of the audio; with "
    "its texts the export's are compared. Largest difference: of tensors that were read back or "
    "computed, as a share of the largest value; 1e-05 stands for all that is smaller and not 0."
)


def failures(checked: Exports) -> list[str]:
    """A sentence for each export that its gate refuses."""
    return [
        f"Export {name} failed its gate: {verified.refusal}. It cannot be published."
        for name, verified in checked.items()
        if verified.problems
    ]


def cells(name: str, verified: Verified) -> list[str]:
    """One text for each of `HEAD`."""
    return [
        name,
        verified.checkpoint,
        verified.precision,
        verified.runtime,
        f"{verified.size_mb:.1f}",
        f"{verified.equal} of {verified.utterances}",
        formats.percent(verified.cer_checkpoint),
        formats.percent(verified.cer_front_end),
        formats.percent(verified.cer),
        _largest(list(verified.differences.values())),
    ]


def _largest(differences: Sequence[float | None]) -> str:
    if not differences:
        return formats.NONE
    numbers = [value for value in differences if value is not None]
    if len(numbers) < len(differences):
        return "no number"
    largest = max(numbers)
    return f"{largest:.0e}" if largest else "0"
