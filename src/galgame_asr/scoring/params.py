"""Section `score`: how transcripts are compared with references."""

from galgame_asr.core.params import section
from galgame_asr.text.params import NormaliseParams


@section
class ScoreParams:
    """Scoring: normalised texts, and words and readings by SudachiPy."""

    normalise: NormaliseParams
    # Version of sudachidict-core. Another one has other words and readings, so other rates:
    # it stands here for DVC to score all variants again when it changes.
    dictionary: str
