"""Section `base`: the model every curriculum starts from."""

from typing import Annotated, ClassVar, Literal

from pydantic import Field

from galgame_asr.core.params import Revision, section
from galgame_asr.training.params import TrainingParams


@section
class TinyBase:
    """A small Fun-ASR-Nano, built from config and pretrained here."""

    family: ClassVar[str] = "fun_asr_nano"
    kind: Literal["tiny"]
    encoder_dim: Annotated[int, Field(ge=8)]
    encoder_layers: Annotated[int, Field(ge=2)]
    llm_dim: Annotated[int, Field(ge=8)]
    llm_layers: Annotated[int, Field(ge=1)]
    # Largest vocabulary of its byte-level BPE tokenizer.
    vocabulary: Annotated[int, Field(ge=300)]
    pretrain: TrainingParams


@section
class TinyWhisperBase:
    """A small Whisper, built from config and pretrained here."""

    family: ClassVar[str] = "whisper"
    kind: Literal["tiny_whisper"]
    # Width of encoder and decoder.
    dim: Annotated[int, Field(ge=16, multiple_of=8)]
    encoder_layers: Annotated[int, Field(ge=1)]
    decoder_layers: Annotated[int, Field(ge=1)]
    # Largest vocabulary of its byte-level BPE tokenizer, without the 1,609 special tokens.
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


# What is built here; each is of one family.
BuiltBase = TinyBase | TinyWhisperBase
Base = Annotated[TinyBase | TinyWhisperBase | HubBase | DirectoryBase, Field(discriminator="kind")]
