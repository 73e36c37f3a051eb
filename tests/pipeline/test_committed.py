"""What is committed belongs together: code, params, lock and metrics."""

import json
import subprocess
import sys
from itertools import pairwise
from pathlib import Path

from tests.conftest import REPOSITORY, committed


def test_the_lock_belongs_to_code_and_params() -> None:
    """A clone without data needs to run nothing: the metrics are those of this very code."""
    dvc = Path(sys.executable).with_name("dvc")
    done = subprocess.run(
        [dvc, "repro", "--dry", "--allow-missing"],
        cwd=REPOSITORY, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert "Running stage" not in done.stdout


def test_the_default_shows_what_fine_tuning_does() -> None:
    """Phases improve in order, the last to 0.15 and a third of the base; ood shows forgetting."""
    test, ood = (json.loads(committed(f"metrics/{name}.json")) for name in ("cer", "cer_ood"))
    for prompt in ("none", "japanese"):
        curve = [f"{c}-{prompt}" for c in ("base", "adaptor/p100", "encoder/p100", "full/p100")]
        assert all(test[before] > test[after] for before, after in pairwise(curve))
        assert test[curve[-1]] <= min(0.15, test[curve[0]] / 3)
        assert ood[curve[-1]] > ood[curve[0]]
