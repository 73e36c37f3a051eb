"""The same bits on a CPU of another maker, which qemu-user emulates."""

import json
import os
import platform
import shutil
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from tests.conftest import REPOSITORY

QEMU = "qemu-x86_64"
# By who made this one. Libraries choose their code by these names; Haswell is the oldest Intel
# with AVX2.
INTEL, AMD = "GenuineIntel", "AuthenticAMD"
OTHER = {AMD: "Haswell", INTEL: "EPYC"}

pytestmark = [
    pytest.mark.skipif(
        platform.machine() != "x86_64", reason="bits are this machine's own: needs an x86-64 CPU"
    ),
    pytest.mark.skipif(
        shutil.which(QEMU) is None, reason="needs qemu-user: apt-get install qemu-user"
    ),
]


def bits(cpu: str | None) -> dict[str, str]:
    """Hashes of what tests/bits.py computes, on an emulated CPU or on this one."""
    # The interpreter itself: qemu follows no link, and so knows nothing of the environment.
    python = [QEMU, "-cpu", cpu, os.path.realpath(sys.executable)] if cpu else [sys.executable]
    done = subprocess.run(
        [*python, "-m", "tests.bits"],
        cwd=REPOSITORY,
        env=os.environ | {"PYTHONPATH": os.pathsep.join(["src", *sys.path])},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    found: dict[str, str] = json.loads(done.stdout)
    return found


def test_an_intel_and_an_amd_give_the_same_bits() -> None:
    """Rendered speech, features, weights after training steps, losses, texts and scores."""
    maker = AMD if AMD in Path("/proc/cpuinfo").read_text() else INTEL
    with ThreadPoolExecutor(2) as pool:
        here, emulated = pool.map(bits, [None, OTHER[maker]])
    assert here["own_bits"] is None
    assert emulated == here
