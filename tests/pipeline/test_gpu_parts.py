"""`make gpu` on the CPU, at the tiny size: the code of its parts works without the machine."""

import subprocess
import sys
from pathlib import Path

from benchmarks.gpu import PARTS

from tests.conftest import REPOSITORY

# Of those that differ in the phase alone, one; and neither tests/gpu nor `loader`, which take a
# minute each.
SHOWN = {
    "plan-adaptor": ["adaptor on cpu: predicted "],
    "train-adaptor": ["ours ", "funasr ", "ratio ", " apart in the first step"],
    "decode": ["this project ", "AutoModel.generate ", "equal texts: 16 of 16"],
}


def test_every_part_ends_with_its_row(tmp_path: Path) -> None:
    """Each row of the table has the figures that its part is there for."""
    assert SHOWN.keys() < PARTS.keys()
    words = ["-m", "benchmarks.gpu", "--device", "cpu", "--size", "tiny", "--logs", str(tmp_path)]
    done = subprocess.run(
        [sys.executable, *words, *SHOWN], cwd=REPOSITORY, text=True, check=False,
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout
    title, _, *head = (tmp_path / "gpu.md").read_text().splitlines()
    assert " CPU, tiny size, torch " in title
    rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in head[2:]]
    assert [row[:2] for row in rows] == [[name, "ok"] for name in SHOWN]
    for (name, parts), row in zip(SHOWN.items(), rows, strict=True):
        assert all(part in row[3] for part in parts), (name, row)
