"""kill -9 in the middle of a phase, under DVC, and what the next run makes of it."""

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from galgame_asr.core.files import locked
from galgame_asr.messages.errors import DataError
from galgame_asr.training.stopping import STOPPED
from tests.conftest import REPOSITORY
from tests.pipeline.conftest import Workspace

PATIENCE_S = 120
SCONTROL = """#!/bin/sh
echo "$@" >> "$0.asked"
"""


def kill_in_mid_phase(
    workspace: Workspace,
    stage: str,
    command: list[str],
    how: signal.Signals,
    kill: Callable[[int, int], None] = os.killpg,
    *,
    patience_s: float = PATIENCE_S,
) -> int:
    """Start a command and end it once a state has been saved; its exit status.

    By default all its processes get the signal.
    """
    # Without SHELL, DVC takes /bin/sh, which may stay between it and the stage.
    environment = {name: value for name, value in os.environ.items() if name != "SHELL"} | {
        "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
        "PYTHONPATH": "src",
    }
    with (workspace.root / ".scratch.log").open("w") as log:
        process = subprocess.Popen(
            command,
            cwd=workspace.root,
            env=environment,
            stdout=log,
            stderr=log,
            start_new_session=True,
        )
        deadline = time.monotonic() + patience_s
        states = workspace.root / ".scratch" / stage
        before = set(states.glob("*/state-*"))
        while not set(states.glob("*/state-*")) - before:
            assert process.poll() is None, "the stage ended before it could be killed"
            assert time.monotonic() < deadline, "no state was saved"
            time.sleep(0.05)
        kill(process.pid, how)
        return process.wait()


def is_locked(directory: Path) -> bool:
    """Whether a process works in a folder of unfinished work."""
    try:
        with locked(directory):
            return False
    except DataError:
        return True


def test_a_killed_phase_resumes_and_ends_in_the_same_bytes(workspace: Workspace) -> None:
    """The checkpoint of an interrupted run is bit-identical to that of a whole one.

    The run before had other params; what it left is not taken for this run's. The next run can
    start at once.
    """
    workspace.edit(lambda values: values["train"]["phases"]["full"].update(epochs=24))
    workspace.run("dvc", "repro", "train@full")
    whole = workspace.output_hash("train@full")
    workspace.run("git", "checkout", "--quiet", "dvc.lock")
    workspace.run("dvc", "checkout", "--force", "--quiet", "models/full")

    # Without the run cache, which would bring the finished result back.
    shutil.rmtree(workspace.root / ".dvc/cache/runs")
    # What suits the machine has no influence: the work of other values is taken up. Readers are
    # in no group that is killed, and hold the lock while they live.
    workspace.edit(lambda values: values["machine"].update(workers=2))
    repro = ["dvc", "repro", "train@full"]
    # DVC alone: its trainer saves a state and ends too.
    kill_in_mid_phase(workspace, "train@full", repro, signal.SIGKILL, os.kill)
    locks = workspace.root / ".scratch/train@full"
    deadline = time.monotonic() + PATIENCE_S
    while list(locks.glob("*.lock")):
        assert time.monotonic() < deadline, "an orphan goes on"
        time.sleep(0.05)
    assert list(locks.glob("*/state-*")), "an orphan trained to its end"
    kill_in_mid_phase(workspace, "train@full", repro, signal.SIGKILL)
    (work,) = locks.glob("*/depends.json")
    deadline = time.monotonic() + 2.5  # torch's readers look after their parent every 5 s
    while is_locked(work.parent):
        assert time.monotonic() < deadline, "the readers hold the lock"
        time.sleep(0.05)
    assert not (workspace.root / "models/full").exists(), "a killed stage left a half output"

    machine = {"workers": 1, "feature_cache_mb": 0, "save_minutes": 0, "tensorboard": True}
    workspace.edit(lambda values: values["machine"].update(machine))
    output = workspace.run(*repro).stdout
    assert "resuming at" in output
    assert workspace.output_hash("train@full") == whole
    assert not list((workspace.root / ".scratch").glob("train@full/*"))


