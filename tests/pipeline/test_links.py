"""Outputs share the disk with DVC's cache, and nobody writes into what is shared."""

import fcntl
import hashlib
import os
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest

from tests.conftest import REPOSITORY
from tests.pipeline.conftest import Workspace

FICLONE = 0x40049409  # ioctl_ficlone(2)
SOURCE = str(REPOSITORY / "src")


@pytest.fixture
def empty(tmp_path: Path) -> Workspace:
    """A repository with the committed configuration of DVC, and no stage."""
    workspace = Workspace(tmp_path)
    workspace.run("git", "init", "--quiet")
    workspace.run("dvc", "init", "--quiet")
    (tmp_path / ".dvc/config").write_bytes((REPOSITORY / ".dvc/config").read_bytes())
    return workspace


@pytest.fixture
def other_disk(tmp_path: Path) -> Iterator[Path]:
    """A folder on another file system."""
    memory = Path("/dev/shm")
    if not memory.is_dir() or memory.stat().st_dev == tmp_path.stat().st_dev:
        pytest.skip("there is no other file system at /dev/shm")
    with TemporaryDirectory(dir=memory) as folder:
        yield Path(folder)


def choose(workspace: Workspace) -> str:
    """Let the project find out what the disk can do; the one line it says."""
    command = ("python", "-m", "galgame_asr.experiment.links")
    (line,) = workspace.run(*command, PYTHONPATH=SOURCE).stdout.splitlines()
    return line


def chosen(workspace: Workspace) -> str:
    return workspace.run("dvc", "config", "--local", "cache.type").stdout.strip()


def has_reflinks(folder: Path) -> bool:
    """Whether the file system really clones a file."""
    (folder / "source").write_bytes(bytes(8192))
    with (folder / "source").open("rb") as source, (folder / "target").open("wb") as target:
        try:
            fcntl.ioctl(target.fileno(), FICLONE, source.fileno())
        except OSError:
            return False
    return True


def links(folder: Path) -> set[int]:
    """How many names the files below a folder have."""
    return {path.stat().st_nlink for path in folder.rglob("*") if path.is_file()}


def damaged(workspace: Workspace) -> list[str]:
    """The objects in DVC's cache whose bytes are not those of their name."""
    cache = workspace.root / ".dvc/cache/files/md5"
    found = {path: "".join(path.parts[-2:]) for path in cache.glob("??/*")}
    assert len(found) > 20
    return [
        name
        for path, name in found.items()
        if hashlib.md5(path.read_bytes()).hexdigest() != name.removesuffix(".dir")
    ]


def test_what_the_disk_can_do_is_found_out(empty: Workspace, tmp_path: Path) -> None:
    """A reflink is tried, not guessed; the type goes to the file that git ignores."""
    best = "reflink" if has_reflinks(tmp_path) else "hardlink"
    assert f"DVC's outputs: {best}, " in choose(empty)
    assert chosen(empty).split(",")[0] == best
    assert chosen(empty).endswith("hardlink,symlink")
    assert "config.local" not in empty.run("git", "status", "--porcelain", "--ignored=no").stdout


def test_a_cache_on_another_disk(empty: Workspace, other_disk: Path) -> None:
    """Hard links do not reach it; what was found before is found anew when the cache moves."""
    before = (choose(empty), chosen(empty))[1]
    empty.run("dvc", "cache", "dir", "--local", str(other_disk / "cache"))
    choose(empty)
    assert chosen(empty) == "symlink"
    empty.run("dvc", "cache", "dir", "--local", "--unset")
    choose(empty)
    assert chosen(empty) == before


def test_what_a_user_chose_stays(empty: Workspace) -> None:
    """Before and after the project looks; also the other settings in that file."""
    empty.run("dvc", "remote", "add", "--local", "mine", "/somewhere")
    for type_ in ("copy", "symlink,copy"):
        empty.run("dvc", "config", "--local", "cache.type", type_)
        assert f"{type_}, as .dvc/config.local says" in choose(empty)
        assert chosen(empty) == type_
    empty.run("dvc", "config", "--local", "--unset", "cache.type")
    choose(empty)
    assert "hardlink" in chosen(empty)
    assert "/somewhere" in empty.run("dvc", "remote", "list").stdout


def test_make_finds_out_once(empty: Workspace) -> None:
    """And anew when DVC's settings change."""
    (empty.root / "Makefile").write_bytes((REPOSITORY / "Makefile").read_bytes())
    (empty.root / ".venv").mkdir()
    for name in ("pyproject.toml", "constraints.txt", ".venv/run"):  # as if installed
        (empty.root / name).touch()

    def make() -> str:
        return empty.run("make", ".dvc/tmp/links", PYTHONPATH=SOURCE).stdout

    assert "DVC's outputs" in make()
    assert "up to date" in make()
    empty.run("dvc", "remote", "add", "--local", "mine", "/somewhere")
    later = (empty.root / ".dvc/tmp/links").stat().st_mtime + 1
    os.utime(empty.root / ".dvc/config.local", (later, later))
    assert "DVC's outputs" in make()


def test_folders_are_linked_to_the_cache(workspace: Workspace) -> None:
    """Made anew, of other bytes or the same, or brought back: each file is on the disk once."""
    if has_reflinks(workspace.root.parent):
        pytest.skip("a reflink has no link count")
    choose(workspace)
    fetch = ("--force", "--single-item", "fetch@vn")
    workspace.edit(lambda values: values["corpora"]["vn"].update(utterances=61))
    for _ in range(2):
        assert workspace.repro(*fetch) == ["fetch@vn"]
        assert links(workspace.root / "data/raw/vn") == {2}
    workspace.run("git", "checkout", "--quiet", ".")
    workspace.run("dvc", "checkout", "--relink")
    for folder in ("data/raw", "data/split", "models"):
        # More than 2 have the files that several checkpoints share.
        assert min(links(workspace.root / folder)) == 2, folder
    (workspace.root / ".dvc/config.local").unlink()  # other tests have the committed type


def test_no_stage_writes_into_what_is_there(workspace: Workspace) -> None:
    """One of each runs again over outputs that are links to the cache, whose bytes stay.

    DVC would delete the outputs first, and its read-only mode does not stop a root user.
    """
    workspace.run("dvc", "checkout", "--relink")
    assert damaged(workspace) == []
    before = {path for path in (workspace.root / "models").rglob("*") if path.is_file()}
    stages = {name.partition("@")[0]: stage for name, stage in workspace.lock().items()}
    for stage in stages.values():
        workspace.run("sh", "-c", stage["cmd"])
        assert damaged(workspace) == [], stage["cmd"]
        for out in stage["outs"]:
            path = workspace.root / out["path"]
            assert links(path) == {1} if path.is_dir() else path.stat().st_nlink == 1
    assert {path for path in (workspace.root / "models").rglob("*") if path.is_file()} == before
