"""What only a GPU can show: stages, bf16 autocast, memory as planned, and the texts of a CPU.

`pytest tests/gpu --device cpu` tries the tests' own code where there is none.
"""

import dataclasses
import json
from pathlib import Path
from typing import Literal

import numpy as np
import pandas as pd
import pytest
import torch
from accelerate.state import AcceleratorState
from benchmarks import small

from galgame_asr.base import fun_asr_nano_2512
from galgame_asr.core import utterances
from galgame_asr.core.params import load, parse
from galgame_asr.core.paths import COMPUTE, LOG, MACHINE, MODELS, SPLIT, TEST_SETS
from galgame_asr.core.reader import ShardReader
from galgame_asr.decoding import transcripts
from galgame_asr.decoding.params import DecodeParams
from galgame_asr.decoding.transcribe import Task, transcribe
from galgame_asr.families.common.compute import Precision
from galgame_asr.families.common.params import ComputeParams, MachineParams
from galgame_asr.families.fun_asr_nano import family as fun_asr_nano
from galgame_asr.planning.plan import Data, Planner, Speech
from galgame_asr.training.params import CommonParams, PhaseParams
from galgame_asr.training.trainer import Phase, train
from tests.conftest import REPOSITORY
from tests.gpu.conftest import NO_DEVICE
from tests.models import JAPANESE, build
from tests.phases import PHASES, values, write_rows

PARAMS = REPOSITORY / "params.yaml"


@pytest.fixture
def rows(tmp_path: Path) -> pd.DataFrame:
    return write_rows(tmp_path)


def make_phase(
    root: Path, rows: pd.DataFrame, device: str, precision: Precision, name: str
) -> Phase:
    AcceleratorState._reset_state(reset_partial_state=True)  # a process keeps its first device
    common = load(CommonParams, "train.common", file=PARAMS)
    params = parse(PhaseParams, values(), "phase")
    directory = root / name
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


def test_stages_run_on_the_device(tmp_path: Path, device: str) -> None:
    """Through `set_up`: the default's base with its CTC loss, a phase and a decode.

    Their losses are finite, every test utterance has a text, and the records name the device.
    """
    small.make(tmp_path, device)
    small.stage(tmp_path, "mix", "adaptor")
    small.stage(tmp_path, "train", "adaptor")
    output = tmp_path / "adaptor.jsonl"
    small.stage(tmp_path, "decode", "adaptor/p100", "japanese", str(output))
    losses = pd.read_csv(tmp_path / MODELS / "adaptor" / LOG, sep="\t")["loss"]
    assert len(losses) >= 2
    assert np.isfinite(losses).all()
    used = json.loads((tmp_path / MODELS / "adaptor" / COMPUTE).read_text())
    machine = json.loads((tmp_path / MACHINE).read_text())
    if device == "cuda":
        assert used[-1]["device"] == torch.cuda.get_device_name()
        assert machine["own_bits"] == "models run on a GPU"
    else:
        assert used[-1]["device"] == "cpu"
    decoded = transcripts.read(output)
    for name in TEST_SETS:
        rows = utterances.read(tmp_path / SPLIT / f"{name}.parquet")
        assert decoded[name].keys() == set(transcripts.keys(rows))


def test_a_phase_on_a_gpu_learns_what_one_on_a_cpu_does(
    tmp_path: Path, rows: pd.DataFrame, device: str
) -> None:
    """In float32 within 1 % of its losses, under autocast within 5 %."""
    build(tmp_path / "base")
    losses: list[pd.Series[float]] = []
    precisions: tuple[Precision, ...] = ("float32", "bf16", "fp16")
    for place, precision in (("cpu", "float32"), *((device, one) for one in precisions)):
        phase = make_phase(tmp_path, rows, place, precision, f"{len(losses)}")
        train(phase)
        losses.append(pd.read_csv(phase.directory / "log.tsv", sep="\t")["loss"])
        fun_asr_nano.load(phase.directory / "p100")
    pd.testing.assert_series_equal(losses[1], losses[0], rtol=0.01)
    for other in losses[2:]:
        pd.testing.assert_series_equal(other, losses[0], rtol=0.05)


def test_texts_are_those_of_a_cpu(
    tmp_path: Path, rows: pd.DataFrame, device: Literal["cuda", "cpu"]
) -> None:
    """In float32; and two processes on one GPU give the same."""
    compute = load(ComputeParams, "compute", file=PARAMS)
    params = dataclasses.replace(load(DecodeParams, "decode", file=PARAMS), max_new_tokens=8)
    checkpoint = build(tmp_path / "base")
    texts = []
    cases: list[tuple[Literal["cuda", "cpu"], int]] = [("cpu", 1), (device, 1), (device, 2)]
    for place, processes in cases:
        changed = dataclasses.replace(
            compute, device=place, precision="float32", reproducible=False
        )
        task = Task(
            "fun_asr_nano", checkpoint, tmp_path, JAPANESE, params, changed, 6000, processes
        )
        texts.append([transcript.text for transcript in transcribe(rows, task)])
    assert texts[0] == texts[1] == texts[2]


@pytest.mark.skipif(not torch.cuda.is_available(), reason=NO_DEVICE)
@pytest.mark.parametrize("name", PHASES)
def test_the_plan_predicts_the_peak_memory(tmp_path: Path, name: str) -> None:
    """Of the published model's size, under bf16 autocast: within 15 %."""
    fun_asr_nano_2512.write_config(tmp_path)
    planner = Planner("fun_asr_nano", tmp_path, Speech(5.1, 20), "bf16")
    common = load(CommonParams, "train.common", file=PARAMS)
    params = parse(PhaseParams, values(freeze=PHASES[name], ctc_weight=0.0), "phase")
    planned = planner.plan(name, params, common, 4000, Data({}, tmp_path, hours=1.0)).memory.peak
    measured = planner.measured(params, common, planner.utterances(4000), "cuda").peak_bytes
    assert planned == pytest.approx(measured, rel=0.15)
