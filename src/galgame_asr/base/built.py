"""Section `base.built`: a small model from random weights, pretrained here."""

from typing import Annotated, ClassVar

from pydantic import Field

from galgame_asr.core.params import section
from galgame_asr.training.params import TrainingParams

# Corpora of the training texts that a tokenizer learns from.
Texts = Annotated[tuple[str, ...], Field(min_length=1)]


@section
class TinyBase:
    """A small Fun-ASR-Nano."""

    family: ClassVar[str] = "fun_asr_nano"
    encoder_dim: Annotated[int, Field(ge=8)]
    encoder_layers: Annotated[int, Field(ge=2)]
    llm_dim: Annotated[int, Field(ge=8)]
    llm_layers: Annotated[int, Field(ge=1)]
    # Largest vocabulary of its byte-level BPE tokenizer.
    vocabulary: Annotated[int, Field(ge=300)]
    texts: Texts
    pretrain: TrainingParams


@section
class TinyWhisperBase:
    """A small Whisper."""

    family: ClassVar[str] = "whisper"
    # Width of encoder and decoder.
    dim: Annotated[int, Field(ge=16, multiple_of=8)]
    encoder_layers: Annotated[int, Field(ge=1)]
    decoder_layers: Annotated[int, Field(ge=1)]
    # Largest vocabulary of its byte-level BPE tokenizer, without the 1,609 special tokens.
    vocabulary: Annotated[int, Field(ge=300)]
    texts: Texts
    pretrain: TrainingParams


@section
class BuiltBase:
    """The model by its kind; none where an existing one is taken."""

    tiny: TinyBase | None = None
    tiny_whisper: TinyWhisperBase | None = None

    @property
    def recipe(self) -> TinyBase | TinyWhisperBase | None:
        """The one that is built, if one is."""
        return self.tiny or self.tiny_whisper
