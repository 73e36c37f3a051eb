"""A phase in two processes, which `accelerate launch` starts: its result, and its interruptions."""

import io
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas as pd
import psutil
import pytest
import torch
from ruamel.yaml import YAML

from galgame_asr.core.files import link_or_copy
from galgame_asr.core.paths import RECORDS
from galgame_asr.stages import train as stage
from galgame_asr.training.stopping import STOPPED
from galgame_asr.training.trainer import Trainer
from tests.conftest import REPOSITORY
from tests.models import build
from tests.phases import write_rows

PATIENCE_S = 120
PHASE = {
    "init": "base",
    "freeze": {"encoder": False, "adaptor": False, "llm": True},
    "lora": {"rank": 2, "alpha": 4},
    "lr": 1e-3,
    "epochs": 16,
    "mix": {"vn": 1.0},
    "prompts": [{"language": "日文"}],
    "checkpoints": [50, 100],
}
COMMON = {"batch_frames": 250, "log_steps": 2}
STAGE = [sys.executable, "-m", "galgame_asr.stages.train", "phase"]


def make_root(root: Path, **machine: Any) -> Path:
    """A folder in which stage `train phase` can run, on a machine with such values."""
    root.mkdir()
    params = YAML(typ="safe").load(REPOSITORY / "params.yaml")
    params["train"]["common"] |= COMMON
    params["machine"] |= {"save_minutes": 0} | machine
    params["train"]["phases"] = {"phase": PHASE}
    YAML().dump(params, root / "params.yaml")
    for folder in ("data/raw", "data/mix/phase"):
        (root / folder).mkdir(parents=True)
    write_rows(root / "data/mix/phase")
    (root / "data/mix/phase/vn.tar").rename(root / "data/raw/vn.tar")
    build(root / "models/base")
    return root


def start(root: Path) -> "subprocess.Popen[str]":
    """Start the stage."""
    environment = os.environ | {"PYTHONPATH": str(REPOSITORY / "src"), "DVC_ROOT": str(root)}
    log = (root / "log").open("a")
    return subprocess.Popen(STAGE, cwd=root, env=environment, stdout=log, stderr=log, text=True)


def run(root: Path) -> dict[str, bytes]:
    """Run the stage to its end; its files by name."""
    status = start(root).wait(PATIENCE_S)
    assert status == 0, (root / "log").read_text()
    directory = root / "models/phase"
    return {str(f.relative_to(directory)): f.read_bytes() for f in directory.rglob("*.*t*")}


def wait_for(condition: Callable[[], Any], process: "subprocess.Popen[str]") -> None:
    """Wait while a process runs."""
    deadline = time.monotonic() + PATIENCE_S
    while not condition():
        assert process.poll() is None, "the stage ended too early"
        assert time.monotonic() < deadline
        time.sleep(0.02)


def states(root: Path) -> set[str]:
    """Names of the saved states."""
    return {path.name for path in root.glob(".scratch/manual/*/state-*")}


def workers(root: Path) -> list[psutil.Process]:
    """The processes that train in a folder."""
    found = []
    for process in psutil.process_iter(["cmdline"]):
        words = " ".join(process.info["cmdline"] or [])
        if "galgame_asr.training.worker" in words and str(root) in words:
            found.append(process)
    return found


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    """What an uninterrupted run in two processes writes."""
    return run(make_root(tmp_path_factory.mktemp("two") / "root", processes=2))


@pytest.mark.parametrize("machine", [{}, {"micro_batch_frames": 60}], ids=["whole", "micro"])
def test_two_processes_train_what_one_does(
    whole: dict[str, bytes], tmp_path: Path, machine: dict[str, Any]
) -> None:
    """On the same steps, however one divides them."""
    one = run(root := make_root(tmp_path / "root", **machine))
    assert_close(one, whole, root / "models/base/model.pt")


def assert_close(one: dict[str, bytes], whole: dict[str, bytes], init: Path) -> None:
    """Weights and losses apart by rounding alone."""
    assert one.keys() == whole.keys()
    first, second = (
        torch.load(io.BytesIO(files["p100/model.pt"]), weights_only=True)["state_dict"]
        for files in (one, whole)
    )
    before = torch.load(init, weights_only=True)["state_dict"]
    for name, tensor in first.items():
        torch.testing.assert_close(tensor, second[name], rtol=1e-3, atol=1e-4)
    apart = sum(float((t - second[n]).norm()) for n, t in first.items())
    moved = sum(float((t - before[n]).norm()) for n, t in first.items())
    assert apart < 1e-3 * moved
    one_log, two_log = (
        pd.read_csv(io.BytesIO(files["log.tsv"]), sep="\t") for files in (one, whole)
    )
    pd.testing.assert_frame_equal(one_log, two_log, rtol=1e-3)


