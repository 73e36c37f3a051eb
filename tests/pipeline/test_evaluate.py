"""`galgame-asr evaluate` finds what stages decode and score would, and disturbs nothing."""

import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from galgame_asr.core.paths import DECODED_SETS
from galgame_asr.report.evaluation import SUFFIXES
from tests.pipeline.conftest import Workspace

PATIENCE_S = 120
PROMPT = "japanese"
FOLDERS = ("data/decoded", "data/scored", "metrics/variants")


@contextmanager
def training(workspace: Workspace) -> Iterator[tuple[subprocess.Popen[bytes], Path]]:
    """A phase that goes on for long, once its checkpoint p1 is there; killed at the end."""
    with (workspace.root / ".scratch.log").open("w") as log:
        process = subprocess.Popen(
            [sys.executable, "-m", "galgame_asr.stages.train", "full"],
            cwd=workspace.root,
            env=os.environ | {"PYTHONPATH": "src"},
            stdout=log,
            stderr=log,
            start_new_session=True,
        )
    try:
        deadline = time.monotonic() + PATIENCE_S
        while not (found := list(workspace.root.glob(".scratch/manual/*/p1"))):
            assert process.poll() is None, "the phase ended before it could be judged"
            assert time.monotonic() < deadline, "no checkpoint was saved"
            time.sleep(0.05)
        yield process, found[0].relative_to(workspace.root)
    finally:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()


def evaluate(workspace: Workspace, *arguments: str) -> str:
    return workspace.run("galgame-asr", "evaluate", *arguments).stdout


def test_a_checkpoint_of_a_phase_that_still_runs(workspace: Workspace) -> None:
    """The bytes of stages decode and score on the same checkpoint; the phase goes on."""

    def long(values: dict[str, dict[str, dict[str, dict[str, object]]]]) -> None:
        values["train"]["phases"]["full"] |= {"epochs": 1000, "checkpoints": [1, 100]}

    workspace.edit(long)
    root = workspace.root
    with training(workspace) as (process, checkpoint):
        listed = workspace.run("galgame-asr", "scratch").stdout
        assert f"    {checkpoint}\n" in listed
        machine = (root / "logs/machine.json").stat().st_mtime_ns
        files = {path: path.read_bytes() for path in (root / checkpoint).rglob("*.*")}
        steps = _step(root / checkpoint)
        told = evaluate(
            workspace, str(checkpoint), "--set", *DECODED_SETS, "--prompt", PROMPT, "--output",
            "logs/running", "--against", "data/scored/base",
        )  # fmt: skip
        assert process.poll() is None
        assert (root / "logs/machine.json").stat().st_mtime_ns == machine
        assert {path: path.read_bytes() for path in (root / checkpoint).rglob("*.*")} == files
        assert _step(root / checkpoint) > steps, "training stood still"
        shutil.copytree(root / checkpoint, root / "models/running")
    assert f"{checkpoint}, set test: " in told
    assert "against data/scored/base, by the capped CER" in told

    def running(values: dict[str, Any]) -> None:
        values["decode"]["checkpoints"] = ["running"]
        values["prompts"] = {PROMPT: values["prompts"][PROMPT]}

    workspace.edit(running)
    workspace.stage("decode", "running", PROMPT, f"data/decoded/running-{PROMPT}.jsonl")
    workspace.stage("score")
    for folder, suffix in zip(FOLDERS, SUFFIXES, strict=True):
        stages = root / folder / f"running-{PROMPT}{suffix}"
        assert (root / f"logs/running/{PROMPT}{suffix}").read_bytes() == stages.read_bytes()


def _step(checkpoint: Path) -> int:
    """The newest state beside a checkpoint."""
    return max(int(path.name.partition("-")[2]) for path in checkpoint.parent.glob("state-*"))


def test_a_sample_of_any_set_for_a_model_from_elsewhere(workspace: Workspace) -> None:
    """A directory that never was a stage's, on rows of a file; compared with an earlier result."""
    root = workspace.root
    shutil.copytree(root / "models/full/p100", root / "mine")
    (root / "mine/galgame_asr.json").unlink()
    mix = "data/mix/full/train.parquet"
    common = ("--set", mix, "--prompt", "none", "--device", "cpu")
    evaluate(workspace, "mine", *common, "--limit", "5", "--output", "logs/few")
    told = evaluate(
        workspace, "models/adaptor/p100", *common, "--limit", "8", "--output", "logs/more",
        "--against", "logs/few",
    )  # fmt: skip
    few, more = (pd.read_parquet(root / f"logs/{name}/none.parquet") for name in ("few", "more"))
    assert len(few) == 5
    assert len(more) == 8
    assert set(few["id"]) < set(more["id"])
    assert set(more["set"]) == {"train"}
    assert "models/adaptor/p100, set train: 8 utterances" in told
    assert told.splitlines()[-2].split() == ["on", "utterances", "5"]
    assert told.splitlines()[-1].split()[1] in ("better", "worse", "undecided")
    # The same model against itself, in place of what was there.
    again = evaluate(
        workspace, "mine", *common, "--limit", "5", "--output", "logs/few", "--force", "--against",
        "logs/few",
    )  # fmt: skip
    assert "change in points  0.00\n" in again
    assert "MAPSSWE           p = 1.000\n" in again
    assert again.splitlines()[-1].split() == ["decision", "undecided"]
    assert pd.read_parquet(root / "logs/few/none.parquet").equals(few)


def test_an_export(workspace: Workspace) -> None:
    """By its own runtime, with the transcripts of stage decode."""
    for package in ("onnx", "onnxruntime", "sherpa_onnx"):
        pytest.importorskip(package, reason="needs the extra export: make .venv/dev")
    gate = {
        "utterances": 4, "prompt": "none", "min_equal": 0.0, "max_cer_rise": 100.0,
        "max_difference": 9.0,
    }  # fmt: skip
    export = {"format": "sherpa", "checkpoint": "full/p100", "precision": "int8", "verify": gate}
    workspace.edit(lambda values: values["export"].update(small=export))
    workspace.stage("export", "small")
    evaluate(
        workspace, "models/export/small", "--set", *DECODED_SETS, "--prompt", "none", "--output",
        "logs/small",
    )  # fmt: skip
    workspace.stage("decode", "export/small", "none", "data/decoded/export/small-none.jsonl")
    stages, here = (
        (workspace.root / file).read_bytes()
        for file in ("data/decoded/export/small-none.jsonl", "logs/small/none.jsonl")
    )
    assert here == stages


def test_a_failure_leaves_no_half(workspace: Workspace) -> None:
    """An utterance that cannot be read is named, by one of several processes too."""
    root = workspace.root
    workspace.edit(lambda values: values["machine"].update(processes=2))
    rows = pd.read_parquet(root / "data/split/dev.parquet")
    sizes = rows["size"].astype("int64")
    sizes.iloc[0] = 3
    rows.assign(size=sizes).to_parquet(root / "logs/bad.parquet")
    done = workspace.run(
        "galgame-asr", "evaluate", "models/base", "--set", "logs/bad.parquet", "--output",
        "logs/bad", check=False,
    )  # fmt: skip
    assert done.returncode == 1
    assert f"UtteranceError: utterance {rows['id'][0]}" in done.stdout
    assert "Traceback" not in done.stdout
    assert not list((root / "logs").glob("*bad*/"))
    assert not list((root / "logs").glob(".*.tmp"))
