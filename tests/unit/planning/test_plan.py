"""The plan of a phase agrees with what the phase then takes."""

from pathlib import Path
from typing import Any

import pandas as pd
import pytest
import torch
from ruamel.yaml import YAML

from galgame_asr.cli import dispatch
from galgame_asr.core.params import load, parse
from galgame_asr.families.common.batching import num_frames
from galgame_asr.families.fun_asr_nano import family as fun_asr_nano
from galgame_asr.planning import fun_asr_nano_2512
from galgame_asr.planning.plan import Data, Planner, Speech
from galgame_asr.training.freezing import prepare
from galgame_asr.training.params import CommonParams, PhaseParams
from tests.conftest import REPOSITORY
from tests.models import build
from tests.phases import LORA, PHASES, values, write_rows
from tests.unit.planning.steps import both

PARAMS = REPOSITORY / "params.yaml"
COMMON = load(CommonParams, "train.common", file=PARAMS)


@pytest.fixture(scope="module")
def directory(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build(tmp_path_factory.mktemp("model") / "base")


@pytest.fixture(scope="module")
def planner(directory: Path) -> Planner:
    return Planner("fun_asr_nano", directory, Speech(2.0, 12), "float32")


def phase(**change: Any) -> PhaseParams:
    return parse(PhaseParams, values(**{"ctc_weight": 0.0} | change), "phase")


def test_parameters_are_counted_exactly(planner: Planner, directory: Path, tmp_path: Path) -> None:
    """Those of a built model; and the published one's, part by part, without its weights."""
    model = fun_asr_nano.load(directory).model
    counts = planner.num_parameters
    assert sum(counts.values()) == sum(p.numel() for p in model.parameters())
    fun_asr_nano_2512.write_config(tmp_path)
    published = Planner("fun_asr_nano", tmp_path, Speech(5.0, 20), "bf16").num_parameters
    assert {name: round(n / 1e6, 3) for name, n in published.items()} == {
        "encoder": 221.137, "adaptor": 12.605, "llm": 596.05, "ctc_decoder": 8.022, "ctc": 31.044
    }  # fmt: skip


@pytest.mark.parametrize("change", [{}, {"lora": LORA}, {"ctc_weight": 0.3}], ids=str)
@pytest.mark.parametrize("name", PHASES)
def test_what_learns_is_what_the_phase_trains(
    planner: Planner, directory: Path, name: str, change: dict[str, Any]
) -> None:
    """Freeze flags, adapters and a CTC head counted as the trainer has them."""
    freeze = PHASES[name] | ({"llm": True} if "lora" in change else {})
    params = phase(freeze=freeze, **change)
    family = fun_asr_nano.load(directory)
    prepare(family, params, COMMON)
    learning = sum(p.numel() for p in family.model.parameters() if p.requires_grad)
    assert planner.learning(params, COMMON) == learning


@pytest.mark.parametrize("recomputing", [False, True])
@pytest.mark.parametrize("name", PHASES)
def test_fake_steps_need_what_real_ones_do(planner: Planner, name: str, recomputing: bool) -> None:
    """The same steps on real tensors, counted in the same way: 5 % apart at most.

    Fake tensors go through other kernels, with temporaries of their own.
    """
    common = type(COMMON)(**vars(COMMON) | {"activation_checkpointing": recomputing})
    predicted, real = both(planner, phase(freeze=PHASES[name]), common, 6)
    assert predicted.weights == real.weights
    assert predicted.peak == pytest.approx(real.peak, rel=0.05)
    assert predicted.gradients == pytest.approx(real.marks[1] - real.weights, rel=0.01)
    assert predicted.optimizer == pytest.approx(real.marks[2] - real.weights, rel=0.01)


def test_recomputed_activations_need_less(planner: Planner, tmp_path: Path) -> None:
    """And so smaller cards do."""
    common = type(COMMON)(**vars(COMMON) | {"activation_checkpointing": True})
    data = Data({}, tmp_path, hours=1.0)
    plain, less = (planner.plan("full", phase(), c, 4000, data) for c in (COMMON, common))
    assert less.memory.activations < 0.6 * plain.memory.activations
    assert less.least_bytes < plain.least_bytes


def test_several_cards_keep_their_gradients_twice(planner: Planner, tmp_path: Path) -> None:
    """As many bytes more as torch's DistributedDataParallel has in its buckets."""
    one, four = (
        planner.plan("full", phase(), COMMON, 4000, Data({}, tmp_path, hours=1.0), cards=cards)
        for cards in (1, 4)
    )
    assert four.memory.peak - one.memory.peak == 4 * one.learning
    assert four.least_bytes - one.least_bytes == 4 * one.learning


def test_steps_and_time_come_from_the_data(
    tmp_path: Path, directory: Path, monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    """The command: what is planned, measured on this machine, and how long it takes."""
    params = YAML(typ="safe").load(PARAMS)
    params["base"] = {"existing": {"directory": {"path": str(directory)}}, "built": {}}
    params["train"]["phases"] = {"phase": values(ctc_weight=0.0)}
    params["decode"]["checkpoints"] = ["base"]
    params["average"], params["export"] = {}, {}
    params["train"]["common"]["batch_frames"] = 350
    YAML().dump(params, tmp_path / "params.yaml")
    (tmp_path / "data/split").mkdir(parents=True)
    write_rows(tmp_path / "data/split")
    monkeypatch.chdir(tmp_path)
    deterministic = torch.are_deterministic_algorithms_enabled()
    dispatch(["plan", "--precision", "float32", "--speed", "0.01", "--utterance-s", "1"])
    torch.use_deterministic_algorithms(deterministic)
    output = capsys.readouterr().out
    assert "0.084 M parameters: encoder 0.034 M, adaptor 0.015 M, llm 0.034 M" in output
    assert "350 frames of speech, on 1 card; at once 350,\n4 utterances of 1.0 s" in output
    table = pd.read_parquet(tmp_path / "data/split/train.parquet")
    hours = 4 * num_frames(table["duration_s"].to_numpy()).sum() / 100 / 3600
    row = ["phase", "4", f"{hours:.1f}", "8", "0", f"{hours / 0.01:.1f}"]
    assert row in [line.split() for line in output.splitlines()]
    assert "Audio: of data/split/train.parquet." in output
