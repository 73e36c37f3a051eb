"""The plan of a phase agrees with what the phase then takes."""

import shutil
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
import torch
from ruamel.yaml import YAML

from galgame_asr.base import fun_asr_nano_2512
from galgame_asr.cli import dispatch
from galgame_asr.core.params import load, parse
from galgame_asr.families.common.batching import num_frames
from galgame_asr.families.fun_asr_nano import family as fun_asr_nano
from galgame_asr.planning.plan import Data, Planner, Speech
from galgame_asr.training.freezing import prepare
from galgame_asr.training.params import CommonParams, PhaseParams
from tests import nanos
from tests.conftest import REPOSITORY
from tests.models import build
from tests.phases import LORA, PHASES, values, write_rows
from tests.unit.planning.steps import both

PARAMS = REPOSITORY / "params.yaml"
COMMON = load(CommonParams, "train.common", file=PARAMS)


@pytest.fixture(scope="module")
def directory(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return nanos.add_ctc(build(tmp_path_factory.mktemp("model") / "base"), layers=1)


@pytest.fixture(scope="module")
def planner(directory: Path) -> Planner:
    return Planner("fun_asr_nano", directory, Speech(2.0, 12), "float32")


def phase(**change: Any) -> PhaseParams:
    return parse(PhaseParams, values(**{"ctc_weight": 0.0} | change), "phase")


def test_parameters_are_counted_exactly(planner: Planner, directory: Path, tmp_path: Path) -> None:
    """Those of a model's file; and the published one's, part by part, without its weights.

    Where a file has no CTC branch, it is not counted, whatever config.yaml describes.
    """
    counts = planner.num_parameters
    saved = fun_asr_nano.load(directory).saved
    tied = sum(t.numel() for n, t in saved.items() if n == "llm.lm_head.weight")
    assert sum(counts.values()) == sum(t.numel() for t in saved.values()) - tied
    fun_asr_nano_2512.write_config(tmp_path)
    published = Planner("fun_asr_nano", tmp_path, Speech(5.0, 20), "bf16").num_parameters
    assert {name: round(n / 1e6, 3) for name, n in published.items()} == {
        "encoder": 221.137, "adaptor": 12.605, "llm": 596.05, "ctc_decoder": 8.022, "ctc": 31.044
    }  # fmt: skip
    fun_asr_nano_2512.write_config(tmp_path, source="huggingface")
    parts = Planner("fun_asr_nano", tmp_path, Speech(5.0, 20), "bf16").num_parameters
    assert list(parts) == ["encoder", "adaptor", "llm"]
    plain = build(tmp_path / "plain")
    shutil.copytree(directory, tmp_path / "other")
    shutil.copyfile(plain / "model.pt", tmp_path / "other/model.pt")
    own = Planner("fun_asr_nano", tmp_path / "other", Speech(5.0, 20), "bf16").num_parameters
    assert own == {name: counts[name] for name in ("encoder", "adaptor", "llm")}


def test_a_checkpoint_grows_where_the_language_model_has_learned(tmp_path: Path) -> None:
    """From bf16 to float32: a rehearsal at the published size had 3.33 GB (EXPERIMENTS.md)."""
    fun_asr_nano_2512.write_config(tmp_path, source="huggingface")
    published = Planner("fun_asr_nano", tmp_path, Speech(5.0, 20), "bf16")
    base = fun_asr_nano_2512.FILE_BYTES["huggingface"]
    assert published.checkpoint_bytes(()) == published.checkpoint_bytes({"encoder"}) == base
    assert published.checkpoint_bytes({"adaptor", "llm"}) == pytest.approx(3.33e9, rel=0.01)


@pytest.mark.parametrize(
    ("source", "total", "said"),
    [
        (
            "huggingface",
            "829.792 M parameters: encoder 221.137 M, adaptor 12.605 M, llm 596.050 M\n"
            "model.pt on the Hugging Face hub: 1261 tensors, none of the CTC branch;",
            "all 1347",
        ),
        ("modelscope", "868.858 M parameters: ", "ModelScope: 1347 tensors, the CTC branch among"),
    ],
)
def test_the_plan_says_which_file_has_the_branch(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str],
    source: str, total: str, said: str,
) -> None:  # fmt: skip
    """Two hubs have files of one name that are not the same."""
    params = YAML(typ="safe").load(PARAMS)
    hub = {"source": source, "repo": "FunAudioLLM/Fun-ASR-Nano-2512", "revision": "a" * 40}
    params["base"] = {"existing": {"hub": hub}, "built": {}}
    params["train"]["phases"] = {"phase": values(ctc_weight=0.0, freeze=PHASES["adaptor"])}
    params["decode"]["checkpoints"] = ["base"]
    params["average"], params["export"] = {}, {}
    YAML().dump(params, tmp_path / "params.yaml")
    monkeypatch.chdir(tmp_path)
    deterministic = torch.are_deterministic_algorithms_enabled()
    dispatch(["plan"])
    torch.use_deterministic_algorithms(deterministic)
    output = capsys.readouterr().out
    assert output.startswith(total)
    assert said in output.splitlines()[1]


@pytest.mark.parametrize(
    "change", [{}, {"lora": LORA}, {"ctc_weight": 0.3}, {"ctc_weight": 0.3, "ctc": "new"}], ids=str
)
@pytest.mark.parametrize("name", PHASES)
def test_what_learns_is_what_the_phase_trains(
    planner: Planner, directory: Path, name: str, change: dict[str, Any]
) -> None:
    """Freeze flags, adapters and a CTC branch counted as the trainer has them."""
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
    assert predicted.optimizer == pytest.approx(real.marks[2] - real.weights - real.batch, rel=0.01)


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
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """The command: what is planned, measured on this machine, and how long it takes."""
    params = YAML(typ="safe").load(PARAMS)
    plain = build(tmp_path / "plain")
    params["base"] = {"existing": {"directory": {"path": str(plain)}}, "built": {}}
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
    assert row in [line.split()[:6] for line in output.splitlines()]
    assert "Audio: of data/split/train.parquet." in output
