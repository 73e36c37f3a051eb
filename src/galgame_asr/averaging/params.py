"""Section `average`: models whose tensors are the mean of several checkpoints."""

from typing import Annotated

from pydantic import Field, model_validator

from galgame_asr.core.params import section

Percent = Annotated[int, Field(ge=1, le=100)]


@section
class AverageParams:
    """One averaged model."""

    # The phase, and which of its checkpoints (percents) count equally.
    phase: str
    checkpoints: Annotated[tuple[Percent, ...], Field(min_length=2)]

    @model_validator(mode="after")
    def _each_counts_once(self) -> "AverageParams":
        if len(set(self.checkpoints)) < len(self.checkpoints):
            raise ValueError("a checkpoint stands there twice")
        return self


Averages = dict[str, AverageParams]
