"""Downloads from a hub: a pinned revision, complete or not at all."""

import fnmatch
import hashlib
import json
import shutil
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict
from pathlib import Path
from typing import Literal, Protocol

import requests

from galgame_asr.core.files import locked, remove, write_text
from galgame_asr.core.paths import SOURCES
from galgame_asr.downloads import huggingface, kept, modelscope
from galgame_asr.downloads.listed import Listed
from galgame_asr.downloads.lock import File, Lock, describe
from galgame_asr.messages.console import Progress, log
from galgame_asr.messages.errors import DataError

Kind = Literal["model", "dataset"]
Source = Literal["huggingface", "modelscope"]
CONNECTIONS = 4
TIMEOUT_S = 10  # of a question


class Hub(Protocol):
    """What each of the two modules has; their errors share no base."""

    def site(self) -> str: ...  # noqa: D102

    def begin(self, directory: Path, /) -> None: ...  # noqa: D102

    def hint(self) -> str: ...  # noqa: D102

    def files(self, repo: str, revision: str, kind: str) -> list[Listed]: ...  # noqa: D102

    def fetch(  # noqa: D102
        self, repo: str, revision: str, kind: str, file: Listed, directory: Path, *, again: bool
    ) -> None: ...

    def tidy(self, directory: Path, /) -> None: ...  # noqa: D102


HUBS: dict[Source, Hub] = {"huggingface": huggingface, "modelscope": modelscope}


def answers(source: Source) -> bool:
    """Whether a hub can be reached; whatever it says."""
    try:
        requests.head(HUBS[source].site(), timeout=TIMEOUT_S)
    except requests.RequestException as error:
        log.info("%s cannot be reached: %s", HUBS[source].site(), error)
        return False
    return True


def download(
    repo: str,
    revision: str,
    *,
    kind: Kind,
    patterns: Sequence[str] = ("*",),
    source: Source = "huggingface",
) -> dict[str, Path]:
    """Download the files of a repository that match shell patterns; say where each lies.

    They stay there (see `kept`): what an earlier download left, even an interrupted one,
    is checked, and only what is missing or damaged is asked for; if nothing is, nor is
    the hub. Every file is checked against the lock in sources/, which is written for a
    new revision; one that is short or altered is downloaded once more. What the hub itself
    says that it has is compared before anything is downloaded.

    Raises:
        DataError: the hub cannot be reached, and files are not here; the repository or
            revision does not exist; a pattern matches no file; the disk is too full; a
            file is not, or did not arrive, as the hub and the lock describe it.
    """
    where = f"{kind} {repo} at {revision}"
    name = repo.replace("/", "--")
    if source == "modelscope":
        where, name = f"{where} of ModelScope", f"modelscope--{name}"
    hub, lock = HUBS[source], Lock(SOURCES / f"{name}.tsv", where)
    directory = kept.place(f"{kind}--{name}--{revision.replace('/', '--')}")
    with locked(directory):
        hub.begin(directory)
        files = _list(hub, (repo, revision, kind), directory, where)
        wanted = _matching(files, patterns, where)
        _refuse_others(wanted, lock, where)
        missing = [file for file in wanted if not _is_there(directory / file.path, file.size)]
        _refuse_full_disk(directory, sum(file.size for file in missing), where)
        log.info("%s: %d files, %d of them to be downloaded", where, len(wanted), len(missing))
        megabytes = round(sum(file.size for file in wanted) / 1e6)
        with (
            Progress(f"download {name}", total=megabytes, unit="MB") as progress,
            ThreadPoolExecutor(CONNECTIONS) as threads,
        ):

            def fetch(file: Listed) -> None:
                _fetch(hub, (repo, revision, kind), directory, file, lock)
                progress.update(round(file.size / 1e6), file.path)

            list(threads.map(fetch, wanted))
        lock.save()
        hub.tidy(directory)
    return {file.path: directory / file.path for file in wanted}


