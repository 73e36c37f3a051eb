"""What only a GPU can show: bf16 autocast, memory as planned, and the same texts as on a CPU."""

import dataclasses
from pathlib import Path
from typing import Literal

import pandas as pd
import pytest
import torch

from galgame_asr.core.params import load, parse
from galgame_asr.core.reader import ShardReader
from galgame_asr.decoding.params import DecodeParams
from galgame_asr.decoding.transcribe import Task, transcribe
from galgame_asr.families.common.compute import Precision
from galgame_asr.families.common.params import ComputeParams, MachineParams
from galgame_asr.families.fun_asr_nano import family as fun_asr_nano
from galgame_asr.planning import fun_asr_nano_2512
from galgame_asr.planning.plan import Planner, Speech
from galgame_asr.training.params import CommonParams, PhaseParams
from galgame_asr.training.trainer import Phase, train
from tests.conftest import REPOSITORY
from tests.models import JAPANESE, build
from tests.phases import PHASES, values, write_rows

pytestmark = pytest.mark.skipif(
    not torch.cuda.is_available(),
    reason="needs a CUDA device: make test on a machine with an NVIDIA GPU",
)
PARAMS = REPOSITORY / "params.yaml"


@pytest.fixture
def rows(tmp_path: Path) -> pd.DataFrame:
    return write_rows(tmp_path)


def make_phase(root: Path, rows: pd.DataFrame, device: str, precision: Precision) -> Phase:
    common = load(CommonParams, "train.common", file=PARAMS)
    params = parse(PhaseParams, values(), "phase")
    directory = root / f"{device}-{precision}"
    directory.mkdir()
    return Phase(
        family=fun_asr_nano.load(root / "base"),
        common=dataclasses.replace(common, batch_frames=350, log_steps=2),
        machine=load(MachineParams, "machine", file=PARAMS),
        params=params,
        train_rows=rows[:8],
        dev_rows=rows[8:],
        reader=ShardReader(root),
        checkpoints=params.checkpoints,
        device=torch.device(device),
        precision=precision,
        directory=directory,
        logs=root / "logs",
    )


def test_a_phase_on_a_gpu_learns_what_one_on_a_cpu_does(tmp_path: Path, rows: pd.DataFrame) -> None:
    """In float32 within 1 % of its losses, under autocast within 5 %."""
    build(tmp_path / "base")
    losses = []
    cases: list[tuple[str, Precision]] = [
        ("cpu", "float32"), ("cuda", "float32"), ("cuda", "bf16"), ("cuda", "fp16"),
    ]  # fmt: skip
    for device, precision in cases:
        phase = make_phase(tmp_path, rows, device, precision)
        train(phase)
        losses.append(pd.read_csv(phase.directory / "log.tsv", sep="\t")["loss"])
        fun_asr_nano.load(phase.directory / "p100")
    pd.testing.assert_series_equal(losses[1], losses[0], rtol=0.01)
    for other in losses[2:]:
        pd.testing.assert_series_equal(other, losses[0], rtol=0.05)


def test_texts_are_those_of_a_cpu(tmp_path: Path, rows: pd.DataFrame) -> None:
    """In float32; and two processes on one GPU give the same."""
    compute = load(ComputeParams, "compute", file=PARAMS)
    params = dataclasses.replace(load(DecodeParams, "decode", file=PARAMS), max_new_tokens=8)
    checkpoint = build(tmp_path / "base")
    texts = []
    cases: list[tuple[Literal["cpu", "cuda"], int]] = [("cpu", 1), ("cuda", 1), ("cuda", 2)]
    for device, processes in cases:
        changed = dataclasses.replace(
            compute, device=device, precision="float32", reproducible=False
        )
        task = Task(
            "fun_asr_nano", checkpoint, tmp_path, JAPANESE, params, changed, 6000, processes
        )
        texts.append([transcript.text for transcript in transcribe(rows, task)])
    assert texts[0] == texts[1] == texts[2]


@pytest.mark.parametrize("name", PHASES)
def test_the_plan_predicts_the_peak_memory(tmp_path: Path, name: str) -> None:
    """Of the published model's size, under bf16 autocast: within 15 %."""
    fun_asr_nano_2512.write_config(tmp_path)
    planner = Planner("fun_asr_nano", tmp_path, Speech(5.1, 20), "bf16")
    common = load(CommonParams, "train.common", file=PARAMS)
    params = parse(PhaseParams, values(freeze=PHASES[name], ctc_weight=0.0), "phase")
    planned = planner.plan(name, params, common, 4000, tmp_path, 0).memory.peak
    measured = planner.measured(params, common, planner.utterances(4000), "cuda")
    assert planned == pytest.approx(measured, rel=0.15)
