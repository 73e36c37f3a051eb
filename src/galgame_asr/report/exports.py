"""The table of exports: what each costs in characters and in size."""

from collections.abc import Mapping

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


def cells(name: str, verified: Verified) -> list[str]:
    """One text for each of `HEAD`."""
    largest = max(verified.differences.values(), default=None)
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
        formats.NONE if largest is None else f"{largest:.0e}" if largest else "0",
    ]
