"""What is heard of a corpus, and that interrupted work ends as whole work does."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from galgame_asr.auditing import hearing
from galgame_asr.families.common.transcript import Transcript
from galgame_asr.messages.errors import DataError

ROWS = pd.DataFrame({"id": [f"u{i:03}" for i in range(400)], "corpus": ["vn", "reading"] * 200})


def ids(sample: float) -> set[str]:
    return set(hearing.sampled(ROWS, "vn", sample)["id"])


def test_samples_nest_and_are_of_the_corpus() -> None:
    """A share, or so many; those of a smaller one are among those of a larger one."""
    assert ids(1.0) == set(ROWS["id"][ROWS["corpus"] == "vn"])
    assert ids(0.1) < ids(0.3)
    assert len(ids(20)) == 20
    assert ids(20) < ids(50)
    assert ids(9999) == ids(1.0)
    assert hearing.sampled(ROWS[::-1], "vn", 0.3)["id"].is_monotonic_increasing


def test_a_sample_of_nothing_is_an_error() -> None:
    """A corpus that has no training rows, or so few that the share has none."""
    with pytest.raises(DataError, match="none is in a sample"):
        hearing.sampled(ROWS, "other", 1.0)


def test_an_interrupted_run_hears_only_what_is_missing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It ends in the bytes of a whole one, whatever part it stopped in."""
    said: list[str] = []

    def transcribe(parts: list[pd.DataFrame], left: int) -> Iterator[list[Transcript]]:
        for number, rows in enumerate(parts):
            if number == left:
                raise KeyboardInterrupt
            said.extend(rows["id"])
            yield [Transcript(f"text {id_}", 3, -1.5) for id_ in rows["id"]]

    def hear(parts: Path, output: Path, left: int) -> None:
        monkeypatch.setattr(hearing, "transcribe_parts", lambda p, _task: transcribe(p, left))
        task: Any = None
        hearing.hear(rows, task, parts, output)

    monkeypatch.setattr(hearing, "ROWS", 30)
    rows = hearing.sampled(ROWS, "vn", 1.0)
    hear(tmp_path / "whole", tmp_path / "whole.parquet", -1)
    said.clear()
    with pytest.raises(KeyboardInterrupt):
        hear(tmp_path / "parts", tmp_path / "again.parquet", 4)
    assert not (tmp_path / "again.parquet").exists()
    hear(tmp_path / "parts", tmp_path / "again.parquet", -1)
    assert said == rows["id"].tolist()
    assert (tmp_path / "again.parquet").read_bytes() == (tmp_path / "whole.parquet").read_bytes()
    assert hearing.read(tmp_path / "again.parquet")["id"].tolist() == rows["id"].tolist()
