"""Section `score`: how transcripts are compared with references."""

from typing import Literal

from galgame_asr.params import section


@section
class NormaliseParams:
    """What of the spelling is made equal before characters are compared."""

    # Write what 々, ゝ and ゞ repeat: 時々 as 時時, いすゞ as いすず.
    iteration_marks: bool = True
    # Runs of ー, wave dashes among them: keep them, or collapse each to one.
    elongation: Literal["keep", "collapse"] = "keep"


@section
class ScoreParams:
    """Scoring: normalised texts, and words and readings by SudachiPy."""

    normalise: NormaliseParams
    # Version of sudachidict-core. Another one has other words and readings, so other rates:
    # it stands here for DVC to score all variants again when it changes.
    dictionary: str
