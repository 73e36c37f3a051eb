"""Families of models: everything that differs between them, behind one interface.

The rest of the project (batching, freezing, resume, decoding, scoring) knows
only `Family`. Shapes in comments: B utterances, T feature frames, D features.
"""

import importlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from galgame_asr.decoding.transcript import Transcript
from galgame_asr.errors import CheckpointError
from galgame_asr.params.prompts import Prompt


@dataclass(frozen=True)
class Example:
    """One utterance ready for a batch."""

    id: str  # CORPUS/ID
    # float32 (T, D)
    features: torch.Tensor
    prompt: Prompt
    text: str


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


class Family(Recogniser, Protocol):
    """A loaded model and what is needed to train it, decode with it and save it."""

    # Part of the model -> prefix of its parameters' names; params freeze by these parts.
    parts: Mapping[str, str]
    num_mels: int  # mel bands in a frame of features
    # The part that `add_lora` adapts.
    lora_part: str

    @property
    def model(self) -> nn.Module:
        """Takes what `training_batch` gives as keyword arguments."""

    @property
    def layers(self) -> list[nn.Module]:
        """The layers whose activations can be recomputed, one at a time."""

    def training_batch(self, examples: Sequence[Example]) -> dict[str, Any]:
        """Arguments of `model`, which returns a map with the mean `loss` over the batch."""

    def encode(self, batch: Mapping[str, Any]) -> torch.Tensor:
        """Encoder output of a batch; the model takes it as `encoded` instead of its own."""

    def add_ctc_loss(self, weight: float) -> None:
        """Add a CTC loss on the encoder; what the model has for it, or a new head, learns.

        Raises:
            ConfigError: the model's own CTC branch cannot be used.
        """

    def add_lora(self, *, rank: int, alpha: int, dropout: float, targets: Sequence[str]) -> None:
        """Let low-rank adapters of a part that is frozen learn; `save` folds them into it.

        Raises:
            ConfigError: a target is the name of no linear layer.
        """

    def save(self, directory: Path, tensors: Mapping[str, torch.Tensor] | None = None) -> None:
        """Write a complete model directory in the family's native layout.

        `tensors` is the model's state where several processes hold parts of it.
        """


def load(family: str, directory: Path, weights: Path | None = None) -> Family:
    """Load a model directory, with the tensors of another file if `weights` names one.

    Raises:
        CheckpointError: a file is missing or damaged, or tensors are missing,
            unexpected or of another shape; the message names them.
    """
    module = importlib.import_module(f"galgame_asr.families.{family}")
    loaded: Family = module.load(directory, weights)
    return loaded


def detect(directory: Path) -> str:
    """Name the family of a model directory by its files.

    Raises:
        CheckpointError: they are of no family.
    """
    config = directory / "config.json"
    if (directory / "model.bin").is_file() and (directory / "vocabulary.json").is_file():
        return "whisper_ct2"
    if (directory / "config.yaml").is_file():
        return "fun_asr_nano"
    if config.is_file() and json.loads(config.read_text()).get("model_type") == "whisper":
        return "whisper"
    raise CheckpointError(
        f"{directory} is no model directory: it has neither FunASR's config.yaml, nor "
        "transformers' config.json of a Whisper, nor CTranslate2's model.bin"
    )
