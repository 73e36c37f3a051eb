"""Whisper for planning: sizes from config.json alone, and steps on fake tensors."""

from collections.abc import Collection
from functools import partial
from pathlib import Path
from typing import Any

import torch
from transformers import WhisperConfig

from galgame_asr.families.whisper.family import PARTS, Whisper
from galgame_asr.families.whisper.front import HOP, SAMPLE_RATE_HZ, WINDOW_S
from galgame_asr.families.whisper.network import CONFIG, IGNORED, Model
from galgame_asr.planning import memory

CONFIG_FILE = CONFIG
# Before the text: start, language, task, no timestamps.
TOKENS_BEFORE = 4


class Planned(Whisper):
    """A `Whisper` without weights, tokenizer and features; made on the present device."""

    def __init__(self, directory: Path) -> None:  # not of Whisper: there is no tokenizer
        config = WhisperConfig.from_pretrained(directory, local_files_only=True)
        self.directory, self.model = directory, Model(config)
        self.num_mels = config.num_mel_bins

    def batch(self, utterances: int, _duration_s: float, text_tokens: int) -> dict[str, Any]:
        """Arguments of the model for utterances that are all alike; random, and zeros.

        Each is as long as what Whisper hears.
        """
        frames = round(WINDOW_S * SAMPLE_RATE_HZ / HOP)
        length = TOKENS_BEFORE + text_tokens
        labels = torch.full((utterances, length), IGNORED)
        labels[:, -text_tokens - 1 :] = 1
        return {
            "input_features": torch.randn(utterances, self.num_mels, frames),
            "decoder_input_ids": torch.zeros(utterances, length, dtype=torch.long),
            "labels": labels,
        }

    def num_parameters(self) -> dict[str, int]:
        """Parameters by component."""
        return {
            part: sum(p.numel() for n, p in self.model.named_parameters() if n.startswith(prefix))
            for part, prefix in PARTS.items()
        }


def checkpoint_bytes(_directory: Path, parameters: int, _learned: Collection[str]) -> int:
    """Of model.safetensors, which is always saved in float32."""
    return 4 * parameters


fakeable = partial(memory.fakeable, Model)
