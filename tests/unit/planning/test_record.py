"""What stages took, over several calls of DVC."""

import time
from pathlib import Path

import pytest

from galgame_asr.planning.record import Record


class Clock:
    """Stands still between the lines of a call."""

    now = 1000.0


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr(time, "monotonic", lambda: clock.now)
    return clock


def said(file: Path, clock: Clock, *lines: tuple[str, int, int]) -> Record:
    """A call of DVC: its lines, each with the seconds until the next and the memory meanwhile."""
    record = Record(file)
    for line, seconds, peak_bytes in lines:
        record.hear(line + "\n")
        record.sample(peak_bytes, 2 * peak_bytes)
        clock.now += seconds
    return record


def rows(record: Record) -> list[tuple[str, float, int, int]]:
    return [(ran.stage, ran.seconds, ran.peak_bytes, ran.gpu_bytes) for ran in record.stages]


def test_a_stage_that_was_stopped_goes_on(tmp_path: Path, clock: Clock) -> None:
    """Its seconds are those of all calls and its peak the largest; what was over stays."""
    file = tmp_path / "logs/record.json"
    said(
        file, clock, ("Running stage 'fetch':", 3, 50), ("Running stage 'train':", 20, 90),
        ("  step 1", 5, 70),
    ).end(is_over=False)  # fmt: skip
    clock.now += 1000  # the machine is another's meanwhile
    second = said(
        file, clock, ("Stage 'fetch' didn't change, skipping", 1, 99),
        ("Running stage 'train':", 10, 80), ("Running stage 'score':", 2, 10),
    )  # fmt: skip
    second.end(is_over=True)
    whole = [("fetch", 3, 50, 100), ("train", 35, 90, 180), ("score", 2, 10, 20)]
    assert rows(second) == whole
    lines = [(f"Stage '{stage}' didn't change, skipping", 1, 99) for stage, *_ in whole]
    assert rows(said(file, clock, *lines)) == whole


def test_a_stage_that_runs_again_counts_anew(tmp_path: Path, clock: Clock) -> None:
    """So does one whose params changed; and one that is no part of the run any more has no row."""
    file = tmp_path / "record.json"
    lines = [("Running stage 'old':", 3, 50), ("Running stage 'train':", 20, 90)]
    said(file, clock, *lines).end(is_over=True)
    assert rows(said(file, clock, ("Running stage 'train':", 0, 30))) == [("train", 0, 30, 60)]


def test_a_kill_loses_nothing_but_the_last_moment(tmp_path: Path, clock: Clock) -> None:
    """The file has what was known when a sample was taken."""
    file = tmp_path / "record.json"
    killed = said(file, clock, ("Running stage 'train':", 20, 90))
    killed.sample(95, 0)
    clock.now += 7
    assert rows(said(file, clock, ("Running stage 'train':", 0, 10))) == [("train", 20, 95, 180)]
