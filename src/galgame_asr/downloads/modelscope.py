"""ModelScope. MODELSCOPE_ENDPOINT names another site, MODELSCOPE_API_TOKEN opens what is private.

Through `modelscope_hub`, which is what the package `modelscope` downloads by.
"""

from functools import partial
from pathlib import Path

from modelscope_hub import HubApi, HubConfig, _download
from tqdm.auto import tqdm

from galgame_asr.downloads.listed import Listed

# It has no switch for its bar for each file; the caller's shows the whole.
vars(_download)["tqdm"] = partial(tqdm, disable=True)


def files(repo: str, revision: str, kind: str) -> list[Listed]:
    """All files of a revision."""
    found = _api().list_repo_files(repo, kind, revision=revision)
    # Its `blob_id` may be a SHA-256 too.
    return [Listed(file.path, file.size, None, file.sha256) for file in found if not file.is_dir]


def fetch(
    repo: str, revision: str, kind: str, file: Listed, directory: Path, *, again: bool
) -> None:
    """Download one file to its path in a directory, which does not hold it.

    What arrived before an interruption waits beside it. Its hash is left to the caller,
    who names both.
    """
    _api().download_file(
        repo, kind, file.path, revision=revision, local_dir=directory, force=again,
        file_size=file.size,
    )  # fmt: skip


def _api() -> HubApi:
    """As the environment says now, not as it was at the process's first call."""
    return HubApi(config=HubConfig())


def tidy(_directory: Path) -> None:
    """Nothing: it keeps its notes elsewhere."""


def site() -> str:
    """Its address."""
    return str(HubConfig().endpoint)


def begin(_directory: Path) -> None:
    """Nothing: what arrived before an interruption is gone on with."""


def hint() -> str:
    """What may help where a file did not arrive."""
    return "run again to go on"
