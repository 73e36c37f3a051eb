"""Does a DVC remote hold what this workspace needs, byte for byte? DVC looks at names alone.

An object's name is the MD5 of its content, so everything can be checked. On S3 the
listing is enough: the ETag of an object uploaded at once is its MD5, and that of one
uploaded in parts is the MD5 of the parts' MD5s, which the local cache can be asked for
(https://docs.aws.amazon.com/AmazonS3/latest/API/API_Object.html). Where the listing does
not tell (local remotes, encryption with KMS), the object is read.
"""

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from dvc.repo import Repo
from dvc_data.hashfile.hash_info import HashInfo
from dvc_data.hashfile.tree import Tree

from galgame_asr.console import Progress, log
from galgame_asr.errors import DataError

BLOCK = 1 << 20
# Sizes of parts that clients upload: s3fs and DVC, the AWS command line, rclone, minio.
PART_SIZES = [size << 20 for size in (50, 8, 5, 16, 64, 100, 128)]


@dataclass(frozen=True)
class Fault:
    """One object that the remote does not hold as it should."""

    name: str  # the output, and for a folder the file in it
    oid: str  # DVC's name for the object
    problem: str
    repairable: bool  # the local cache has a good copy

    def __str__(self) -> str:
        """One line for a report."""
        kept = "" if self.repairable else "; the local cache has no good copy"
        return f"{self.name} ({self.oid}): {self.problem}{kept}"


def check(remote: str | None = None, *, all_commits: bool = False, repair: bool = False) -> None:
    """Compare a remote with what this repository's outputs need; the report goes to the log.

    Args:
        remote: its name in .dvc/config; None is the default one.
        all_commits: what any commit needs, not only the workspace.
        repair: delete what is corrupt and upload it, and what is missing, from the
            local cache.

    Raises:
        DataError: the remote cannot be read, or objects are missing or corrupt and
            were not repaired; the message names them.
    """
    with Repo(".") as repo:
        try:
            storage = _Storage(repo, remote)
            needed = dict(storage.needed(all_commits))
            faults = list(storage.faults(needed))
        except DataError:
            raise
        except Exception as error:  # DVC, botocore and file systems share no base
            raise DataError(f"remote {remote or 'by default'} cannot be read: {error}") from error
        log.info("%d objects needed, %d at fault in %s", len(needed), len(faults), storage.where)
        left = [fault for fault in faults if not (repair and fault.repairable)]
        if repair:
            for fault in faults:
                if fault.repairable:
                    storage.upload(fault.oid)
                    log.info("repaired %s", fault)
    if left:
        lines = "\n".join(f"  {fault}" for fault in left)
        advice = "" if repair else "\n`galgame-asr fsck --repair` uploads what the cache has"
        raise DataError(f"{len(left)} objects are at fault in {storage.where}:\n{lines}{advice}")


class _Storage:
    """A remote, the local cache, and how to tell whether they agree."""

    def __init__(self, repo: Repo, remote: str | None) -> None:
        self.repo = repo
        self.odb = repo.cloud.get_remote_odb(remote, "fsck")
        self.fs = self.odb.fs
        self.where = self.fs.unstrip_protocol(self.odb.path)
        self.cache = Path(repo.cache.local.path)

    def needed(self, all_commits: bool) -> Iterator[tuple[str, str]]:
        """Objects by their id, with a name for people."""
        for revision in self.repo.brancher(all_commits=all_commits):
            at = "" if revision in ("", "workspace") else f" at {revision[:8]}"
            for out in self.repo.index.outs:
                oid = out.hash_info.value if out.use_cache and out.hash_info else None
                if oid is None:
                    continue
                yield oid, f"{out}{at}"
                if oid.endswith(".dir"):
                    for key, _, inside in self._tree(oid, str(out)):
                        yield inside.value, f"{out}/{'/'.join(key)}{at}"

    def _tree(self, oid: str, name: str) -> Any:
        """The list of a folder's files, from the cache or else from the remote."""
        for odb in (self.repo.cache.local, self.odb):
            path = odb.oid_to_path(oid)
            if odb.fs.exists(path) and _md5(odb.fs.open(path, "rb")) == _plain(oid):
                return Tree.load(odb, HashInfo("md5", oid))
        raise DataError(
            f"the list of files of {name} ({oid}) is neither in the cache nor whole in the remote"
        )

    def faults(self, needed: dict[str, str]) -> Iterator[Fault]:
        """The objects that are missing or corrupt."""
        listed = self._listing()
        with Progress("compare", total=len(needed), unit="objects") as progress:
            for oid, name in needed.items():
                problem = self._problem(oid, listed)
                if problem:
                    yield Fault(name, oid, problem, self._cached(oid) is not None)
                progress.update(1)

    def _listing(self) -> dict[str, dict[str, Any]]:
        if not self.fs.exists(self.odb.path):
            return {}
        self.fs.fs.invalidate_cache()  # of what an earlier call listed
        found: dict[str, dict[str, Any]] = self.fs.fs.find(self.odb.path, detail=True)
        return {"".join(path.rsplit("/", 2)[-2:]): info for path, info in found.items()}

    def _problem(self, oid: str, listed: dict[str, dict[str, Any]]) -> str | None:
        if oid not in listed:
            return "missing"
        size, tag = listed[oid].get("size"), str(listed[oid].get("ETag", "")).strip('"')
        cached = self._cached(oid)
        if cached and size != cached.stat().st_size:
            return f"{size} bytes instead of {cached.stat().st_size}"
        if tag == _plain(oid) or (cached and "-" in tag and _multipart(cached, tag)):
            return None
        found = _md5(self.fs.open(self.odb.oid_to_path(oid), "rb"))
        return None if found == _plain(oid) else f"content has MD5 {found}"

    def _cached(self, oid: str) -> Path | None:
        """The object in the local cache, if it is there and whole."""
        path = self.cache / oid[:2] / oid[2:]
        if path.is_file() and _md5(path.open("rb")) == _plain(oid):
            return path
        return None

    def upload(self, oid: str) -> None:
        """Replace the remote's object with the cache's."""
        path = self.odb.oid_to_path(oid)
        if self.fs.exists(path):
            self.fs.remove(path)
        self.fs.makedirs(self.fs.parent(path), exist_ok=True)
        self.fs.put_file(str(self.cache / oid[:2] / oid[2:]), path)


def _plain(oid: str) -> str:
    return oid.removesuffix(".dir")


def _md5(stream: Any) -> str:
    with stream:
        digest = hashlib.md5()
        while block := stream.read(BLOCK):
            digest.update(block)
    return digest.hexdigest()


def _multipart(path: Path, tag: str) -> bool:
    """Whether a file, uploaded in parts of a usual size, has an ETag like DIGEST-COUNT."""
    count = int(tag.rpartition("-")[2])
    for size in PART_SIZES:
        if -(-path.stat().st_size // size) != count:
            continue
        with path.open("rb") as stream:
            parts = [hashlib.md5(stream.read(size)).digest() for _ in range(count)]
        if f"{hashlib.md5(b''.join(parts)).hexdigest()}-{count}" == tag:
            return True
    return False
