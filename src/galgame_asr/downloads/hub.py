"""Downloads from the Hugging Face hub: a pinned revision, complete or not at all."""

import fnmatch
import hashlib
import json
import os
import shutil
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Literal

from huggingface_hub import HfApi, RepoFile, constants, hf_hub_download
from huggingface_hub.utils.tqdm import disable_progress_bars

from galgame_asr.core.files import locked, remove, write_text
from galgame_asr.core.paths import SOURCES
from galgame_asr.downloads import kept
from galgame_asr.downloads.lock import File, Lock, describe
from galgame_asr.messages.console import Progress, log
from galgame_asr.messages.errors import DataError

Kind = Literal["model", "dataset"]
CONNECTIONS = 4


@dataclass(frozen=True)
class Listed:
    """A file as the hub describes it."""

    path: str
    size: int
    git_hash: str  # of the file, or for one in LFS of its pointer
    sha256: str | None  # of a file in LFS


def download(
    repo: str, revision: str, *, kind: Kind, patterns: Sequence[str] = ("*",)
) -> dict[str, Path]:
    """Download the files of a repository that match shell patterns; say where each lies.

    They stay there (see `kept`): what an earlier download left, even an interrupted one,
    is checked, and only what is missing or damaged is asked for; if nothing is, nor is
    the hub. Every file is checked against the lock in sources/, which is written for a
    new revision; one that is short or altered is downloaded once more. HF_TOKEN opens
    gated repositories, HF_ENDPOINT names a mirror.

    Raises:
        DataError: the hub cannot be reached, and files are not here; the repository or
            revision does not exist; a pattern matches no file; the disk is too full; a
            file did not arrive as the hub and the lock describe it.
    """
    where = f"{kind} {repo} at {revision}"
    name = repo.replace("/", "--")
    lock = Lock(SOURCES / f"{name}.tsv", where)
    directory = kept.place(f"{kind}--{name}--{revision}")
    with locked(directory):
        # The hub's notes, and what a killed download left half-way: no other goes on with it.
        remove(directory / ".cache")
        files = _list(repo, revision, kind, directory.with_name(f"{directory.name}.json"), where)
        wanted = _matching(files, patterns, where)
        missing = [file for file in wanted if not _is_there(directory / file.path, file.size)]
        _refuse_full_disk(directory, sum(file.size for file in missing), where)
        log.info("%s: %d files, %d of them to be downloaded", where, len(wanted), len(missing))
        disable_progress_bars()  # one for each file; ours shows the whole
        megabytes = round(sum(file.size for file in wanted) / 1e6)
        with (
            Progress(f"download {name}", total=megabytes, unit="MB") as progress,
            ThreadPoolExecutor(CONNECTIONS) as threads,
        ):

            def fetch(file: Listed) -> None:
                _fetch(repo, revision, kind, directory, file, lock)
                progress.update(round(file.size / 1e6), file.path)

            list(threads.map(fetch, wanted))
        lock.save()
        remove(directory / ".cache")
    return {file.path: directory / file.path for file in wanted}


def names(repo: str, revision: str, *, kind: Kind, patterns: Sequence[str]) -> list[str]:
    """Paths in a repository that match shell patterns; nothing is downloaded.

    Raises:
        DataError: the hub cannot be reached and was never asked; a pattern matches no file.
    """
    where = f"{kind} {repo} at {revision}"
    directory = kept.place(f"{kind}--{repo.replace('/', '--')}--{revision}")
    with locked(directory):
        files = _list(repo, revision, kind, directory.with_name(f"{directory.name}.json"), where)
    return [file.path for file in _matching(files, patterns, where)]


def _list(repo: str, revision: str, kind: Kind, known: Path, where: str) -> list[Listed]:
    """All files of a revision, which never change: asked for once, then known from a file."""
    if not known.exists():
        try:
            tree = HfApi().list_repo_tree(repo, recursive=True, revision=revision, repo_type=kind)
            files = [_listed(file) for file in tree if isinstance(file, RepoFile)]
        except Exception as error:  # hub, HTTP and connection errors share no base
            raise DataError(f"{where} cannot be listed: {error}") from error
        write_text(known, json.dumps([asdict(file) for file in files], indent=1) + "\n")
    return [Listed(**values) for values in json.loads(known.read_text(encoding="utf-8"))]


def _listed(file: RepoFile) -> Listed:
    return Listed(file.path, file.size, file.blob_id, file.lfs.sha256 if file.lfs else None)


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


def _fetch(repo: str, revision: str, kind: Kind, directory: Path, file: Listed, lock: Lock) -> None:
    """Download one file unless it is there, and once more if it is not as it should be."""
    path = directory / file.path
    wrong: str | None = None
    for _ in range(2):
        if not _is_there(path, file.size):
            remove(path)
            try:
                hf_hub_download(
                    repo, file.path, revision=revision, repo_type=kind, local_dir=directory,
                    force_download=wrong is not None,
                )  # fmt: skip
            except Exception as error:  # as above
                raise DataError(
                    f"{kind} {repo}: {file.path} did not arrive: {error}{_hint()}"
                ) from error
        found = describe(path)
        wrong = _against_hub(path, found, file) or lock.check(file.path, found)
        if wrong is None:
            return
        log.info("%s; downloading it again", wrong)
        remove(path)
    raise DataError(f"{kind} {repo}: {wrong}")


def _hint() -> str:
    """What may help with a mirror, which passes on that a file is in Xet and cannot read that."""
    if "HF_ENDPOINT" not in os.environ or constants.HF_HUB_DISABLE_XET:
        return ""
    return "; HF_HUB_DISABLE_XET=1 asks for plain files"


def _against_hub(path: Path, found: File, file: Listed) -> str | None:
    """What differs from the hub's own description; None if nothing."""
    if found.size != file.size:
        return f"{file.path} has {found.size} bytes instead of {file.size}"
    if file.sha256 is not None:
        kind, digest, expected = "SHA-256", found.sha256, file.sha256
    else:  # git's hash of a blob: of a header and the content; only small files are no LFS files
        blob = b"blob %d\0" % found.size + path.read_bytes()
        kind, digest, expected = "git hash", hashlib.sha1(blob).hexdigest(), file.git_hash
    if digest != expected:
        return f"{file.path} has {kind} {digest} instead of {expected}"
    return None
