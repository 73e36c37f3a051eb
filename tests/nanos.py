"""Very small Fun-ASR-Nanos that say something else about other audio, of any dimensions."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from ruamel.yaml import YAML

from galgame_asr import families
from galgame_asr.decoding.transcript import Transcript
from galgame_asr.families import Search
from galgame_asr.families.fun_asr_nano import WEIGHTS
from galgame_asr.families.fun_asr_nano_model import Model
from galgame_asr.families.fun_asr_nano_tiny import write_json
from galgame_asr.families.fun_asr_nano_weights import read_config, save_weights
from galgame_asr.params.prompts import Prompt
from tests import models

COUNT, TOKENS = 12, 12
AUDIOS = [models.noise(0.3 + number / 5, number) for number in range(COUNT)]
YAML_ = YAML(typ="safe")


def build(directory: Path, *, seed: int = 0, **changes: Mapping[str, Any]) -> Path:
    """Write a model directory.

    Args:
        directory: where.
        seed: of its weights.
        changes: of sections of config.yaml, and of `llm`, the language model's config.json.
    """
    models.build(directory)
    llm = directory / "Qwen3-tiny" / "config.json"
    write_json(llm, YAML_.load(llm) | dict(changes.pop("llm", {})))
    config = YAML_.load(directory / "config.yaml")
    for section, values in changes.items():
        config[section] = {**config.get(section, {}), **values}
    YAML().dump(config, directory / "config.yaml")
    torch.manual_seed(seed)
    model = Model(**read_config(directory), input_size=560, vocab_size=-1)
    with torch.no_grad():
        for tensor in model.llm.parameters():
            if tensor.ndim == 2:
                tensor.mul_(8)  # otherwise all tokens are as likely
        model.audio_adaptor.linear2.weight *= 8  # what is heard counts
    save_weights(model, directory / WEIGHTS)
    return directory


def say(
    directory: Path, prompt: Prompt = models.JAPANESE, *, count: int = COUNT, **more: int
) -> list[Transcript]:
    """What the model in a directory says about `AUDIOS`, in batches of four."""
    recogniser = families.load(families.detect(directory), directory)
    features = [recogniser.features(audio) for audio in AUDIOS[:count]]
    said = []
    for start in range(0, count, 4):
        batch = features[start : start + 4]
        said += recogniser.transcribe(batch, prompt, Search([TOKENS] * len(batch), **more))
    return said


def equal(found: list[Transcript], expected: list[Transcript]) -> int:
    """Equal texts."""
    return sum(one.text == other.text for one, other in zip(found, expected, strict=True))
