"""The lock of what was downloaded: path, size and SHA-256 of every file, in git.

A file that is in the lock must arrive as it is there; one that is not is added. So
the first download of a pinned revision decides, and every later one is checked
against it, on any machine.
"""

import csv
import hashlib
from dataclasses import dataclass
from pathlib import Path

from galgame_asr.core.files import write_text
from galgame_asr.messages.errors import DataError

COLUMNS = ("path", "bytes", "sha256")


@dataclass(frozen=True)
class File:
    """Size in bytes and SHA-256 (hex) of one file."""

    size: int
    sha256: str


class Lock:
    """The lock file of one source at one revision.

    Raises:
        DataError: the file is not a lock.
    """

    def __init__(self, path: Path, source: str) -> None:
        self.path, self.source = path, source
        self.files: dict[str, File] = {}
        if not path.is_file():
            return
        try:
            # Not by splitlines: U+2028 and the like may stand in names.
            head, *lines = path.read_text(encoding="utf-8-sig").split("\n")
            if head != f"# {source}":
                return  # of another revision: this one starts anew
            for row in csv.DictReader(lines, delimiter="\t"):
                self.files[row["path"]] = File(int(row["bytes"]), row["sha256"])
        except (csv.Error, KeyError, TypeError, ValueError) as error:
            raise DataError(f"{path} is no list of files: {error!r}; restore it with git") from None

    def check(self, name: str, found: File) -> str | None:
        """What is wrong with a file that the lock holds; None if nothing is.

        A file that the lock does not hold is taken up as it is.
        """
        expected = self.files.setdefault(name, found)
        if found == expected:
            return None
        return (
            f"{name} has {found.size} bytes and SHA-256 {found.sha256} instead of "
            f"{expected.size} and {expected.sha256} ({self.path})"
        )

    def save(self) -> None:
        """Write the lock, sorted by path."""
        lines = [f"# {self.source}", "\t".join(COLUMNS)]
        lines += [f"{n}\t{self.files[n].size}\t{self.files[n].sha256}" for n in sorted(self.files)]
        write_text(self.path, "\n".join(lines) + "\n")


def describe(path: Path) -> File:
    """Size and SHA-256 of a file."""
    with path.open("rb") as stream:
        return File(path.stat().st_size, hashlib.file_digest(stream, "sha256").hexdigest())
