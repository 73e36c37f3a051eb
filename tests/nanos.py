"""Small Fun-ASR-Nanos of any dimensions whose random weights say distinct texts."""

import json
from pathlib import Path
from typing import Any

import torch
from ruamel.yaml import YAML

from galgame_asr.families.fun_asr_nano_model import Model
from galgame_asr.families.fun_asr_nano_tiny import LLM_DIRECTORY
from galgame_asr.families.fun_asr_nano_weights import read_config, save_weights
from tests import models

# How much larger matrices are than they are drawn, so that the text depends on the speech.
GAIN = {"audio_encoder": 3.0, "audio_adaptor": 8.0, "llm": 6.0}
END = 2
# How much smaller the logit of the end is, so that not all texts are short.
END_GAIN = 0.8


def build(
    directory: Path, *, llm: dict[str, Any] | None = None, seed: int = 0, **adaptor: Any
) -> Path:
    """Write the model directory of `models.build` with other dimensions.

    Args:
        directory: where.
        llm: what is different in the language model's config.json.
        seed: of the weights.
        adaptor: what is different in audio_adaptor_conf of config.yaml.
    """
    models.build(directory)
    config = YAML(typ="safe").load(directory / "config.yaml")
    config["audio_adaptor_conf"] |= adaptor
    YAML().dump(config, directory / "config.yaml")
    file = directory / LLM_DIRECTORY / "config.json"
    # Tied to its embeddings, a model with random weights repeats the token before.
    changes = {"tie_word_embeddings": False} | (llm or {})
    file.write_text(json.dumps(json.loads(file.read_text()) | changes))
    torch.manual_seed(seed)
    model = Model(**read_config(directory), input_size=560, vocab_size=-1)
    with torch.no_grad():
        for name, tensor in model.named_parameters():
            if tensor.ndim == 2:
                tensor.mul_(GAIN[name.split(".")[0]])
        _say_characters(model, directory)
    save_weights(model, directory / "model.pt")
    return directory


def _say_characters(model: Model, directory: Path) -> None:
    """Leave the end and whole characters alone: parts of characters are no text."""
    tokenizer = json.loads((directory / LLM_DIRECTORY / "tokenizer.json").read_bytes())
    vocabulary = tokenizer["model"]["vocab"]
    # Three bytes.
    said = [END, *(token for text, token in vocabulary.items() if len(text) == 3)]
    factor = torch.zeros(model.llm.config.vocab_size)
    factor[said] = 1.0
    factor[END] = END_GAIN
    model.llm.lm_head.weight.mul_(factor[:, None])
