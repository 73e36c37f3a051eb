"""Families of models: everything that differs between them, behind one interface.

The rest of the project (batching, freezing, resume, decoding, scoring) knows
only `Family`. Shapes in comments: B utterances, T feature frames, D features.
"""

import importlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from galgame_asr.families.common.defaults import Defaults
from galgame_asr.families.common.params import CtcBranch, Prompt
from galgame_asr.families.common.text_tokens import TextTokenizer
from galgame_asr.families.common.transcript import LabelFit, Transcript

# 16 kHz mono samples to float32 features (T, D).
FrontEnd = Callable[[NDArray[np.float32]], torch.Tensor]
Sentence = tuple[float, float, str]  # start and end in seconds, and what is said


@dataclass(frozen=True)
class Example:
    """One utterance ready for a batch."""

    id: str  # CORPUS/ID
    # float32 (T, D)
    features: torch.Tensor
    prompt: Prompt
    text: str
    duration_s: float  # of the speech
    sentences: Sequence[Sentence] = ()  # together the text, where their times are known


@dataclass(frozen=True)
class Search:
    """How texts are searched for."""

    # For each utterance of the batch: no more tokens than this.
    max_new_tokens: Sequence[int]
    beams: int = 1  # 1 is greedy
    no_repeat_ngram_size: int = 0  # 0 allows all


class Recogniser(Protocol):
    """A loaded model that turns speech into text: the half of a family that an export has."""

    @property
    def model(self) -> nn.Module:
        """Decodes on the device that this is moved to."""

    def features(self, audio: NDArray[np.float32]) -> torch.Tensor:
        """Turn 16 kHz mono samples into float32 features (T, D)."""

    def transcribe(
        self, features: Sequence[torch.Tensor], prompt: Prompt, search: Search
    ) -> list[Transcript]:
        """Decode a batch, one transcript per item; its text does not depend on the others."""


@runtime_checkable
class Aligner(Protocol):
    """A recogniser that may tell how labels fit the speech."""

    def take_branch(self) -> bool:
        """Take what that needs into the model, before it is moved; whether it can be used."""

    def align(self, features: Sequence[torch.Tensor], texts: Sequence[str]) -> list[LabelFit]:
        """How each label fits its utterance; what one gives does not depend on the others."""


class Family(Recogniser, Protocol):
    """A loaded model and what is needed to train it, decode with it and save it."""

    # Part of the model -> prefix of its parameters' names; params freeze by these parts.
    parts: Mapping[str, str]
    # Names of parameters inside the parts that never learn.
    fixed: Sequence[str]
    num_mels: int  # mel bands in a frame of features
    # The parts that LoRA adapts where params name none.
    lora_parts: Sequence[str]
    # Of a model whose directory has no `defaults.FILE`.
    defaults: Defaults
    # All speech is padded to so many seconds, and cannot be longer; None: to the longest.
    window_s: float | None

    @property
    def model(self) -> nn.Module:
        """Takes what `training_batch` gives as keyword arguments."""

    @property
    def layers(self) -> list[nn.Module]:
        """The layers whose activations can be recomputed, one at a time."""

    @property
    def text_tokens(self) -> TextTokenizer:
        """Makes tokens of a label, none of them shorter than a byte."""

    def max_text_tokens(self, prompt: Prompt, sentences: int = 1) -> int | None:
        """Tokens of the longest label that the model can learn with a prompt; None: any.

        Of a label that is so many sentences, where their times are known.
        """

    def refuse_silence(self, prompt: Prompt) -> None:
        """Refuse to learn an empty text that the search could never find.

        Raises:
            ConfigError: with this prompt, no text of the model's is empty.
        """

    def training_batch(self, examples: Sequence[Example]) -> dict[str, Any]:
        """Arguments of `model`, which returns a map with the mean `loss` over the batch."""

    def num_labels(self, batch: Mapping[str, Any]) -> int:
        """Label tokens of a batch, over which its loss is the mean."""

    def encode(self, batch: Mapping[str, Any]) -> tuple[torch.Tensor, torch.Tensor]:
        """Encoder output (B, T, D) of a batch and its lengths (B,).

        The model takes the output as `encoded` instead of its own.
        """

    def add_ctc_loss(self, weight: float, branch: CtcBranch | None) -> None:
        """Add a CTC loss on the encoder, and what it needs to the model, where that learns.

        Args:
            weight: of the loss beside the model's own.
            branch: which one is taken for it, and saved with the model; None: a head that
                is not saved.

        Raises:
            ConfigError: the model has no such branch, it cannot be used, or the family has
                no use for such a loss.
        """

    def save(self, directory: Path, tensors: Mapping[str, torch.Tensor] | None = None) -> None:
        """Write a complete model directory in the family's native layout, adapters folded in.

        `tensors` is the model's state where several processes hold parts of it.
        """


def load(family: str, directory: Path, weights: Path | None = None) -> Family:
    """Load a model directory, with the tensors of another file if `weights` names one.

    Raises:
        CheckpointError: a file is missing or damaged, or tensors are missing,
            unexpected or of another shape; the message names them.
    """
    module = importlib.import_module(f"galgame_asr.families.{family}.family")
    loaded: Family = module.load(directory, weights)
    return loaded
