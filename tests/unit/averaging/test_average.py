"""An averaged model is the mean of its checkpoints, and as whole as they are."""

from pathlib import Path

import pytest
import torch

from galgame_asr.averaging.average import average
from galgame_asr.averaging.params import AverageParams
from galgame_asr.core.params import parse
from galgame_asr.families.common import defaults
from galgame_asr.families.common.defaults import Defaults
from galgame_asr.families.common.params import Prompt
from galgame_asr.families.fun_asr_nano import family as fun_asr_nano
from galgame_asr.families.whisper import family as whisper
from galgame_asr.families.whisper.network import SINUSOIDS
from galgame_asr.messages.errors import CheckpointError, ConfigError
from tests.models import build, build_whisper

OTHERWISE = Defaults(prompts=(Prompt(),))


def weights(directory: Path) -> dict[str, torch.Tensor]:
    tensors: dict[str, torch.Tensor] = torch.load(directory / "model.pt", weights_only=True)[
        "state_dict"
    ]
    return tensors


def test_every_tensor_is_the_mean(tmp_path: Path) -> None:
    """Of three; the mean of equal ones is that one, bit for bit; it loads, and is used alike."""
    models = [build(tmp_path / str(seed), seed=seed) for seed in range(3)]
    for number, model in enumerate(models):
        defaults.write(model, Defaults(prompts=(Prompt(hotwords=(f"{number}",)),)))
    average("fun_asr_nano", models, tmp_path / "mean")
    assert defaults.read(tmp_path / "mean", OTHERWISE) == defaults.read(models[-1], OTHERWISE)
    mean = weights(tmp_path / "mean")
    for name, tensor in mean.items():
        expected = torch.stack([weights(model)[name] for model in models]).mean(0)
        torch.testing.assert_close(tensor, expected, rtol=1e-5, atol=1e-8)
    fun_asr_nano.load(tmp_path / "mean")
    average("fun_asr_nano", [models[0]] * 3, tmp_path / "same")
    for name, tensor in weights(tmp_path / "same").items():
        assert torch.equal(tensor, weights(models[0])[name])


def test_whispers_are_averaged_too(tmp_path: Path) -> None:
    """Through the same code, sinusoids unchanged."""
    models = [build_whisper(tmp_path / str(seed), seed=seed) for seed in range(2)]
    average("whisper", models, tmp_path / "mean")
    states = [whisper.load(path).model.state_dict() for path in (*models, tmp_path / "mean")]
    for name, tensor in states[2].items():
        expected = (states[0][name] + states[1][name]) / 2
        torch.testing.assert_close(tensor, expected, rtol=1e-5, atol=1e-8)
    assert torch.equal(states[2][SINUSOIDS], states[0][SINUSOIDS])


def test_what_cannot_be_averaged_is_named(tmp_path: Path) -> None:
    """A checkpoint that is not there, and one that would count twice."""
    with pytest.raises(CheckpointError, match=r"gone.* is no FunASR model directory"):
        average("fun_asr_nano", [build(tmp_path / "a"), tmp_path / "gone"], tmp_path / "mean")
    with pytest.raises(ConfigError, match="a checkpoint stands there twice"):
        parse(AverageParams, {"phase": "full", "checkpoints": [50, 50]}, "average.a")
