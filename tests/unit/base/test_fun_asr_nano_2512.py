"""The published model's architecture, counted without memory for its parameters."""

from pathlib import Path

import torch

from galgame_asr.base import fun_asr_nano_2512
from galgame_asr.base.fun_asr_nano_2512 import NUM_TENSORS
from galgame_asr.families.fun_asr_nano import family as fun_asr_nano
from galgame_asr.families.fun_asr_nano.network import Model
from galgame_asr.families.fun_asr_nano.weights import read_config
from galgame_asr.training.freezing import freeze


def count(module: torch.nn.Module) -> float:
    """Parameters in millions, as the published figures are rounded."""
    return round(sum(p.numel() for p in module.parameters()) / 1e6, 3)


def test_the_published_model_has_its_published_size(tmp_path: Path) -> None:
    """868.858 M parameters, part by part, as funasr's class builds them from the files.

    ModelScope's file has all of their tensors, that of the Hugging Face hub those of three parts.
    """
    fun_asr_nano_2512.write_config(tmp_path)
    config = read_config(tmp_path)
    # Its vocabulary is no part of the architecture.
    config["ctc_tokenizer_conf"] = None
    with torch.device("meta"):
        model = Model(**config, input_size=560, vocab_size=-1)
    parts = [model.audio_encoder, model.audio_adaptor, model.llm, model.ctc_decoder, model.ctc]
    assert [count(part) for part in parts] == [221.137, 12.605, 596.05, 8.022, 31.044]
    assert count(model) == 868.858
    tensors = [len(part.state_dict()) for part in parts]
    assert tensors == [914, 36, 311, 84, 2]
    assert {"huggingface": sum(tensors[:3]), "modelscope": sum(tensors)} == NUM_TENSORS
    assert round(sum(count(part) for part in parts[:3]), 2) == 829.79
    assert model.use_low_frame_rate
    learning = freeze(model, fun_asr_nano.PARTS, {"encoder": True, "adaptor": False, "llm": True})
    assert learning == {"encoder": 0, "adaptor": 12_604_928, "llm": 0}
