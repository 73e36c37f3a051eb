"""Section `audit`: which labels are held against what models hear, and what counts as wrong."""

from dataclasses import fields
from typing import Annotated

from pydantic import Field, field_validator, model_validator

from galgame_asr.core.params import section
from galgame_asr.manifests.params import Severity

# A share of a corpus's training rows, or so many of them; a larger sample holds a smaller one.
Sample = Annotated[int, Field(ge=1)] | Annotated[float, Field(gt=0, le=1)]


@section
class Threshold:
    """A bound of a figure: as it is, or where such a share of the corpus's rows lies below it."""

    value: Annotated[float, Field(ge=0)] | None = None
    quantile: Annotated[float, Field(ge=0, le=1)] | None = None

    @model_validator(mode="after")
    def _is_one_of_them(self) -> "Threshold":
        if (self.value is None) == (self.quantile is None):
            raise ValueError("give one of value and quantile")
        return self


@section
class Thresholds:
    """Bounds beyond which a row is flagged; with two models, only where both are beyond."""

    # Kana CER of what is heard, the label being the truth: above.
    disagrees: Threshold
    # Kana of the label by kana that are heard: below, and above.
    label_short: Threshold
    label_long: Threshold


@section
class CorpusAudit:
    """What of a corpus is audited, and how strictly."""

    sample: Sample
    thresholds: Thresholds


@section
class FlagSeverities:
    """What a flag does: stop the stage, be for `galgame-asr audit --exclude`, or only count."""

    disagrees: Severity
    label_short: Severity
    label_long: Severity
    # The detector of decode.long_audio hears no speech in a row that disagrees.
    not_speech: Severity


FLAGS = tuple(field.name for field in fields(FlagSeverities))


@section
class AuditParams:
    """Training rows decoded and compared with their labels; no corpora: nothing runs."""

    # One, or two: what both hear against a label is proposed for it.
    checkpoints: Annotated[tuple[str, ...], Field(max_length=2)]
    prompt: str
    severity: FlagSeverities
    corpora: dict[str, CorpusAudit]

    @field_validator("checkpoints")
    @classmethod
    def _are_two(cls, checkpoints: tuple[str, ...]) -> tuple[str, ...]:
        if len(set(checkpoints)) < len(checkpoints):
            raise ValueError("a model agrees with itself: name two, or one alone")
        return checkpoints
