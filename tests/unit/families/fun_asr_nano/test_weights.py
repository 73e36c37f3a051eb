"""Checkpoints of the published model and of FunASR's trainer load, and lose nothing."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from galgame_asr.families.fun_asr_nano import family as fun_asr_nano
from galgame_asr.messages.errors import CheckpointError
from galgame_asr.training.freezing import freeze
from tests.models import build


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    return build(tmp_path / "base")


def weights(file: Path) -> dict[str, torch.Tensor]:
    tensors: dict[str, torch.Tensor] = torch.load(file, weights_only=True)["state_dict"]
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
