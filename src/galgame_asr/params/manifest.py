"""Section `manifest`: which utterances are usable."""

from typing import Annotated, Literal

from pydantic import Field

from galgame_asr.params import section

Severity = Literal["fail", "drop", "warn"]


@section
class FlagSeverity:
    """What a flag does: stop the stage, keep the row out of every split, or only count."""

    # The audio has no text file beside it, or the text has no audio.
    unpaired: Severity
    # The audio cannot be decoded.
    audio_unreadable: Severity
    # Shorter than min_duration_s.
    too_short: Severity
    # Longer than max_duration_s.
    too_long: Severity
    # The text holds no letter and no number.
    text_empty: Severity
    # The same id stands twice in the corpus.
    duplicate_id: Severity


@section
class ManifestParams:
    """Limits and severities of the checks on every utterance."""

    min_duration_s: Annotated[float, Field(ge=0)]
    max_duration_s: Annotated[float, Field(gt=0)]
    severity: FlagSeverity
