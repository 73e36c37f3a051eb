"""Scored utterances of another revision, from DVC's cache or remote."""

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from dvc.api import DVCFileSystem
from dvc.exceptions import DvcException
from dvc.scm import SCMError

from galgame_asr.messages.errors import ConfigError, DataError


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
