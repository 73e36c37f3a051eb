"""A scratch directory that an interrupted stage finds again, and nothing else does.

DVC deletes a stage's outputs before it runs, so an unfinished run must live
elsewhere: in .scratch/STAGE/FINGERPRINT/, where the fingerprint covers all that
the result depends on. Other params, data or code have another fingerprint and
start anew.
"""

import fcntl
import hashlib
import json
import os
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from importlib.metadata import version
from pathlib import Path
from typing import Any

from galgame_asr.console import log
from galgame_asr.errors import ConfigError
from galgame_asr.files import content_hash, remove

COMPLETE = "complete"  # the last file written into a saved state


@contextmanager
def scratch(inputs: list[Path], params: Mapping[str, Any]) -> Iterator[Path]:
    """Give the directory of this run's unfinished work; remove it on success.

    Args:
        inputs: files and directories the result depends on.
        params: values it depends on; anything whose `str` tells them apart.

    Raises:
        ConfigError: another process is working in it.
    """
    # DVC_ROOT is the repository also inside the copies that `dvc exp run --temp` makes.
    root = Path(os.environ.get("DVC_ROOT", "."))
    stage = os.environ.get("DVC_STAGE", "manual").replace("/", "_")
    directory = root / ".scratch" / stage / fingerprint(inputs, params)
    directory.mkdir(parents=True, exist_ok=True)
    with (directory / "lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise ConfigError(
                f"another process already runs this stage in {directory}; "
                "wait for it, or stop it first"
            ) from None
        yield directory
        remove(directory)


def fingerprint(inputs: list[Path], params: Mapping[str, Any]) -> str:
    """Hash of inputs, params, this project's loaded code and the versions of its engines."""
    code = [
        Path(module.__file__)
        for name, module in sorted(sys.modules.items())
        if name.startswith("galgame_asr") and module.__file__
    ]
    parts = {
        "inputs": content_hash(inputs),
        "params": {name: str(value) for name, value in params.items()},
        "code": content_hash(code),
        "versions": [version(name) for name in ("torch", "transformers", "funasr")],
    }
    return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()[:16]


def mark_complete(state: Path) -> None:
    """Declare a saved state whole, once its bytes are on the disk."""
    os.sync()
    (state / COMPLETE).touch()


def last_complete(directory: Path) -> Path | None:
    """The newest whole state among checkpoint-STEP; half-written ones are removed."""
    states = sorted(directory.glob("checkpoint-*/"), key=lambda path: int(path.name.split("-")[-1]))
    whole = [state for state in states if (state / COMPLETE).exists()]
    for state in states:
        if state not in whole:
            log.info("removing half-written state %s", state)
            remove(state)
    return whole[-1] if whole else None
