"""Downloads from the Hugging Face hub: a pinned revision, complete or not at all."""

import fnmatch
import hashlib
from collections.abc import Sequence
from pathlib import Path
from typing import Literal

from huggingface_hub import HfApi, RepoFile, snapshot_download

from galgame_asr.console import log
from galgame_asr.errors import DataError
from galgame_asr.files import remove


def download(
    repo: str,
    revision: str,
    directory: Path,
    *,
    kind: Literal["model", "dataset"],
    patterns: Sequence[str] = ("*",),
) -> None:
    """Download the files of a repository that match shell patterns.

    HF_TOKEN opens gated repositories, HF_HOME moves the cache.

    Raises:
        DataError: the hub cannot be reached, the repository or revision does not
            exist, no file matches, or a file did not arrive whole.
    """
    where = f"{kind} {repo} at {revision[:12]}"
    try:
        # Asked first: without a connection, snapshot_download takes a folder with any one
        # file in it for a finished download.
        tree = HfApi().list_repo_tree(repo, recursive=True, revision=revision, repo_type=kind)
        wanted = [
            file
            for file in tree
            if isinstance(file, RepoFile) and any(fnmatch.fnmatch(file.path, p) for p in patterns)
        ]
        if not wanted:
            raise DataError(f"{where} has no file that matches {', '.join(patterns)}")
        total_gb = sum(file.size for file in wanted) / 1e9
        log.info("%s: %d files, %.2f GB", where, len(wanted), total_gb)
        snapshot_download(
            repo,
            revision=revision,
            repo_type=kind,
            local_dir=directory,
            allow_patterns=[file.path for file in wanted],
        )
    except DataError:
        raise
    except Exception as error:  # hub, HTTP and file errors share no base
        raise DataError(f"{where} cannot be downloaded: {error}") from error
    # It holds times, so a tracked folder would never look the same twice.
    remove(directory / ".cache")
    for file in wanted:
        _verify(directory / file.path, file)


def _verify(path: Path, file: RepoFile) -> None:
    size = path.stat().st_size if path.is_file() else None
    if size != file.size:
        raise DataError(f"{path} has {size} bytes instead of {file.size}; run the stage again")
    if file.lfs is not None:
        with path.open("rb") as stream:
            digest = hashlib.file_digest(stream, "sha256").hexdigest()
        if digest != file.lfs.sha256:
            raise DataError(f"{path} has sha256 {digest} instead of {file.lfs.sha256}; run again")
