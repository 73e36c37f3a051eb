"""kill -9 in the middle of a phase, under DVC, and what the next run makes of it."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.pipeline.conftest import Workspace

PATIENCE_S = 120


def kill_in_mid_phase(
    workspace: Workspace,
    stage: str,
    command: list[str],
    how: signal.Signals,
    kill: Callable[[int, int], None] = os.killpg,
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
        deadline = time.monotonic() + PATIENCE_S
        states = workspace.root / ".scratch" / stage
        before = set(states.glob("*/state-*"))
        while not set(states.glob("*/state-*")) - before:
            assert process.poll() is None, "the stage ended before it could be killed"
            assert time.monotonic() < deadline, "no state was saved"
            time.sleep(0.05)
        kill(process.pid, how)
        return process.wait()


def test_a_killed_phase_resumes_and_ends_in_the_same_bytes(workspace: Workspace) -> None:
    """The checkpoint of an interrupted run is bit-identical to that of a whole one.

    The run before had other params; what it left is not taken for this run's.
    """
    workspace.edit(lambda values: values["train"]["phases"]["full"].update(epochs=24))
    workspace.run("dvc", "repro", "train@full")
    whole = workspace.output_hash("train@full")
    workspace.run("git", "checkout", "--quiet", "dvc.lock")
    workspace.run("dvc", "checkout", "--force", "--quiet", "models/full")

    # Without the run cache, which would bring the finished result back.
    subprocess.run(["rm", "-rf", ".dvc/cache/runs"], cwd=workspace.root, check=True)
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
    assert not (workspace.root / "models/full").exists(), "a killed stage left a half output"

    # What suits the machine has no influence: the work of other values is taken up.
    machine = {"workers": 1, "feature_cache_mb": 0, "save_minutes": 0, "tensorboard": True}
    workspace.edit(lambda values: values["machine"].update(machine))
    output = workspace.run(*repro).stdout
    assert "resuming at" in output
    assert workspace.output_hash("train@full") == whole
    assert not list((workspace.root / ".scratch").glob("train@full/*"))


@pytest.mark.parametrize("workers", [0, 2])
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
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
    assert "resuming at" in workspace.stage("train", "full")
    again = {path.relative_to(full): path.read_bytes() for path in full.rglob("*.*")}
    assert again == whole
