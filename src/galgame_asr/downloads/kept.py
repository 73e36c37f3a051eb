"""Downloads stay in the scratch folder, and outputs are links to them.

DVC deletes the outputs of a stage before it runs it. What stays here is checked and linked
again, and nothing is downloaded. It takes no further room on the disk: DVC links its cache
to the same file. So nobody may write into a kept file, only put another in its place.
"""

import hashlib
from collections.abc import Mapping
from pathlib import Path

from galgame_asr.core.files import atomic_path, link_or_copy, remove
from galgame_asr.core.paths import scratch_root
from galgame_asr.downloads.lock import Lock, describe
from galgame_asr.messages.console import log


def place(name: str, *key: object) -> Path:
    """The folder of a source's downloads; the key holds whatever makes them others."""
    digest = f"--{hashlib.sha256(repr(key).encode()).hexdigest()[:8]}" if key else ""
    return scratch_root() / "downloads" / f"{name}{digest}"


def link(files: Mapping[str, Path], directory: Path) -> None:
    """Put kept files into a directory under relative names; copies where the disk cannot link."""
    copied = False
    for name, file in files.items():
        target = directory / name
        with atomic_path(target) as temporary:
            error = link_or_copy(file, temporary)
        if error and not copied:
            log.info("%s is copied, since it cannot be linked: %s", directory, error)
            copied = True


class Shards:
    """The shards that were made of a download, in its folder, each with its size and SHA-256."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._lock = Lock(directory / "shards.tsv", directory.name)

    def add(self, *names: str) -> None:
        """Record shards as finished."""
        for name in names:
            self._lock.files[name] = describe(self._directory / name)
        self._lock.save()

    def whole(self, prefix: str) -> bool:
        """Whether shards PREFIX-NUMBER.tar were recorded and are as they were.

        The first that is not goes, and those after it, which are numbered from there.
        """
        names = sorted(name for name in self._lock.files if name.startswith(f"{prefix}-"))
        for number, name in enumerate(names):
            path = self._directory / name
            if path.is_file() and describe(path) == self._lock.files[name]:
                continue
            log.info("%s is damaged or gone; making it anew", path)
            for other in names[number:]:
                remove(self._directory / other)
            for other in names:
                del self._lock.files[other]
            self._lock.save()
            return False
        return bool(names)
