"""What the entries of all formats of section `export` share."""

from typing import Annotated, Protocol

from pydantic import Field

from galgame_asr.core.params import section

# What to export: base, PHASE/pNN or an averaged model.
Checkpoint = Annotated[str, Field(min_length=1)]


@section
class VerifyParams:
    """How an export shows that it says what its checkpoint says."""

    # Rows of the test set that both transcribe, and the prompt for them.
    utterances: Annotated[int, Field(ge=1)]
    prompt: str
    # Share of equal texts below which it is refused, where the checkpoint hears through
    # the runtime's front end: 1.0 for float32; quantised models differ now and then.
    min_equal: Annotated[float, Field(ge=0, le=1)]
    # Points of CER that the export may lose against the same.
    max_cer_rise: Annotated[float, Field(ge=0)]


@section
class TensorVerifyParams(VerifyParams):
    """The same, and how near its tensors are, of formats whose files can be read back."""

    # The largest difference allowed, as a share of the largest value of the same tensor.
    max_difference: Annotated[float, Field(ge=0)]


class Export(Protocol):
    """An entry of `export`, of whatever format."""

    @property
    def format(self) -> str:
        """The name of the room that writes it."""

    @property
    def checkpoint(self) -> str:
        """What is exported; see `Checkpoint`."""

    @property
    def precision(self) -> str:
        """One that the format has."""

    @property
    def verify(self) -> VerifyParams:
        """How it shows that it says the same."""
