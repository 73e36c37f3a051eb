"""What an entry of kind `reazonspeech` of section `corpora` may say."""

from typing import Literal

from pydantic import model_validator

from galgame_asr.core.params import section
from galgame_asr.corpora.common.types import Limit

# From small to large; each holds the ones before it.
TIERS = ("tiny", "small", "medium", "large", "all")
Tier = Literal["tiny", "small", "medium", "large", "all"]


@section
class ReazonSpeech:
    """ReazonSpeech v2: a table of texts, and tars of FLAC, over HTTP."""

    kind: Literal["reazonspeech"]
    url: str
    tier: Tier
    # Leave out what this smaller tier holds, so that no utterance counts twice.
    beyond: Tier | None
    # Whether the user agrees to the terms, which the stage prints.
    agree_terms: bool
    limit: Limit | None = None

    @model_validator(mode="after")
    def _beyond_is_smaller(self) -> "ReazonSpeech":
        if self.beyond and TIERS.index(self.beyond) >= TIERS.index(self.tier):
            raise ValueError(f"beyond is {self.beyond}; it must be smaller than tier {self.tier}")
        return self


Entry = ReazonSpeech
