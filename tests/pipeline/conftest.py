"""A small run of the whole pipeline in a repository of its own, with DVC and git for real."""

import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from filelock import FileLock
from ruamel.yaml import YAML

from tests.conftest import REPOSITORY
from tests.phases import write_rows

# The embedded default, smaller: 100 utterances, two phases of a few steps, four decodes.
SMALLER: dict[str, Any] = {
    "corpora": {"vn": {"utterances": 60, "shard_size": 32}, "reading": {"utterances": 40}},
    "split": {"dev": 0.15, "test": 0.25, "min_test": 1, "dev_sample": 4},
    "base": {
        "built": {
            "tiny": {
                "encoder_dim": 32,
                "encoder_layers": 2,
                "llm_dim": 32,
                "pretrain": {"epochs": 2},
            }
        }
    },
    "train": {"common": {"log_steps": 2}},
    "machine": {"save_minutes": 0},
    "decode": {"checkpoints": ["base", "full/p100"], "max_new_tokens": 12},
}


@dataclass(frozen=True)
class Workspace:
    """A repository in which `make repro` could have been run."""

    root: Path

    def run(
        self, *command: str, check: bool = True, **environment: str
    ) -> subprocess.CompletedProcess[str]:
        """Run a command in the repository; its output is in `stdout`."""
        bin_ = str(Path(sys.executable).parent)
        done = subprocess.run(
            command,
            cwd=self.root,
            env=os.environ
            | {"PATH": f"{bin_}:{os.environ['PATH']}", "PYTHONPATH": "src"}
            | environment,
            text=True,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            check=False,
        )
        assert not check or done.returncode == 0, f"{command} failed:\n{done.stdout}"
        return done

    def stage(self, name: str, *arguments: str, check: bool = True) -> str:
        """Run a stage without DVC."""
        command = [sys.executable, "-m", f"galgame_asr.stages.{name}", *arguments]
        done = self.run(*command, check=check)
        assert check or done.returncode == 1, done.stdout
        return done.stdout

    def repro(self, *arguments: str) -> list[str]:
        """Run `dvc repro`; the stages that were executed, in order."""
        output = self.run("dvc", "repro", *arguments).stdout
        return executed(output)

    def edit(self, change: Callable[[dict[str, Any]], None]) -> None:
        """Change params.yaml."""
        yaml = YAML()
        values = yaml.load(self.root / "params.yaml")
        change(values)
        yaml.dump(values, self.root / "params.yaml")

    def lock(self) -> dict[str, Any]:
        """The stages of dvc.lock."""
        stages: dict[str, Any] = YAML(typ="safe").load(self.root / "dvc.lock")["stages"]
        return stages

    def output_hash(self, stage: str) -> str:
        """The hash of a stage's first output."""
        hash_: str = self.lock()[stage]["outs"][0]["md5"]
        return hash_

    def commit(self, message: str) -> None:
        """Commit everything that git does not ignore."""
        self.run("git", "add", "--all")
        self.run("git", "commit", "--quiet", "--allow-empty", "--message", message)


def executed(output: str) -> list[str]:
    """Names of the stages that a DVC command says it ran."""
    return [
        line.split("'")[1] for line in output.splitlines() if line.startswith("Running stage '")
    ]


def merge(target: Any, change: dict[str, Any]) -> None:
    """Overlay nested values."""
    for key, value in change.items():
        if isinstance(value, dict):
            merge(target[key], value)
        else:
            target[key] = value


@pytest.fixture(scope="session")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Workspace:
    """A repository after one `dvc repro` of a smaller default, everything committed.

    One process of the tests makes it, the others copy it.
    """
    own = tmp_path_factory.getbasetemp()
    run = own.parent if "PYTEST_XDIST_WORKER" in os.environ else own
    first = run / "finished"
    with FileLock(run / "finished.lock"):
        if not first.exists():
            _finish(root := run / "unfinished")
            root.rename(first)
    shutil.copytree(first, own / "workspace", symlinks=True)
    return Workspace(own / "workspace")


def _finish(root: Path) -> None:
    """Run a smaller default in a new repository."""
    root.mkdir()
    files = subprocess.run(
        ["git", "ls-files", "--cached", "--others", "--exclude-standard", "-z"],
        cwd=REPOSITORY, capture_output=True, text=True, check=True,
    ).stdout.split("\0")  # fmt: skip
    # What the run writes is not copied; the folder for verified exports must be there.
    own = [name for name in files if not name.startswith(("metrics/", "dvc.lock"))]
    for name in filter(None, [*own, "metrics/verify/.gitkeep"]):
        if (REPOSITORY / name).is_file():
            (root / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(REPOSITORY / name, root / name)
    workspace = Workspace(root)

    def shrink(values: dict[str, Any]) -> None:
        merge(values, SMALLER)
        values["export"] = {}  # which have tests of their own
        phases = values["train"]["phases"]
        del phases["encoder"]
        phases["full"] |= {"init": "adaptor/p100", "checkpoints": [50, 100]}
        values["average"]["averaged"]["checkpoints"] = [50, 100]
        for phase in phases.values():
            phase["epochs"] = 2

    workspace.edit(shrink)
    workspace.run("git", "init", "--quiet", "--initial-branch", "main")
    workspace.run("git", "config", "user.email", "test@example.org")
    workspace.run("git", "config", "user.name", "Test")
    workspace.commit("start")
    workspace.repro()
    workspace.commit("first run")


@pytest.fixture
def workspace(finished: Workspace) -> Workspace:
    """The finished repository, put back to its commit before the test."""
    for outputs in ("data", "models"):  # with those of corpora and phases of another test
        shutil.rmtree(finished.root / outputs, ignore_errors=True)
    finished.run("git", "reset", "--quiet", "--hard", "main")
    finished.run("git", "clean", "--quiet", "--force", "-d")
    finished.run("dvc", "checkout", "--force", "--quiet")
    shutil.rmtree(finished.root / ".scratch", ignore_errors=True)
    return finished


@pytest.fixture(scope="module")
def rows(tmp_path_factory: pytest.TempPathFactory) -> pd.DataFrame:
    """Ten utterances of 0.4 to 1.3 s in a shard below `attrs["root"]`."""
    root = tmp_path_factory.mktemp("data")
    table = write_rows(root)
    table.attrs["root"] = root
    return table
