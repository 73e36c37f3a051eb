"""After an update of the code: what is stale and why, and how to keep it, in a clone."""

import shutil
from pathlib import Path

import pytest

from tests.pipeline.conftest import Workspace, executed

TRAINED = ["build@tiny", "train@adaptor", "train@full"]
EDITED = "src/galgame_asr/training/dataset.py"


@pytest.fixture
def clone(workspace: Workspace, tmp_path: Path) -> Workspace:
    """A clone of the finished repository with its outputs, then an update of the training."""
    root = tmp_path / "clone"
    workspace.run("git", "clone", "--quiet", ".", str(root))
    clone = Workspace(root)
    clone.run("git", "config", "user.email", "test@example.org")
    clone.run("git", "config", "user.name", "Test")
    clone.run("dvc", "cache", "dir", "--local", str(workspace.root / ".dvc/cache"))
    clone.run("dvc", "checkout")
    assert stale(clone) == ["Nothing is stale: `dvc repro` runs nothing."]
    file = root / EDITED
    file.write_text(file.read_text() + "# A comment.\n")
    (file.parent / "addition.py").write_text('"""A new file."""\n')
    clone.commit("update")
    return clone


def stale(workspace: Workspace) -> list[str]:
    """What the command prints."""
    return workspace.run("galgame-asr", "stale").stdout.splitlines()


def test_what_code_alone_made_stale_can_be_kept(clone: Workspace) -> None:
    """The line that is printed makes DVC run nothing, and changes hashes of code alone."""
    since = clone.run("git", "rev-parse", "--short", "HEAD~").stdout.strip()
    lines = stale(clone)
    first = lines.index(f"  {', '.join(TRAINED)}")
    assert lines[first + 1] == (
        f"    src/galgame_asr/training: addition.py, dataset.py (since {since})"
    )
    (follow,) = (line for line in lines if line.startswith("  follow: "))
    assert not set(follow.removeprefix("  follow: ").split(", ")) & set(TRAINED)
    assert follow.endswith(", report")
    (keep,) = (line.strip() for line in lines if line.startswith("  dvc commit "))
    assert keep == f"dvc commit --force {' '.join(TRAINED)}"
    before = clone.lock()
    clone.run("bash", "-c", keep)
    assert stale(clone) == ["Nothing is stale: `dvc repro` runs nothing."]
    assert executed(clone.run("dvc", "repro", "--dry").stdout) == []
    assert clone.run("git", "diff", "--name-only").stdout.split() == ["dvc.lock"]
    after = clone.lock()
    for stage in TRAINED:
        assert after[stage]["deps"] != before[stage]["deps"]
    for lock in (before, after):
        for stage in TRAINED:
            deps = lock[stage]["deps"]
            deps.remove(next(dep for dep in deps if dep["path"] == "src/galgame_asr/training"))
    assert after == before


def test_other_params_and_missing_outputs_are_not_kept(clone: Workspace) -> None:
    """Params are named with both values and run; an output is brought first."""
    clone.edit(lambda values: values["train"]["phases"]["full"].update(lr=0.0007))
    shutil.rmtree(clone.root / "models/adaptor")
    lines = stale(clone)
    assert "  dvc commit --force build@tiny" in lines
    pull = lines.index("  dvc pull train@adaptor")
    run = lines.index("Params or data changed, or it never ran:")
    assert pull < run
    assert lines[run + 1 : run + 3] == ["  train@full", "    train.phases.full.lr: 0.001 -> 0.0007"]
    assert "Do not `dvc commit` them" in lines[-2]
    clone.run("bash", "-c", lines[pull])
    assert "  dvc commit --force build@tiny train@adaptor" in stale(clone)
