"""Very small models with random weights, and speech-like noise for them."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch

from galgame_asr.base import tiny_fun_asr_nano as fun_asr_nano_tiny
from galgame_asr.base import tiny_whisper as whisper_tiny
from galgame_asr.base.built import TinyBase, TinyWhisperBase
from galgame_asr.core.params import parse
from galgame_asr.families.common.family import Example, Family
from galgame_asr.families.common.params import Prompt
from galgame_asr.families.common.transcript import Transcript

TEXTS = ["葵、おはよう。", "えへへ、先輩が好き。", "ん…、帰ろうよ。", "すごーい、凛！"]
JAPANESE = Prompt(language="日文")
WHISPER_JAPANESE = Prompt(language="ja")
PRETRAIN = {"freeze": {}, "lr": 1e-3, "epochs": 1, "mix": {"vn": 1.0}, "prompts": [{}]}


def build(directory: Path, *, seed: int = 0) -> Path:
    """Write the model directory of a Fun-ASR-Nano with about 100,000 parameters."""
    params = parse(
        TinyBase,
        {
            "encoder_dim": 16,
            "encoder_layers": 2,
            "llm_dim": 32,
            "llm_layers": 2,
            "vocabulary": 400,
            "texts": ["vn"],
            "pretrain": PRETRAIN,
        },
        "base",
    )
    fun_asr_nano_tiny.build(directory, params, texts=TEXTS, seed=seed)
    return directory


def build_whisper(directory: Path, *, seed: int = 0) -> Path:
    """Write the model directory of a Whisper with about 70,000 parameters."""
    values = {
        "dim": 16,
        "encoder_layers": 1,
        "decoder_layers": 1,
        "vocabulary": 400,
        "texts": ["vn"],
        "pretrain": PRETRAIN,
    }
    params = parse(TinyWhisperBase, values, "base")
    whisper_tiny.build(directory, params, texts=TEXTS, seed=seed)
    return directory


def log_prob(transcripts: Sequence[Transcript]) -> float:
    """Of all the texts together."""
    known = [one.log_prob for one in transcripts if one.log_prob is not None]
    assert len(known) == len(transcripts)
    return sum(known)


def noise(seconds: float, seed: int = 0) -> np.ndarray[tuple[int], np.dtype[np.float32]]:
    """Noise whose loudness changes, so that features differ over time."""
    draw = np.random.default_rng(seed)
    count = round(seconds * 16_000)
    envelope = np.interp(np.arange(count), np.arange(0, count, 800), draw.random(-(-count // 800)))
    return (0.3 * envelope * draw.standard_normal(count)).astype(np.float32)


def examples(family: Family, lengths_s: list[float], prompt: Prompt = JAPANESE) -> list[Example]:
    """Examples of given lengths with texts in turn."""
    return [
        Example(f"u{i}", family.features(noise(s, i)), prompt, TEXTS[i % len(TEXTS)], s)
        for i, s in enumerate(lengths_s)
    ]


def gradients(model: torch.nn.Module) -> dict[str, torch.Tensor]:
    """The gradients by parameter name."""
    return {n: p.grad.clone() for n, p in model.named_parameters() if p.grad is not None}
