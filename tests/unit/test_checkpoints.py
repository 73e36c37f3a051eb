"""Checkpoints of the published model and of FunASR's trainer load, and lose nothing."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from funasr.models.fun_asr_nano.ctc import CTC
from funasr.register import tables

from galgame_asr.errors import CheckpointError
from galgame_asr.families import fun_asr_nano
from galgame_asr.families.fun_asr_nano_model import Model
from galgame_asr.training.freezing import freeze
from tests.models import build

# Dimensions of FunAudioLLM/Fun-ASR-Nano-2512, from its config.yaml and that of Qwen3-0.6B.
ENCODER = {
    "output_size": 512, "attention_heads": 4, "linear_units": 2048, "num_blocks": 50,
    "tp_blocks": 20, "kernel_size": 11, "sanm_shfit": 0, "dropout_rate": 0.1,
    "attention_dropout_rate": 0.1, "input_layer": "pe", "pos_enc_class":
    "SinusoidalPositionEncoder", "normalize_before": True, "selfattention_layer_type": "sanm",
}  # fmt: skip
ADAPTOR = {
    "downsample_rate": 1, "use_low_frame_rate": True, "ffn_dim": 2048, "llm_dim": 1024,
    "encoder_dim": 512, "n_layer": 2,
}  # fmt: skip
QWEN3 = {
    "model_type": "qwen3", "vocab_size": 151_936, "hidden_size": 1024, "intermediate_size": 3072,
    "num_hidden_layers": 28, "num_attention_heads": 16, "num_key_value_heads": 8, "head_dim": 128,
    "tie_word_embeddings": True,
}  # fmt: skip


def count(module: torch.nn.Module) -> float:
    """Parameters in millions, as the published figures are rounded."""
    return round(sum(p.numel() for p in module.parameters()) / 1e6, 3)


def test_the_published_model_has_its_published_size(tmp_path: Path) -> None:
    """868.858 M parameters, part by part; counted without memory for them."""
    (tmp_path / "config.json").write_text(json.dumps(QWEN3))
    with torch.device("meta"):
        model = Model(
            audio_encoder="SenseVoiceEncoderSmall",
            audio_encoder_conf=dict(ENCODER),
            audio_adaptor="Transformer",
            audio_adaptor_conf=dict(ADAPTOR),
            llm="Qwen3-0.6b",
            llm_conf={"hub": "hf", "init_param_path": str(tmp_path)},
            input_size=560,
            vocab_size=-1,
        )
        ctc_decoder = tables.adaptor_classes["Transformer"](
            downsample_rate=1, encoder_dim=512, llm_dim=512, ffn_dim=2048, n_layer=5
        )
        ctc = CTC(odim=60_515, encoder_output_size=512)
    parts = [model.audio_encoder, model.audio_adaptor, model.llm, ctc_decoder, ctc]
    assert [count(part) for part in parts] == [221.137, 12.605, 596.05, 8.022, 31.044]
    assert round(sum(p.numel() for part in parts for p in part.parameters()) / 1e6, 3) == 868.858
    learning = freeze(model, fun_asr_nano.PARTS, {"encoder": True, "adaptor": False, "llm": True})
    assert learning == {"encoder": 0, "adaptor": 12_604_928, "llm": 0}


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    return build(tmp_path / "base")


def weights(file: Path) -> dict[str, torch.Tensor]:
    tensors: dict[str, torch.Tensor] = torch.load(file)["state_dict"]
    return tensors


def assert_equal(first: dict[str, torch.Tensor], second: dict[str, torch.Tensor]) -> None:
    assert first.keys() == second.keys()
    for name, tensor in first.items():
        assert tensor.dtype == second[name].dtype, name
        assert torch.equal(tensor, second[name]), name


@pytest.mark.parametrize(
    "wrap",
    [
        lambda w: w,
        lambda w: {"state_dict": w, "epoch": 3, "optimizer": {"state": {}}},
        lambda w: {"model_state_dict": w},
        lambda w: {"state_dict": {f"module.{name}": tensor for name, tensor in w.items()}},
        lambda w: {"module": w, "global_steps": 7},
    ],
    ids=["plain", "funasr", "older", "data parallel", "deepspeed"],
)
@pytest.mark.parametrize("zipped", [True, False])
def test_every_kind_of_funasr_checkpoint_loads(
    directory: Path, tmp_path: Path, wrap: Callable[[Any], Any], zipped: bool
) -> None:
    """However its trainer wrapped the tensors, and in torch's old file format too."""
    original = weights(directory / "model.pt")
    other = {name: tensor + 1 for name, tensor in original.items()}
    file = tmp_path / "model.pt.best"
    torch.save(wrap(other), file, _use_new_zipfile_serialization=zipped)
    family = fun_asr_nano.load(directory, file)
    assert_equal(dict(family.model.state_dict()), other)


def test_what_is_no_checkpoint_is_named(directory: Path, tmp_path: Path) -> None:
    """A list, or a map of something else."""
    for saved, message in (([1], "holds a list"), ({"lr": 0.1}, "holds what is no tensor: lr")):
        torch.save(saved, tmp_path / "a.pt")
        with pytest.raises(CheckpointError, match=message):
            fun_asr_nano.load(directory, tmp_path / "a.pt")


def test_the_published_types_and_the_timestamp_branch_survive(
    directory: Path, tmp_path: Path
) -> None:
    """What did not learn is saved bit for bit; what learns is float32, from the start."""
    published = {
        name: tensor.bfloat16() if name.startswith("llm.") else tensor
        for name, tensor in weights(directory / "model.pt").items()
    } | {"ctc_decoder.linear1.weight": torch.randn(3, 4), "ctc.ctc_lo.bias": torch.randn(5)}
    torch.save({"state_dict": published}, directory / "model.pt")
    family = fun_asr_nano.load(directory)
    assert {p.dtype for p in family.model.parameters()} == {torch.float32}
    freeze(family.model, family.parts, {"encoder": True, "adaptor": False, "llm": True})
    family.save(tmp_path / "frozen")
    assert_equal(weights(tmp_path / "frozen/model.pt"), published)
    freeze(family.model, family.parts, {"encoder": True, "adaptor": False, "llm": False})
    family.save(tmp_path / "learning")
    learned = weights(tmp_path / "learning/model.pt")
    assert learned["llm.model.norm.weight"].dtype == torch.float32
    assert torch.equal(learned["ctc.ctc_lo.bias"], published["ctc.ctc_lo.bias"])


def test_a_configured_branch_without_tensors_is_no_obstacle(directory: Path) -> None:
    """As in the published model.pt, whose config.yaml names a CTC decoder."""
    config = (directory / "config.yaml").read_text()
    (directory / "config.yaml").write_text(
        config + "ctc_decoder: Transformer\nctc_decoder_conf: {n_layer: 5}\nctc_weight: 0.3\n"
    )
    assert fun_asr_nano.load(directory).model.ctc_decoder is None
