"""Saved states of a phase: what a run that was interrupted goes on from."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from galgame_asr.core.files import atomic_directory, remove
from galgame_asr.messages.errors import DataError


@contextmanager
def writing(path: Path) -> Iterator[Path]:
    """Give an empty directory that becomes `path` once all its bytes are on the disk.

    Its name is there too at the end, so that what it takes the place of can go.

    Raises:
        DataError: the disk is full, or the like; the message says what to do.
    """
    try:
        with atomic_directory(path) as directory:
            yield directory
            for part in (*directory.rglob("*"), directory):
                _sync(part)
        _sync(path.parent)
    except (OSError, RuntimeError) as error:
        # torch's writer raises a RuntimeError whatever the system said.
        if isinstance(error, RuntimeError) and "inline_container" not in str(error):
            raise
        raise DataError(
            f"{path} cannot be written ({error}); make room, and the next run goes on from "
            "the last saved state"
        ) from error


def _sync(path: Path) -> None:
    """Have the system write a file, or a directory's names, to the disk."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def path(directory: Path, step: int) -> Path:
    """Where the state after a step lies."""
    return directory / f"state-{step}"


def newest(directory: Path) -> Path | None:
    """The state that a run goes on from."""
    return max(directory.glob("state-*/"), key=step, default=None)


def step(state: Path | None) -> int:
    """The step that a state is of; 0 without one."""
    return int(state.name.split("-")[-1]) if state else 0


def remove_others(directory: Path, *kept: str) -> None:
    """Remove states, best models and what was half written, but for the names given."""
    for pattern in ("state-*", "best-*", ".*.tmp"):
        for found in directory.glob(pattern):
            if found.name not in kept:
                remove(found)
