"""Unfinished work is found again by exactly the same run."""

import os
import sys
from pathlib import Path
from types import ModuleType

import pytest

from galgame_asr.messages.errors import DataError
from galgame_asr.training.resume import fingerprint, scratch


@pytest.fixture(autouse=True)
def _root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DVC_ROOT", str(tmp_path))
    monkeypatch.setenv("DVC_STAGE", "train@adaptor")


@pytest.fixture
def table(tmp_path: Path) -> Path:
    path = tmp_path / "train.parquet"
    path.write_bytes(b"rows")
    return path


def test_the_same_run_finds_its_work_and_success_removes_it(table: Path, tmp_path: Path) -> None:
    """After an exception the files are there again; after success they are gone."""

    def interrupted() -> None:
        with scratch([table], {"lr": 0.1}) as directory:
            (directory / "state").touch()
            raise RuntimeError

    with pytest.raises(RuntimeError):
        interrupted()
    with scratch([table], {"lr": 0.1}) as directory:
        assert (directory / "state").exists()
        assert directory.is_relative_to(tmp_path / ".scratch" / "train@adaptor")
    assert not directory.exists()


def test_anything_that_changes_the_result_changes_the_fingerprint(
    table: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Params, data and code each start anew; a dependency's release too."""
    code = tmp_path / "code.py"
    code.write_text("a = 1")
    module = ModuleType("galgame_asr.added_by_a_test")
    module.__file__ = str(code)
    monkeypatch.setitem(sys.modules, module.__name__, module)
    seen = [fingerprint([table], {"lr": 0.1}), fingerprint([table], {"lr": 0.2})]
    table.write_bytes(b"other rows")
    seen.append(fingerprint([table], {"lr": 0.1}))
    code.write_text("a = 2")
    seen.append(fingerprint([table], {"lr": 0.1}))
    monkeypatch.setattr("galgame_asr.training.resume.version", lambda name: f"{name} 9")
    seen.append(fingerprint([table], {"lr": 0.1}))
    assert len(set(seen)) == len(seen)


def test_what_only_people_see_does_not_change_the_fingerprint(
    table: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A better progress bar costs nobody a run; other code does."""
    before = fingerprint([table], {})
    for room, same in (("messages", True), ("core", False)):
        module = ModuleType(f"galgame_asr.{room}.new")
        module.__file__ = str(tmp_path / f"{room}.py")
        Path(module.__file__).write_text("# new")
        monkeypatch.setitem(sys.modules, module.__name__, module)
        assert (fingerprint([table], {}) == before) is same


def test_two_processes_never_share_a_run(table: Path) -> None:
    """An orphan that still trains keeps a second trainer out."""
    with (
        scratch([table], {}),
        pytest.raises(DataError, match=rf"another process \({os.getpid()}\) already works in"),
        scratch([table], {}),
    ):
        pass
