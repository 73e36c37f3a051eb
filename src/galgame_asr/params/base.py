"""Section `base`: the model every curriculum starts from."""

from typing import Annotated, Literal

from pydantic import Field

from galgame_asr.params import Revision, section
from galgame_asr.params.train import TrainingParams


@section
class TinyBase:
    """A small model of the family, built from config and pretrained here."""

    kind: Literal["tiny"]
    encoder_dim: Annotated[int, Field(ge=8)]
    encoder_layers: Annotated[int, Field(ge=2)]
    llm_dim: Annotated[int, Field(ge=8)]
    llm_layers: Annotated[int, Field(ge=1)]
    # Largest vocabulary of its byte-level BPE tokenizer.
    vocabulary: Annotated[int, Field(ge=300)]
    pretrain: TrainingParams


@section
class HubBase:
    """A published model at a pinned revision."""

    kind: Literal["hub"]
    repo: str
    revision: Revision
    # A checkpoint of FunASR's trainer to take the tensors from, such as outputs/model.pt.best;
    # null takes those of the repository.
    weights: str | None = None


@section
class DirectoryBase:
    """A model directory on this machine, in the family's native layout."""

    kind: Literal["directory"]
    path: str
    # As above; null takes those of the directory.
    weights: str | None = None


Base = Annotated[TinyBase | HubBase | DirectoryBase, Field(discriminator="kind")]
