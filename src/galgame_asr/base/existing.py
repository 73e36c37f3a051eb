"""Section `base.existing`: a model that is there, on a hub or on this machine."""

import re
from typing import Annotated, Literal

from pydantic import Field, ValidationInfo, field_validator

from galgame_asr.core.params import section

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
