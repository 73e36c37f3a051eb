"""A scratch directory that an interrupted stage finds again, and nothing else does.

DVC deletes a stage's outputs before it runs, so an unfinished run must live
elsewhere: in .scratch/STAGE/FINGERPRINT/, where the fingerprint covers all that
the result depends on. Other params, data or code have another fingerprint and
start anew.
"""

import hashlib
import json
import os
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from importlib.metadata import version
from pathlib import Path
from typing import Any

from galgame_asr.core.files import content_hash, locked, remove
from galgame_asr.core.paths import scratch_root


@contextmanager
def scratch(inputs: list[Path], params: Mapping[str, Any]) -> Iterator[Path]:
    """Give the directory of this run's unfinished work; remove it on success.

    Args:
        inputs: files and directories the result depends on.
        params: values it depends on; anything whose `str` tells them apart.

    Raises:
        DataError: another process is working in it.
    """
    stage = os.environ.get("DVC_STAGE", "manual").replace("/", "_")
    directory = scratch_root() / stage / fingerprint(inputs, params)
    with locked(directory):
        yield directory
        remove(directory)


def fingerprint(inputs: list[Path], params: Mapping[str, Any]) -> str:
    """Hash of inputs, params, this project's loaded code and the versions of its engines.

    Without what only people see: a better progress bar costs nobody a run.
    """
    code = [
        Path(module.__file__)
        for name, module in sorted(sys.modules.items())
        if name.startswith("galgame_asr") and module.__file__
        if not name.startswith("galgame_asr.messages")
    ]
    parts = {
        "inputs": content_hash(inputs),
        "params": {name: str(value) for name, value in params.items()},
        "code": content_hash(code),
        "versions": [version(name) for name in ("torch", "transformers", "funasr")],
    }
    return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()[:16]
