"""What a phase is trained on, recorded beside its checkpoints."""

import json
import logging
from pathlib import Path

import pytest

from galgame_asr.core.paths import COMPUTE
from galgame_asr.families.common.compute import Used
from galgame_asr.training.phase import _record

HERE = Used("cpu", 1, "float32")


def test_a_phase_that_goes_on_elsewhere_says_so(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """Once for the other device, threads or precision, and the record has both in their order."""
    caplog.set_level(logging.WARNING, logger="galgame_asr")
    file = tmp_path / COMPUTE
    for _ in range(2):  # the second is a resume on the same machine
        _record(HERE, file)
    assert json.loads(file.read_text()) == [
        {"device": "cpu", "cpu_threads": 1, "precision": "float32"}
    ]
    assert not caplog.records
    _record(Used("NVIDIA T4", 1, "float32"), file)
    assert [one["device"] for one in json.loads(file.read_text())] == ["cpu", "NVIDIA T4"]
    assert "ran on cpu, 1 CPU threads, float32 and goes on on NVIDIA T4" in caplog.text
