"""Section `base.existing`: a model that is there, on a hub or on this machine.

Or, where a run is only rehearsed, one of its size.
"""

import re
from typing import Annotated, Literal

from pydantic import Field, ValidationInfo, field_validator

from galgame_asr.core.params import section

# Published models whose architecture this project knows, by the modules that describe it.
PUBLISHED = {
    "FunAudioLLM/Fun-ASR-Nano-2512": "fun_asr_nano_2512",
    "openai/whisper-large-v3-turbo": "whisper_large_v3_turbo",
}
COMMIT = re.compile(r"[0-9a-f]{40}")


@section
class HubBase:
    """A published model at a pinned revision.

    Two hubs may have other files under one name; docs/storage.md says which has what.
    """

    # The hub.
    source: Literal["huggingface", "modelscope"] = "huggingface"
    repo: str
    # The 40-hex commit. ModelScope names branches and tags, such as master: there size and
    # SHA-256 in sources/ pin the bytes.
    revision: Annotated[str, Field(min_length=1)]
    # A checkpoint of FunASR's trainer to take the tensors from, such as outputs/model.pt.best;
    # null takes those of the repository.
    weights: str | None = None

    @property
    def page(self) -> str:
        """The address of the repository."""
        if self.source == "modelscope":
            return f"https://www.modelscope.cn/models/{self.repo}"
        return f"https://huggingface.co/{self.repo}"

    @field_validator("revision")
    @classmethod
    def _pinned(cls, value: str, found: ValidationInfo) -> str:
        if found.data.get("source") == "huggingface" and not COMMIT.fullmatch(value):
            raise ValueError("must be the commit, 40 hex digits; a branch or tag can change")
        return value


@section
class RandomBase:
    """A model of a published one's size with random weights: a rehearsal of it, no start."""

    repo: Literal["FunAudioLLM/Fun-ASR-Nano-2512", "openai/whisper-large-v3-turbo"]
    # The hub whose file has these tensors.
    source: Literal["huggingface", "modelscope"]
    # Of the weights.
    seed: int

    @property
    def module(self) -> str:
        """What builds it."""
        return f"galgame_asr.base.{PUBLISHED[self.repo]}"


@section
class DirectoryBase:
    """A model directory on this machine, in the family's native layout."""

    path: str
    # As above; null takes those of the directory.
    weights: str | None = None


@section
class ExistingBase:
    """The model by its kind; none where it is built here."""

    hub: HubBase | None = None
    directory: DirectoryBase | None = None
    published_random: RandomBase | None = None
