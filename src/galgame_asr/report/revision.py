"""The revision that is here, and scored utterances of another from DVC's cache or remote."""

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from dvc.api import DVCFileSystem
from dvc.exceptions import DvcException
from dvc.scm import SCM, Base, NoSCM, SCMError

from galgame_asr.messages.errors import ConfigError, DataError


@dataclass(frozen=True)
class State:
    """The revision of the workspace."""

    commit: str | None  # None: no git repository, or no commit in it
    # Nothing that git tracks differs from the commit.
    clean: bool


def state() -> State:
    """The revision of this repository."""
    try:
        return state_of(SCM("."))
    except SCMError:
        return State(None, clean=False)


def state_of(scm: Base) -> State:
    """The revision of a repository.

    Raises:
        SCMError: it has no commit.
    """
    if isinstance(scm, NoSCM):
        return State(None, clean=False)
    return State(scm.get_rev(), clean=not scm.is_dirty(untracked_files=False))


@contextmanager
def scored_tables(revision: str, directory: Path) -> Iterator[Path]:
    """Give a temporary folder with the files that `directory` had in a revision.

    Args:
        revision: a branch, tag, commit or experiment of this repository.
        directory: relative to the repository root, an output of its pipeline.

    Raises:
        ConfigError: there is no such revision.
        DataError: it has no such files, or neither cache nor remote has their content.
    """
    name = directory.as_posix()
    try:
        files = DVCFileSystem(".", rev=revision)
        # Not `exists`, which takes every error for a no.
        paths = sorted(files.find(name))
    except SCMError:
        raise ConfigError(
            f"{revision} is no revision of this repository; "
            "`git log` and `dvc exp list` show those there are"
        ) from None
    if not paths:
        raise DataError(
            f"revision {revision} has no {name}; it was made before utterances were scored one by "
            "one. Check it out in a worktree, run `dvc repro` there, and commit"
        )
    with tempfile.TemporaryDirectory() as temporary:
        for path in paths:
            target = Path(temporary) / Path(path).relative_to(name)
            target.parent.mkdir(parents=True, exist_ok=True)
            try:
                files.get_file(path, str(target))
            except (DvcException, OSError) as error:
                raise DataError(
                    f"{path} of revision {revision} is neither in the cache nor in the remote "
                    f"({error}); `dvc fetch --all-commits {name}` or `dvc pull` at that revision "
                    "brings it"
                ) from None
        yield Path(temporary)