def names(repo: str, revision: str, *, kind: Kind, patterns: Sequence[str]) -> list[str]:
    """Paths in a repository of the Hugging Face hub that match shell patterns; none is downloaded.

    Raises:
        DataError: the hub cannot be reached and was never asked; a pattern matches no file.
    """
    where = f"{kind} {repo} at {revision}"
    directory = kept.place(f"{kind}--{repo.replace('/', '--')}--{revision.replace('/', '--')}")
    with locked(directory):
        files = _list(huggingface, (repo, revision, kind), directory, where)
    return [file.path for file in _matching(files, patterns, where)]


def _list(hub: Hub, place: tuple[str, str, str], directory: Path, where: str) -> list[Listed]:
    """All files of a revision: asked for once, then known from a file.

    A commit never changes, and what a branch or tag once had stays what is asked for.
    """
    known = directory.with_name(f"{directory.name}.json")
    if not known.exists():
        try:
            files = hub.files(*place)
        except Exception as error:  # hub, HTTP and connection errors share no base
            raise DataError(f"{where} cannot be listed: {error}") from error
        write_text(known, json.dumps([asdict(file) for file in files], indent=1) + "\n")
    files = [Listed(**values) for values in json.loads(known.read_text(encoding="utf-8"))]
    for file in files:
        if not (directory / file.path).resolve().is_relative_to(directory.resolve()):
            raise DataError(f"{where} has a file {file.path!r}, which would lie outside of it")
    return files


def _refuse_others(wanted: Sequence[Listed], lock: Lock, where: str) -> None:
    """Refuse files that the hub says are others than those of the lock."""
    for file in wanted:
        if file.path in lock.files and file.sha256:
            wrong = lock.check(file.path, File(file.size, file.sha256))
            if wrong:
                raise DataError(f"{where}: the hub says that {wrong}")


def _matching(files: list[Listed], patterns: Sequence[str], where: str) -> list[Listed]:
    found = [file for file in files if any(fnmatch.fnmatch(file.path, p) for p in patterns)]
    for pattern in patterns:
        if not any(fnmatch.fnmatch(file.path, pattern) for file in found):
            raise DataError(f"{where} has no file that matches {pattern}")
    return found


def _is_there(path: Path, size: int) -> bool:
    return path.is_file() and path.stat().st_size == size


def _refuse_full_disk(directory: Path, needed: int, where: str) -> None:
    free = shutil.disk_usage(directory).free
    if needed > free:
        raise DataError(
            f"{where} needs {needed / 1e9:.1f} GB more; the disk of {directory} has "
            f"{free / 1e9:.1f} GB free"
        )


def _fetch(
    hub: Hub, place: tuple[str, str, str], directory: Path, file: Listed, lock: Lock
) -> None:
    """Download one file unless it is there, and once more if it is not as it should be."""
    repo, _, kind = place
    path = directory / file.path
    wrong: str | None = None
    for _ in range(2):
        if not _is_there(path, file.size):
            remove(path)
            try:
                hub.fetch(*place, file, directory, again=wrong is not None)
            except Exception as error:  # as above
                raise DataError(
                    f"{kind} {repo}: {file.path} did not arrive: {error}; {hub.hint()}"
                ) from error
        found = describe(path)
        wrong = _against_hub(path, found, file) or lock.check(file.path, found)
        if wrong is None:
            return
        log.info("%s; downloading it again", wrong)
        remove(path)
    raise DataError(f"{kind} {repo}: {wrong}")


def _against_hub(path: Path, found: File, file: Listed) -> str | None:
    """What differs from the hub's own description; None if nothing."""
    if found.size != file.size:
        return f"{file.path} has {found.size} bytes instead of {file.size}"
    if file.sha256 is not None:
        kind, digest, expected = "SHA-256", found.sha256, file.sha256
    elif (
        file.git_hash is not None
    ):  # of a header and the content; only small files are no LFS files
        blob = b"blob %d\0" % found.size + path.read_bytes()
        kind, digest, expected = "git hash", hashlib.sha1(blob).hexdigest(), file.git_hash
    else:
        return None
    if digest != expected:
        return f"{file.path} has {kind} {digest} instead of {expected}"
    return None
