"""The parts of `make gpu`: how one ends, and what the table says of it."""

import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest
import torch
from benchmarks.gpu import HEAD, Command, Part, Place, Result, add, run

from tests.conftest import REPOSITORY


def outcome(folder: Path, *words: str, limit_s: float = 60) -> Result:
    part = Part("", lambda _: [Command(words, folder)], ".* s")
    return run("part", part, Place(folder, "cpu", "tiny"), folder / "logs", limit_s)


def test_a_part_keeps_its_figures_and_its_log(tmp_path: Path) -> None:
    """Of all that it prints, the lines that are figures, whole."""
    result = outcome(tmp_path, "-c", "print('start\\n  1.0 s\\n  2.0 s of 3'); print('x  4 s')")
    assert (result.end, result.figures) == ("ok", ["  1.0 s", "x  4 s"])
    assert result.row.endswith("| 1.0 s<br>x 4 s |")
    assert "2.0 s of 3" in (tmp_path / "logs/part.log").read_text()


@pytest.mark.parametrize(
    ("words", "end", "failed"),
    [
        (["-c", "import not_there.part"], "skipped: no package not_there here", False),
        (["-m", "not_there"], "skipped: no package not_there here", False),
        (["-c", "import json.not_there"], "failed with status 1", True),  # json is here
        (["-c", "print('1 failed'); import not_there"], "failed with status 1", True),
        (["-c", "raise SystemExit(3)"], "failed with status 3", True),
        (["-c", "print('nothing')"], "failed: it said no figures", True),
    ],
)
def test_a_missing_package_is_no_failure(
    tmp_path: Path, words: list[str], end: str, failed: bool
) -> None:
    """The row names it; all else that ends a part is a failure."""
    result = outcome(tmp_path, *words)
    assert (result.end, result.failed) == (end, failed)


def test_a_part_ends_at_its_limit_with_its_children(tmp_path: Path) -> None:
    """It is killed, with the processes it has started."""
    code = (
        "import subprocess, sys, time; from pathlib import Path\n"
        "child = subprocess.Popen(['sleep', '600'])\n"
        "Path('child').write_text(str(child.pid)); time.sleep(600)"
    )
    result = outcome(tmp_path, "-c", code, limit_s=2)
    assert (result.end, result.failed) == ("timed out", True)
    assert result.seconds < 30
    child, deadline = int((tmp_path / "child").read_text()), time.monotonic() + 30
    while psutil.pid_exists(child) and psutil.Process(child).status() != psutil.STATUS_ZOMBIE:
        assert time.monotonic() < deadline
        time.sleep(0.1)


def test_rows_of_one_machine_are_one_table(tmp_path: Path) -> None:
    """Parts that are run one by one add to it; those of another begin a new one."""
    table, row = tmp_path / "gpu.md", Result("decode", "ok", 1.0, ["ratio 2"])
    for title in ("## first", "## first", "## second"):
        add(table, title, row)
    assert table.read_text() == (
        f"## first\n\n{HEAD}{row.row}\n{row.row}\n\n## second\n\n{HEAD}{row.row}\n"
    )


@pytest.mark.skipif(torch.cuda.is_available(), reason="has a CUDA device: nothing to refuse")
def test_without_a_gpu_it_says_so(tmp_path: Path) -> None:
    """In one line, with exit status 1, and before any part."""
    words = [sys.executable, "-m", "benchmarks.gpu", "--logs", str(tmp_path)]
    done = subprocess.run(words, cwd=REPOSITORY, capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert done.stderr.count("\n") == 1
    assert "no CUDA device" in done.stderr
    assert (done.stdout, list(tmp_path.iterdir())) == ("", [])