def test_interruptions_of_two_processes_leave_no_mark(
    whole: dict[str, bytes], tmp_path: Path
) -> None:
    """SIGTERM saves and exits with 75; kill -9 of the stage takes all with it; same bytes."""
    root = make_root(tmp_path / "root", processes=2)
    process = start(root)
    wait_for(lambda: states(root), process)
    process.send_signal(signal.SIGTERM)
    assert process.wait(PATIENCE_S) == 75, (root / "log").read_text()
    assert "stopped by a signal after step" in (root / "log").read_text()
    assert list(root.glob(f".scratch/*/*/{STOPPED}"))
    assert not workers(root)

    before = states(root)
    process = start(root)
    wait_for(lambda: states(root) - before, process)
    assert len(workers(root)) >= 2
    process.kill()
    process.wait()
    deadline = time.monotonic() + 20
    while workers(root):
        assert time.monotonic() < deadline, "orphans go on"
        time.sleep(0.1)
    assert run(root) == whole


def test_sharding_that_accelerate_ignores_is_an_error(tmp_path: Path) -> None:
    """Without GPUs it falls back to whole models in each process, and says nothing."""
    fsdp = {"fsdp_version": 2, "fsdp_state_dict_type": "FULL_STATE_DICT"}
    accelerate = {"distributed_type": "FSDP", "fsdp_config": fsdp, "use_cpu": True}
    root = make_root(tmp_path / "root", processes=2, accelerate=accelerate)
    assert start(root).wait(PATIENCE_S) == 1
    assert (
        "machine.accelerate asks for FSDP, and accelerate runs MULTI_CPU"
        in (root / "log").read_text()
    )


@pytest.mark.parametrize("during", ["step", "score"])
def test_processes_without_room_start_again_with_smaller_micro_batches(
    tmp_path: Path, during: str
) -> None:
    """No step, score or checkpoint is lost: as of micro-batches that fit from the beginning."""
    root, other = (make_root(tmp_path / name, processes=2) for name in ("root", "plain"))
    for mix in (root / "data/mix/phase", other / "data/mix/phase"):
        # Several utterances for each process to score.
        shutil.copy(mix / "train.parquet", mix / "dev.parquet")
    environment = os.environ | {"PYTHONPATH": f"{REPOSITORY / 'src'}:{REPOSITORY}"}
    environment["NO_ROOM"] = during
    done = subprocess.run(
        [sys.executable, "-m", "tests.small_gpu"], cwd=root, env=environment, timeout=PATIENCE_S,
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout
    assert "starting the processes again" in done.stdout
    assert "resuming at" in done.stdout
    log = pd.read_csv(root / "unfinished/log.tsv", sep="\t")
    assert log["step"].tolist() == list(range(2, 33, 2))
    plain = run(other)
    for name in ("log.tsv", "dev.tsv"):
        found = pd.read_csv(root / "unfinished" / name, sep="\t")
        expected = pd.read_csv(io.BytesIO(plain[name]), sep="\t")
        pd.testing.assert_frame_equal(found, expected, rtol=1e-3)
    assert (root / "unfinished/p100").is_dir()


def test_a_kill_while_checkpoints_move_loses_none(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nothing half stands in models/, and no step is done again."""
    root = make_root(tmp_path / "root")
    monkeypatch.chdir(root)
    moved: list[Path] = []

    def link_or_die(source: Path, target: Path) -> None:
        if len(moved) == len(RECORDS) + 2:  # within the first checkpoint
            raise KeyboardInterrupt
        moved.append(target)
        link_or_copy(source, target)

    with monkeypatch.context() as patch:
        patch.setattr(stage, "link_or_copy", link_or_die)
        with pytest.raises(KeyboardInterrupt):
            stage.main(["phase"])
    assert moved
    assert not (root / "models/phase").exists()
    monkeypatch.delattr(Trainer, "_step")
    stage.main(["phase"])
    models = [path.parent.name for path in root.glob("models/phase/*/model.pt")]
    assert sorted(models) == ["p100", "p50"]


@pytest.mark.parametrize(("first", "then"), [(1, 2), (2, 1)])
def test_a_phase_goes_on_in_another_number_of_processes(
    whole: dict[str, bytes], tmp_path: Path, first: int, then: int
) -> None:
    """With the same steps: what it ends with differs by rounding alone."""
    root = make_root(tmp_path / "root", processes=first)
    process = start(root)
    wait_for(lambda: states(root), process)
    process.send_signal(signal.SIGTERM)
    assert process.wait(PATIENCE_S) == 75, (root / "log").read_text()
    params = YAML(typ="safe").load(root / "params.yaml")
    params["machine"]["processes"] = then
    YAML().dump(params, root / "params.yaml")
    ended = run(root)
    assert "resuming at" in (root / "log").read_text()
    assert_close(ended, whole, root / "models/base/model.pt")
