"""Unfinished work is found again by exactly the same run."""

import itertools
import os
import sys
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from threading import Event
from types import ModuleType

import pytest

from galgame_asr.base.built import BuiltBase
from galgame_asr.cli import dispatch
from galgame_asr.core import processes
from galgame_asr.core.files import remove, write_text
from galgame_asr.core.params import load
from galgame_asr.families.common import defaults
from galgame_asr.families.common.params import ComputeParams, MachineParams
from galgame_asr.messages.errors import ConfigError, DataError
from galgame_asr.training import phase, states
from galgame_asr.training.params import AugmentParams, CommonParams, PhaseParams
from galgame_asr.training.resume import DEPENDS, dependencies, scratch, unfinished
from tests.conftest import REPOSITORY

PARAMS = REPOSITORY / "params.yaml"


@pytest.fixture(autouse=True)
def _root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DVC_ROOT", str(tmp_path))
    monkeypatch.setenv("DVC_STAGE", "train@adaptor")
    monkeypatch.chdir(tmp_path)


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


def test_anything_that_changes_the_result_is_a_dependency(
    table: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Params, data and code each start anew; a dependency's release too."""
    code = tmp_path / "code.py"
    code.write_text("a = 1")
    module = ModuleType("galgame_asr.added_by_a_test")
    module.__file__ = str(code)
    monkeypatch.setitem(sys.modules, module.__name__, module)
    seen = [dependencies([table], {"lr": 0.1}), dependencies([table], {"lr": 0.2})]
    table.write_bytes(b"other rows")
    seen.append(dependencies([table], {"lr": 0.1}))
    code.write_text("a = 2")
    seen.append(dependencies([table], {"lr": 0.1}))
    monkeypatch.setattr("galgame_asr.training.resume.version", lambda name: f"{name} 9")
    seen.append(dependencies([table], {"lr": 0.1}))
    assert len({str(one) for one in seen}) == len(seen)


def test_what_only_people_see_is_none(
    table: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A better progress bar costs nobody a run; other code does."""
    before = dependencies([table], {})
    for room, same in (("messages", True), ("core", False)):
        module = ModuleType(f"galgame_asr.{room}.new")
        module.__file__ = str(tmp_path / f"{room}.py")
        Path(module.__file__).write_text("# new")
        monkeypatch.setitem(sys.modules, module.__name__, module)
        assert (dependencies([table], {}) == before) is same


def test_two_processes_never_share_a_run(table: Path) -> None:
    """An orphan that still trains keeps a second trainer out."""
    with (
        scratch([table], {}),
        pytest.raises(DataError, match=rf"another process \({os.getpid()}\) already works in"),
        scratch([table], {}),
    ):
        pass


def test_a_run_that_starts_anew_says_what_differs(
    table: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture,
    capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    """And how far the other work was; the command lists both, and removes what is named.

    Without params.yaml they can be told apart by what differs between them; one alone has all.
    """

    def interrupted(**params: object) -> None:
        with scratch([table], {"phase": {"lr": 0.1, "epochs": 2}, **params}) as directory:
            with states.writing(states.path(directory, 40)) as state:
                (state / "weights").write_bytes(bytes(3_000_000))
            raise RuntimeError

    with pytest.raises(RuntimeError):
        interrupted(augment=AugmentParams())
    assert not caplog.records
    table.write_bytes(b"other")
    with pytest.raises(RuntimeError):
        interrupted(augment=AugmentParams(mel_masks=2))
    assert "train@adaptor/" in caplog.text
    assert "(step 40) is left where it is, and a new run starts: " in caplog.text
    assert "augment.mel_masks was 0 and is 2; input train.parquet changed" in caplog.text
    dispatch(["scratch"])
    listed = capsys.readouterr().out.splitlines()
    assert sorted(listed[1::2]) == ["    augment.mel_masks: 0", "    augment.mel_masks: 2"]
    assert all(line.endswith("step 40, 3 MB") for line in listed[::2])
    name = listed[0].split()[0]
    with pytest.raises(ConfigError, match=f"no unfinished work 'x'. Allowed: .*{name}"):
        dispatch(["scratch", "--remove", "x"])
    dispatch(["scratch", "--remove", name])
    dispatch(["scratch"])
    _removed, left, *values = capsys.readouterr().out.splitlines()
    assert left == listed[2]
    assert listed[3] in values
    assert "    phase.lr: 0.1" in values
    assert not [line for line in values if "code" in line or "input" in line], "hashes"
    assert not (tmp_path / ".scratch" / name).exists()


@pytest.mark.parametrize("stage", ["train@encoder", "build@tiny"])
def test_unfinished_work_is_compared_with_the_params_of_now(
    stage: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """A phase that goes on with `dvc repro` says so; others, what would have to be put back."""

    def killed(*_: object) -> None:
        raise KeyboardInterrupt

    def listed() -> list[str]:
        dispatch(["scratch"])
        return capsys.readouterr().out.splitlines()[1:]

    monkeypatch.setattr(phase, "train_here", killed)
    monkeypatch.setattr(processes, "stop_without_parent", lambda: None)
    monkeypatch.setenv("DVC_STAGE", stage)
    text = PARAMS.read_text()
    (tmp_path / "params.yaml").write_text(text)
    phases, recipe = load(dict[str, PhaseParams], "train.phases"), load(BuiltBase, "base.built")
    assert recipe.recipe
    is_phase = stage == "train@encoder"
    inputs = phase.PhaseInputs(
        init=tmp_path / "init",
        family="fun_asr_nano",
        params=phases["encoder"] if is_phase else recipe.recipe.pretrain,
        common=load(CommonParams, "train.common"),
        compute=load(ComputeParams, "compute"),
        machine=load(MachineParams, "machine"),
        checkpoints=phases["encoder"].checkpoints if is_phase else (100,),
        raw=tmp_path,
        mix=tmp_path,
        logs=tmp_path,
    )
    for file in (inputs.init, *inputs.tables):
        file.touch()
    with pytest.raises(KeyboardInterrupt), phase.trained(inputs):
        pass
    (line,) = listed()
    assert line.startswith(f"    has the values of params.yaml: `dvc repro {stage}` goes on")
    other = text.replace("warmup: 0.05", "warmup: 0.1").replace("epochs: 6", "epochs: 7")
    (tmp_path / "params.yaml").write_text(other)
    epochs = ["    phase.epochs was 6 and is 7"] if is_phase else []
    assert listed() == ["    common.warmup was 0.05 and is 0.1", *epochs]


@contextmanager
def meanwhile(act: Callable[[int], None]) -> Iterator[None]:
    """Do something again and again, numbered."""
    ended = Event()

    def again() -> None:
        for number in itertools.takewhile(lambda _: not ended.is_set(), itertools.count()):
            act(number)

    with ThreadPoolExecutor(1) as pool:
        acting = pool.submit(again)
        try:
            yield
        finally:
            ended.set()
        acting.result()


def test_work_that_goes_on_is_listed(table: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """With its checkpoints, also while its states come and go."""
    with scratch([table], {}) as directory:

        def save(step: int) -> None:
            with states.writing(states.path(directory, step)) as state:
                for number in range(20):
                    (state / f"{number}").touch()
            states.remove_others(directory, f"state-{step}")

        for name in ("p5", ".p50.tmp"):
            (directory / name).mkdir()
            (directory / name / defaults.FILE).touch()
        with meanwhile(save):
            for _ in range(200):
                dispatch(["scratch"])
                _work, *models = capsys.readouterr().out.splitlines()
                assert [line for line in models if "/" in line] == [f"    {directory}/p5"]


def test_work_that_ends_meanwhile_is_listed_or_not(tmp_path: Path) -> None:
    """And is no error."""
    directory = tmp_path / ".scratch/train@adaptor/1"

    def begin_and_end(_number: int) -> None:
        write_text(directory / DEPENDS, "{}")
        remove(directory)

    found: set[int] = set()
    with meanwhile(begin_and_end):
        until = time.monotonic() + 60
        for number in itertools.count():  # on a busy machine the threads take long turns
            found.add(len(unfinished()))
            if (number >= 2000 and found == {0, 1}) or time.monotonic() > until:
                break
    assert found == {0, 1}


def test_the_folder_can_lie_elsewhere(
    table: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """On a larger disk."""
    monkeypatch.setenv("GALGAME_ASR_SCRATCH", str(tmp_path / "big"))
    with scratch([table], {}) as directory:
        assert directory.is_relative_to(tmp_path / "big/.scratch/train@adaptor")
