"""Does a DVC remote hold what this workspace needs, byte for byte? DVC looks at names alone.

An object's name is the MD5 of its content, so everything can be checked. On S3 the
listing is enough: the ETag of an object uploaded at once is its MD5, and that of one
uploaded in parts is the MD5 of the parts' MD5s, which the local cache can be asked for
(https://docs.aws.amazon.com/AmazonS3/latest/API/API_Object.html). A machine that one may
log in to computes MD5s itself. Where neither tells (folders, encryption with KMS, a machine
that allows SFTP alone), the object is read.

Remotes are reached through DVC's own FileSystem alone: what lies beneath differs (a
folder's `find` gives no sizes), and every kind of remote that DVC knows has that one.
"""

import hashlib
import shlex
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from dvc.repo import Repo
from dvc_data.hashfile.hash_info import HashInfo
from dvc_data.hashfile.tree import Tree

from galgame_asr.messages.console import Progress, log
from galgame_asr.messages.errors import ConfigError, DataError

# Of an object: size, on S3 also ETag, or why it cannot be had.
Info = dict[str, Any] | Exception

BLOCK = 1 << 20
AT_ONCE = 20  # objects that one command on a remote's machine reads
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
        ConfigError: .dvc/config has no such remote.
        DataError: the remote cannot be read or written, or objects are missing or
            corrupt and were not repaired; the message names them.
    """
    with Repo(".") as repo:
        name = _name(repo, remote)
        with _explained(f"remote {name} cannot be read"):
            storage = _Storage(repo, name)
            needed = storage.needed(all_commits)
            present = storage.present(needed)
            faults = list(storage.faults(needed, present))
        log.info("%d objects needed, %d at fault in %s", len(needed), len(faults), storage.where)
        repairable = [fault for fault in faults if fault.repairable]
        if repair:
            for fault in repairable:
                with _explained(f"{fault.name} ({fault.oid}) cannot be written to {name}"):
                    storage.upload(fault.oid)
                log.info("repaired %s", fault)
    left = [fault for fault in faults if not (repair and fault.repairable)]
    if left:
        lines = "\n".join(f"  {fault}" for fault in left)
        # DVC fills no gaps where it once pushed all; it pushes all to where nothing is.
        way = "`galgame-asr fsck --repair`" if present else "`make push`"
        advice = f"\n{way} uploads what the cache has" if repairable and not repair else ""
        raise DataError(f"{len(left)} objects are at fault in {storage.where}:\n{lines}{advice}")


def _name(repo: Repo, remote: str | None) -> str:
    """The name of a remote that .dvc/config has."""
    name: str | None = remote or repo.config["core"].get("remote")
    if name is None or name not in repo.config["remote"]:
        sought = f"remote {name}" if name else "default remote"
        found = ", ".join(sorted(repo.config["remote"])) or "none"
        raise ConfigError(
            f".dvc/config has no {sought}; its remotes: {found}; `make remote URL=...` adds one"
        )
    return name


@contextmanager
def _explained(what: str) -> Iterator[None]:
    try:
        yield
    except Exception as error:  # DVC, botocore and file systems share no base
        raise DataError(f"{what}: {error}") from error


class _Storage:
    """A remote, the local cache, and how to tell whether they agree."""

    def __init__(self, repo: Repo, remote: str) -> None:
        self.repo = repo
        self.odb = repo.cloud.get_remote_odb(remote, "fsck")
        self.fs = self.odb.fs
        self.where = self.fs.unstrip_protocol(self.odb.path)
        self.cache = repo.cache.local

    def needed(self, all_commits: bool) -> dict[str, str]:
        """Objects by their id, with a name for people."""
        found: dict[str, str] = {}
        for revision in self.repo.brancher(all_commits=all_commits):
            at = "" if revision in ("", "workspace") else f" at {revision[:8]}"
            for out in self.repo.index.outs:
                oid = out.hash_info.value if out.use_cache and out.hash_info else None
                if oid is None or oid in found:
                    continue
                found[oid] = f"{out}{at}"
                if oid.endswith(".dir"):
                    tree = self._tree(oid)
                    if tree is None:  # so the list will be at fault, and its files are unknown
                        found[oid] = f"{out} and all that is in it{at}"
                    for key, _, inside in tree or ():
                        found.setdefault(inside.value, f"{out}/{'/'.join(key)}{at}")
        return found

    def _tree(self, oid: str) -> Tree | None:
        """The list of a folder's files, if the cache or the remote has it whole."""
        for odb in (self.cache, self.odb):
            if odb.exists(oid) and _md5(odb.fs.open(odb.oid_to_path(oid), "rb")) == _plain(oid):
                return Tree.load(odb, HashInfo("md5", oid))
        return None

    def present(self, needed: dict[str, str]) -> dict[str, Info]:
        """What the remote tells about those needed objects that it has."""
        base = self.odb.path
        paths = {"".join(self.fs.relparts(path, base)): path for path in self.fs.find(base)}
        oids = [oid for oid in needed if oid in paths]
        # On S3 this makes no request: the file system has kept what `find` listed.
        infos = self.fs.info([paths[oid] for oid in oids], return_exceptions=True)
        return dict(zip(oids, infos, strict=True))

    def faults(self, needed: dict[str, str], present: dict[str, Info]) -> Iterator[Fault]:
        """The objects that are missing or corrupt."""
        with Progress("compare", total=len(needed), unit="objects") as progress:
            for start in range(0, len(needed), AT_ONCE):
                oids = list(needed)[start : start + AT_ONCE]
                far = self._far_md5s([oid for oid in oids if oid in present])
                for oid in oids:
                    problem: str | None = "missing"
                    if oid in present:
                        problem = self._problem(oid, present[oid], far.get(oid))
                    if problem:
                        yield Fault(needed[oid], oid, problem, self._cached(oid) is not None)
                    progress.update(1)

    def _problem(self, oid: str, info: Info, far_md5: str | None) -> str | None:
        if isinstance(info, Exception):
            return f"cannot be read: {info}"
        size, tag = info["size"], str(info.get("ETag", "")).strip('"')
        cached = self._cached(oid)
        if cached and size != cached.stat().st_size:
            return f"{size} bytes instead of {cached.stat().st_size}"
        if tag == _plain(oid) or (cached and "-" in tag and _multipart(cached, tag)):
            return None
        try:
            found = far_md5 or _md5(self.fs.open(self.odb.oid_to_path(oid), "rb"))
        except OSError as error:  # this one's: a bad block, an archived object
            return f"cannot be read: {error}"
        return None if found == _plain(oid) else f"content has MD5 {found}"

    def _far_md5s(self, oids: list[str]) -> dict[str, str]:
        """What `md5sum` on the remote's machine says of objects, by id; those it cannot are absent.

        None of their content travels.
        """
        if self.fs.protocol != "ssh" or not oids:
            return {}
        paths = {self.odb.oid_to_path(oid): oid for oid in oids}
        try:
            done = self.fs.fs.execute(shlex.join(["md5sum", "--", *paths]), check=False)
        except Exception:  # no shell there; asyncssh's errors share no base
            return {}
        lines = [line.partition("  ") for line in str(done.stdout).splitlines()]
        return {paths[path]: md5 for md5, _, path in lines if path in paths}

    def _cached(self, oid: str) -> Path | None:
        """The object in the local cache, if it is there and whole."""
        path = Path(self.cache.oid_to_path(oid))
        if path.is_file() and _md5(path.open("rb")) == _plain(oid):
            return path
        return None

    def upload(self, oid: str) -> None:
        """Replace the remote's object with the cache's, as `dvc push` adds one.

        Deleted first, not overwritten: in a folder, the object may be a link to the cache.
        """
        path = self.odb.oid_to_path(oid)
        if self.fs.exists(path):
            self.fs.remove(path)
        source = self.cache.oid_to_path(oid)
        self.odb.add(source, self.cache.fs, oid, check_exists=False, verify=False)


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
