"""Downloads over HTTP that go on where they were interrupted."""

import hashlib
from pathlib import Path

import requests

from galgame_asr.core.files import remove
from galgame_asr.messages.console import Progress, log
from galgame_asr.messages.errors import DataError

TIMEOUT_S = 60
BLOCK = 1 << 16


def download(url: str, path: Path) -> None:
    """Download a file to `path` unless it is there; its beginning waits in PATH.part.

    Raises:
        DataError: the server cannot be reached, has no such file, or ended early.
    """
    if path.is_file():
        return
    part, tag = path.with_name(f"{path.name}.part"), path.with_name(f"{path.name}.etag")
    path.parent.mkdir(parents=True, exist_ok=True)
    try:
        _append(url, part, tag)
    except requests.RequestException as error:
        raise DataError(f"{url} did not arrive: {error}; run again to go on") from error
    part.replace(path)
    remove(tag)


def _append(url: str, part: Path, tag: Path) -> None:
    """Download what `part` lacks; from the start if the server's file is another one by now."""
    headers = {"Accept-Encoding": "identity"}  # sizes are those of the file
    have = part.stat().st_size if part.is_file() and tag.is_file() else 0
    if have:
        headers |= {"Range": f"bytes={have}-", "If-Range": tag.read_text()}
    with requests.get(url, headers=headers, stream=True, timeout=TIMEOUT_S) as response:
        if response.status_code == requests.codes.requested_range_not_satisfiable:
            remove(part)
            _append(url, part, tag)
            return
        response.raise_for_status()
        if response.status_code != requests.codes.partial_content:
            have = 0
        mark = response.headers.get("ETag") or response.headers.get("Last-Modified")
        remove(tag)
        if mark and not mark.startswith("W/"):  # a weak mark does not promise equal bytes
            tag.write_text(mark)
        size = response.headers.get("Content-Length")
        total = have + int(size) if size else None
        if have:
            log.info("%s goes on at byte %d", url, have)
        megabytes = round(total / 1e6) if total else None
        with (
            Progress(f"download {part.stem}", total=megabytes, unit="MB") as progress,
            part.open("ab" if have else "wb") as stream,
        ):
            for block in response.iter_content(BLOCK):
                stream.write(block)
                have += len(block)
                progress.update(round(have / 1e6) - progress.done)
    if total is not None and have != total:
        raise DataError(f"{url} ended at byte {have} of {total}; run again to go on")


def md5(path: Path) -> str:
    """The MD5 of a file, in hex."""
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "md5").hexdigest()
