"""The same bits on CPUs of other makers, which qemu-user emulates."""

import json
import os
import platform
import shutil
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor

import pytest

from tests.conftest import REPOSITORY

QEMU = "qemu-x86_64"
# The oldest Intel with AVX2, and an AMD; libraries choose their code by these names.
CPUS = ("Haswell", "EPYC")

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


def test_an_intel_an_amd_and_this_cpu_give_the_same_bits() -> None:
    """Rendered speech, features, weights after training steps, losses, texts and scores."""
    with ThreadPoolExecutor(2) as pool:
        here, *emulated = pool.map(bits, [None, *CPUS])
    assert here["own_bits"] is None
    assert dict(zip(CPUS, emulated, strict=True)) == dict.fromkeys(CPUS, here)
