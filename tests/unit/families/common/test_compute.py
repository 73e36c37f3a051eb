"""Bits that do not depend on the CPU's maker, and a word where they do."""

import dataclasses
import json
import os
import platform
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, Literal

import pytest
import torch

from galgame_asr.core.params import load
from galgame_asr.families.common import compute
from galgame_asr.families.common.params import ComputeParams
from galgame_asr.messages.errors import ConfigError
from tests.conftest import REPOSITORY

PARAMS = load(ComputeParams, "compute", file=REPOSITORY / "params.yaml")
AVX2 = platform.machine() == "x86_64" and "avx2" in Path("/proc/cpuinfo").read_text()
SET_UP = """
import sys, torch
from galgame_asr.core.params import load
from galgame_asr.families.common import compute
from galgame_asr.families.common.params import ComputeParams
{before}
compute.set_up(load(ComputeParams, "compute"), compute.Path(sys.argv[1]))
{after}
"""

PRODUCT = """
import os
os.environ["ATEN_CPU_CAPABILITY"] = "avx2"
torch.ones(2, 64, 64).bmm(torch.ones(2, 64, 64))
"""


def set_up(record: Path, *, before: str = "", after: str = "") -> str:
    """Set a new process up, with statements before and after it; what it prints."""
    # Without what `set_up` has left in this process.
    kept = {k: v for k, v in os.environ.items() if k not in compute.FIXED_INSTRUCTIONS}
    done = subprocess.run(
        [sys.executable, "-c", SET_UP.format(before=before, after=after), record],
        cwd=REPOSITORY, env=kept, capture_output=True, text=True, check=True,
    )  # fmt: skip
    return done.stdout + done.stderr


@pytest.mark.skipif(not AVX2, reason="no x86-64 CPU with AVX2: bits are this machine's own")
def test_the_modes_of_the_default_are_in_force(tmp_path: Path) -> None:
    """As read back from MKL and torch; the record names the CPU and nothing that differs."""
    set_up(tmp_path / "machine.json")
    record = json.loads((tmp_path / "machine.json").read_text())
    assert record == {
        "cpu": compute.cpu_name(), "architecture": "x86_64", "torch": torch.__version__,
        "own_bits": None,
    }  # fmt: skip


@pytest.mark.skipif(not AVX2, reason="no x86-64 CPU with AVX2: bits are this machine's own")
def test_products_run_in_that_mode(tmp_path: Path) -> None:
    """MKL itself says so of the products that are left to it (MKL_VERBOSE)."""
    output = set_up(
        tmp_path / "machine.json",
        before="import os; os.environ['MKL_VERBOSE'] = '1'",
        after=PRODUCT,
    )
    assert "SGEMM" in output
    assert "CNR:COMPATIBLE" in output


@pytest.mark.skipif(not AVX2, reason="no x86-64 CPU with AVX2: bits are this machine's own")
@pytest.mark.parametrize(
    ("before", "reason"),
    [
        (
            PRODUCT,
            "MKL is not in its mode COMPATIBLE, 3, but in",
        ),
        (
            "import os; os.environ['ATEN_CPU_CAPABILITY'] = 'default'; torch.ones(64).exp()",
            "not AVX2",
        ),
        ("compute.FIXED_INSTRUCTIONS['MKL_CBWR'] = 'AVX2'", "MKL is not in its mode COMPATIBLE"),
    ],
)
def test_a_mode_that_did_not_take_is_told(tmp_path: Path, before: str, reason: str) -> None:
    """Something computed first, or another mode: one line, and the run's record."""
    output = set_up(tmp_path / "machine.json", before=before)
    assert "numbers may differ from those of other machines" in output
    assert reason in json.loads((tmp_path / "machine.json").read_text())["own_bits"]


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"reproducible": False}, "compute.reproducible is false"),
        ({"cpu_threads": None}, "compute.cpu_threads is null"),
    ],
)
def test_params_can_give_the_sameness_up(change: dict[str, Any], reason: str) -> None:
    """And the record says which."""
    own_bits = compute.machine(dataclasses.replace(PARAMS, **change)).own_bits
    assert own_bits is not None
    assert reason in own_bits


@pytest.mark.parametrize(("device", "mode"), [("cpu", 2), ("auto", 1)])
def test_on_cuda_an_operation_without_a_deterministic_form_is_a_warning(
    monkeypatch: pytest.MonkeyPatch, device: Literal["cpu", "auto"], mode: int
) -> None:
    """It is an error on a CPU, where all have one; the embedded default stays on the CPU."""
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    before = torch.get_deterministic_debug_mode()
    try:
        compute.set_up(dataclasses.replace(PARAMS, device=device))
        assert torch.get_deterministic_debug_mode() == mode
    finally:
        torch.set_deterministic_debug_mode(before)
    assert PARAMS.device == "cpu"


@pytest.mark.parametrize(
    ("has_cuda", "has_bf16", "chosen"),
    [(True, True, "bf16"), (True, False, "fp16"), (False, False, "float32")],
    ids=["RTX 30", "RTX 20", "CPU"],
)
def test_auto_is_the_fastest_precision_of_the_device(
    monkeypatch: pytest.MonkeyPatch, has_cuda: bool, has_bf16: bool, chosen: str
) -> None:
    """bf16 where the GPU has it, else fp16 on a GPU; emulated bf16 is slow and does not count."""
    monkeypatch.setattr(torch.cuda, "is_available", lambda: has_cuda)
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda: "card")
    _has_bf16(monkeypatch, has_bf16)
    params = dataclasses.replace(PARAMS, device="auto", precision="auto")
    assert compute.precision(params, compute.device(params)) == chosen


def test_bf16_is_refused_on_a_gpu_without_it(monkeypatch: pytest.MonkeyPatch) -> None:
    """It would run, and slowly."""
    _has_bf16(monkeypatch, False)
    params = dataclasses.replace(PARAMS, precision="bf16")
    with pytest.raises(ConfigError, match="this GPU lacks it; use fp16"):
        compute.precision(params, torch.device("cuda"))


def _has_bf16(monkeypatch: pytest.MonkeyPatch, says: bool) -> None:
    """Let torch see a GPU with bf16, or one that emulates it."""

    def supported(*, including_emulation: bool = True) -> bool:
        return including_emulation or says

    monkeypatch.setattr(torch.cuda, "is_bf16_supported", supported)


def test_attention_is_not_left_to_cudnn() -> None:
    """It plans anew for every shape of a batch."""
    enabled: Callable[[], bool] = torch.backends.cuda.cudnn_sdp_enabled
    before = enabled()
    torch.backends.cuda.enable_cudnn_sdp(True)
    try:
        compute.set_up(dataclasses.replace(PARAMS, reproducible=False, cpu_threads=None))
        assert not enabled()
    finally:
        torch.backends.cuda.enable_cudnn_sdp(before)