@pytest.mark.parametrize(("number", "workers"), [(signal.SIGTERM, 2), (signal.SIGINT, 0)])
def test_a_signal_to_the_group_saves_a_state_and_has_an_exit_status_of_its_own(
    workspace: Workspace, number: signal.Signals, workers: int
) -> None:
    """As rented machines, Slurm and Ctrl+C end a job, the processes that read ahead with it.

    The next run ends in the same bytes.
    """
    workspace.edit(lambda values: values["train"]["phases"]["full"].update(epochs=24))
    workspace.edit(lambda values: values["machine"].update(workers=workers))
    full = workspace.root / "models/full"
    workspace.stage("train", "full")
    whole = {path.relative_to(full): path.read_bytes() for path in full.rglob("*.*")}
    assert whole

    command = [sys.executable, "-m", "galgame_asr.stages.train", "full"]
    assert kill_in_mid_phase(workspace, "manual", command, number) == 75
    log = (workspace.root / ".scratch.log").read_text()
    assert "InterruptionError: stopped by a signal after step" in log
    assert "Traceback" not in log
    assert list(workspace.root.glob(f".scratch/manual/*/{STOPPED}"))
    assert "resuming at" in workspace.stage("train", "full")
    again = {path.relative_to(full): path.read_bytes() for path in full.rglob("*.*")}
    assert again == whole


@pytest.fixture
def requeued(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, workspace: Workspace) -> Path:
    """What was asked of `scontrol`, by job 17, which was submitted in the workspace."""
    scontrol = tmp_path / "scontrol"
    scontrol.write_text(SCONTROL)
    scontrol.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    monkeypatch.setenv("SLURM_JOB_ID", "17")
    monkeypatch.setenv("SLURM_SUBMIT_DIR", str(workspace.root))
    return tmp_path / "scontrol.asked"


def test_a_slurm_job_saves_before_its_time_is_up_and_goes_on_in_the_next(
    workspace: Workspace, requeued: Path, tmp_path: Path
) -> None:
    """Slurm signals the batch shell alone, twice if it likes; only what was stopped is requeued.

    It ends in the bytes of a whole run.
    """
    workspace.edit(lambda values: values["train"]["phases"]["full"].update(epochs=24))
    job = ["bash", "deploy/slurm.sbatch", "train@full"]
    workspace.run(*job)
    assert not requeued.exists(), "nothing is left to do"
    whole = workspace.output_hash("train@full")
    workspace.run("git", "checkout", "--quiet", "dvc.lock")
    shutil.rmtree(workspace.root / ".dvc/cache/runs")  # which would bring the result back

    def twice(shell: int, number: int) -> None:
        os.kill(shell, number)
        time.sleep(0.2)
        os.kill(shell, number)

    status = kill_in_mid_phase(workspace, "train@full", job, signal.SIGTERM, twice)
    assert status == 255, "that of dvc repro, whatever its stage's was"
    assert requeued.read_text() == "requeue 17\n"
    (stopped,) = workspace.root.glob(f".scratch/train@full/*/{STOPPED}")
    requeued.unlink()

    # An error does not, though the phase was stopped before.
    workspace.edit(lambda values: values["train"]["common"].update(log_steps=0))
    assert workspace.run(*job, check=False).returncode == 255
    assert not stopped.exists()
    assert not requeued.exists()

    # From another disk, as where a job finds the scratch folder of the one before.
    workspace.edit(lambda values: values["train"]["common"].update(log_steps=2))
    shutil.move(workspace.root / ".scratch", tmp_path)
    again = workspace.run(*job, GALGAME_ASR_SCRATCH=str(tmp_path)).stdout
    assert "resuming at" in again
    assert not requeued.exists()
    assert workspace.output_hash("train@full") == whole


def test_a_container_that_is_stopped_saves_first(workspace: Workspace) -> None:
    """As `docker stop` does, by a signal to its first process; the host's .venv is not used."""
    if shutil.which("tini") is None:
        pytest.skip("needs tini: apt-get install tini")
    lines = (REPOSITORY / "deploy/Dockerfile").read_text().splitlines()
    image = dict(line.split(" ", 1) for line in lines if line.startswith(("ENTRY", "CMD", "STOP")))
    command = [
        word.replace("/opt/venv/bin", str(Path(sys.executable).parent))
        for key in ("ENTRYPOINT", "CMD")
        for word in json.loads(image[key])
    ]
    host = workspace.root / ".venv/bin/python"
    host.parent.mkdir(parents=True)
    host.symlink_to("/bin/false")
    shutil.rmtree(workspace.root / ".dvc/cache/runs")  # of another test
    workspace.edit(lambda values: values["train"]["phases"]["full"].update(epochs=24))
    try:
        kill_in_mid_phase(
            workspace, "train@full", command, signal.Signals[image["STOPSIGNAL"]], os.kill
        )
    finally:
        shutil.rmtree(workspace.root / ".venv")
    assert list(workspace.root.glob(f".scratch/train@full/*/{STOPPED}"))
