"""A file as a hub describes it."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Listed:
    """Path in its repository, size in bytes, and what its content hashes to."""

    path: str
    size: int
    git_hash: str | None  # of the file as a blob of git, where the hub tells it
    sha256: str | None
