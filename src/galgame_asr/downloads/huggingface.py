"""The Hugging Face hub. HF_ENDPOINT names a mirror, HF_TOKEN opens gated repositories."""

import os
from pathlib import Path

from huggingface_hub import HfApi, RepoFile, constants, hf_hub_download
from huggingface_hub.utils.tqdm import disable_progress_bars

from galgame_asr.core.files import remove
from galgame_asr.downloads.listed import Listed


def site() -> str:
    """The address of the hub, or of the mirror."""
    return HfApi().endpoint


def begin(directory: Path) -> None:
    """Remove what a killed download left half-way: no other goes on with it."""
    tidy(directory)


def hint() -> str:
    """What may help where a file did not arrive.

    A mirror passes on that a file is in Xet, and cannot read that itself.
    """
    if "HF_ENDPOINT" not in os.environ or constants.HF_HUB_DISABLE_XET:
        return "run again to go on"
    return "HF_HUB_DISABLE_XET=1 asks for plain files"


def files(repo: str, revision: str, kind: str) -> list[Listed]:
    """All files of a revision."""
    tree = HfApi().list_repo_tree(repo, recursive=True, revision=revision, repo_type=kind)
    return [_listed(file) for file in tree if isinstance(file, RepoFile)]


def _listed(file: RepoFile) -> Listed:
    if file.lfs:  # whose blob in git is a pointer
        return Listed(file.path, file.size, None, file.lfs.sha256)
    return Listed(file.path, file.size, file.blob_id, None)


def fetch(
    repo: str, revision: str, kind: str, file: Listed, directory: Path, *, again: bool
) -> None:
    """Download one file to its path in a directory, which does not hold it.

    `again` where an earlier download of it came wrong.
    """
    disable_progress_bars()  # one for each file; the caller's shows the whole
    hf_hub_download(
        repo, file.path, revision=revision, repo_type=kind, local_dir=directory,
        force_download=again,
    )  # fmt: skip


def tidy(directory: Path) -> None:
    """Remove the hub's own notes, of no use to a finished download."""
    remove(directory / ".cache")
