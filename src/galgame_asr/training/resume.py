"""A scratch directory that an interrupted stage finds again, and nothing else does.

DVC deletes a stage's outputs before it runs, so an unfinished run must live
elsewhere: in .scratch/STAGE/FINGERPRINT/, where the fingerprint covers all that
the result depends on. Other params, data or code have another fingerprint and
start anew; what differs is said.
"""

import hashlib
import json
import os
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass, is_dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

from galgame_asr.core.files import content_hash, locked, remove, write_text
from galgame_asr.core.paths import scratch_root
from galgame_asr.messages.console import log
from galgame_asr.training import states

DEPENDS = "depends.json"  # what the work in a folder depends on


@contextmanager
def scratch(inputs: list[Path], params: Mapping[str, Any]) -> Iterator[Path]:
    """Give the directory of this run's unfinished work; remove it on success.

    Args:
        inputs: files and directories the result depends on.
        params: values it depends on: plain ones, or dataclasses of them.

    Raises:
        DataError: another process is working in it.
    """
    stage = os.environ.get("DVC_STAGE", "manual").replace("/", "_")
    depends = dependencies(inputs, params)
    digest = hashlib.sha256(json.dumps(depends, sort_keys=True).encode()).hexdigest()[:16]
    directory = scratch_root() / stage / digest
    with locked(directory):
        if not (directory / DEPENDS).exists():
            for other in unfinished(stage):
                differ = "; ".join(differences(other.depends, depends))
                log.warning("%s is left where it is, and a new run starts: %s", other, differ)
            write_text(directory / DEPENDS, json.dumps(depends, ensure_ascii=False, indent=1))
        yield directory
        remove(directory)


def dependencies(inputs: list[Path], params: Mapping[str, Any]) -> dict[str, str]:
    """All that a result depends on, by name: inputs, params, code and its engines' versions.

    Without what only people see: a better progress bar costs nobody a run.
    """
    code = [
        Path(module.__file__)
        for name, module in sorted(sys.modules.items())
        if name.startswith("galgame_asr") and module.__file__
        if not name.startswith("galgame_asr.messages")
    ]
    hashes = {f"input {path.name}": content_hash([path]) for path in inputs}
    return {**hashes, **plain(params), "code": content_hash(code)}


def plain(params: Mapping[str, Any]) -> dict[str, str]:
    """What people can read of `dependencies`: params and versions of engines."""
    return {
        **_flat(params),
        **{name: version(name) for name in ("torch", "transformers", "funasr")},
    }


def _flat(values: Mapping[str, Any], before: str = "") -> dict[str, str]:
    flat: dict[str, str] = {}
    for name, value in values.items():
        plain = asdict(value) if is_dataclass(value) and not isinstance(value, type) else value
        if isinstance(plain, Mapping):
            flat |= _flat(plain, f"{before}{name}.")
        else:
            flat[f"{before}{name}"] = str(plain)
    return flat


def differences(before: Mapping[str, str], now: Mapping[str, str]) -> list[str]:
    """What differs, in words; hashes say nothing to people."""
    told = []
    for name in sorted(before.keys() | now.keys()):
        first, second = before.get(name, "absent"), now.get(name, "absent")
        if first != second:
            told.append(
                f"{name} changed" if _is_hash(name) else f"{name} was {first} and is {second}"
            )
    return told


def _is_hash(name: str) -> bool:
    return name == "code" or name.startswith("input ")


@dataclass(frozen=True)
class Unfinished:
    """Work that an interrupted stage left."""

    directory: Path
    depends: dict[str, str]

    @property
    def name(self) -> str:
        """STAGE/FINGERPRINT."""
        return f"{self.directory.parent.name}/{self.directory.name}"

    @property
    def plain(self) -> dict[str, str]:
        """What people can read of `depends`."""
        return {name: value for name, value in self.depends.items() if not _is_hash(name)}

    @property
    def step(self) -> int:
        """The step of its newest state; 0 if it has none."""
        return states.step(states.newest(self.directory))

    @property
    def size_bytes(self) -> int:
        """Of all its files, some of which work that goes on removes meanwhile."""
        # Not `rglob`, which stops at a folder that was removed.
        files = (Path(at, name) for at, _, names in os.walk(self.directory) for name in names)
        total = 0
        for file in files:
            with suppress(FileNotFoundError):
                total += file.stat().st_size
        return total

    def __str__(self) -> str:
        return f"unfinished work {self.name} (step {self.step})"


def unfinished(stage: str = "*") -> list[Unfinished]:
    """The unfinished work of a stage, or of all."""
    found = []
    for file in sorted(scratch_root().glob(f"{stage}/*/{DEPENDS}")):
        with suppress(FileNotFoundError):  # it ends just now
            found.append(Unfinished(file.parent, json.loads(file.read_text(encoding="utf-8"))))
    return found
