"""Families of models: everything that differs between them, behind one interface.

The rest of the project (batching, freezing, resume, decoding, scoring) knows
only `Family`. Shapes in comments: B utterances, T feature frames, D features.
"""

import importlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from galgame_asr.decoding.transcript import Transcript
from galgame_asr.params.prompts import Prompt


@dataclass(frozen=True)
class Example:
    """One utterance ready for a batch."""

    id: str
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


class Family(Protocol):
    """A loaded model and what is needed to train it, decode with it and save it."""

    # Part of the model -> prefix of its parameters' names; params freeze by these parts.
    parts: Mapping[str, str]

    @property
    def model(self) -> nn.Module:
        """Takes what `training_batch` gives as keyword arguments."""

    def features(self, audio: NDArray[np.float32]) -> torch.Tensor:
        """Turn 16 kHz mono samples into float32 features (T, D)."""

    def training_batch(self, examples: Sequence[Example]) -> dict[str, torch.Tensor]:
        """Arguments of `model`, which returns a map with the mean `loss` over the batch."""

    def add_ctc_head(self, weight: float) -> None:
        """Add an auxiliary CTC loss on the encoder; its head is trained but not saved."""

    def transcribe(
        self, features: Sequence[torch.Tensor], prompt: Prompt, search: Search
    ) -> list[Transcript]:
        """Decode a batch, one transcript per item; its text does not depend on the others."""

    def save(self, directory: Path) -> None:
        """Write a complete model directory in the family's native layout."""


def load(family: str, directory: Path, weights: Path | None = None) -> Family:
    """Load a model directory, with the tensors of another file if `weights` names one.

    Raises:
        CheckpointError: a file is missing or damaged, or tensors are missing,
            unexpected or of another shape; the message names them.
    """
    module = importlib.import_module(f"galgame_asr.families.{family}")
    loaded: Family = module.load(directory, weights)
    return loaded
