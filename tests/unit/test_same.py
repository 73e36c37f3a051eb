"""`make same` names where two runs part."""

import json
from pathlib import Path
from typing import Any

import pytest

from tests.same import differences, outside


def stage(deps: dict[str, str], outs: dict[str, str]) -> dict[str, Any]:
    return {
        "deps": [{"path": path, "md5": md5} for path, md5 in deps.items()],
        "outs": [{"path": path, "md5": md5} for path, md5 in outs.items()],
    }


RUN = {
    "split": stage({"src/split.py": "a"}, {"data/split/train.parquet": "1"}),
    "base": stage({"data/split/train.parquet": "1"}, {"models/base": "2"}),
    "train@full": stage({"models/base": "2"}, {"models/full": "3"}),
    "decode@full/p100": stage({"models/full": "3"}, {"data/decoded/full.jsonl": "4"}),
}


def test_equal_outputs_are_no_difference() -> None:
    """Even of other code under another stage's name: a refactoring changed no result."""
    moved = dict(RUN)
    del moved["split"]
    moved["splitting"] = stage({"src/splitting/split.py": "b"}, {"data/split/train.parquet": "1"})
    assert differences(RUN, moved) == []


def test_the_first_stage_that_differs_is_named_alone() -> None:
    """And not what follows from it, also where a later stage reads a file inside of an output."""
    made = {
        **RUN,
        "base": stage({"data/split/train.parquet": "1"}, {"models/base": "x"}),
        "train@full": stage({"models/base": "x"}, {"models/full": "y"}),
        "decode@full/p100": stage({"models/full/p100": "y"}, {"data/decoded/full.jsonl": "z"}),
    }
    assert [str(one) for one in differences(RUN, made)] == ["stage base: models/base"]


def test_a_missing_output_is_a_difference() -> None:
    """A stage that did not run, or is no more, made nothing."""
    (found,) = differences(RUN, {name: RUN[name] for name in ("split", "base", "train@full")})
    assert found.outputs == ("data/decoded/full.jsonl",)


@pytest.mark.parametrize(("low", "high", "problems"), [(0.14, 0.2, 0), (0.16, 0.2, 1)])
def test_intervals_overlap_or_not(tmp_path: Path, low: float, high: float, problems: int) -> None:
    """Where bits differ, error rates must be those of the committed run within both intervals."""
    for root, bounds in (("committed", (0.1, 0.15)), ("made", (low, high))):
        path = tmp_path / root / "metrics/variants/full/p100-none.json"
        path.parent.mkdir(parents=True)
        rates = {"cer_low": bounds[0], "cer_high": bounds[1]}
        path.write_text(json.dumps({"test": rates, "ood": {"cer_low": 0.2, "cer_high": 0.3}}))
    found = outside(tmp_path / "committed", tmp_path / "made")
    assert len(found) == problems
    assert all("full/p100-none.json, test" in line for line in found)
