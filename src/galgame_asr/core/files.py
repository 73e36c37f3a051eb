"""Writing files so that a failure leaves the old content or nothing, never a half."""

import fcntl
import hashlib
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from galgame_asr.messages.console import log
from galgame_asr.messages.errors import ConfigError, DataError

LONGEST_NAME_BYTES = 255  # of Linux, macOS and Windows


@contextmanager
def atomic_path(path: Path) -> Iterator[Path]:
    """Give a temporary sibling of `path` to write a file or directory at; move it over on success.

    An existing file is replaced by a file, a directory by a directory. On an exception
    the temporary is removed and `path` is left as it was.

    Raises:
        DataError: `path` is a link to a directory, whose content would be left behind.
    """
    if path.is_symlink() and path.is_dir():
        raise DataError(
            f"{path} is a link to {path.resolve()}, which is not written behind: remove the link, "
            "or make it a folder"
        )
    path.parent.mkdir(parents=True, exist_ok=True)
    # Shorter than most names, and than the longest that a disk takes.
    digest = hashlib.sha256(os.fsencode(path.name)).hexdigest()[:8]
    temporary = path.with_name(f".{digest}.{os.getpid()}.tmp")
    remove(temporary)
    try:
        yield temporary
        if path.is_dir() and temporary.is_dir():
            shutil.rmtree(path)
        temporary.replace(path)
    finally:
        remove(temporary)


@contextmanager
def atomic_directory(path: Path) -> Iterator[Path]:
    """Like `atomic_path`, with the temporary already made as an empty directory."""
    with atomic_path(path) as temporary:
        temporary.mkdir()
        yield temporary


@contextmanager
def scratch_directory(path: Path) -> Iterator[Path]:
    """Give an empty directory at `path`, whatever an interrupted run left there; remove it after.

    Raises:
        DataError: another process works in it.
    """
    with locked(path):
        remove(path)
        path.mkdir()
        yield path
        remove(path)


@contextmanager
def locked(directory: Path) -> Iterator[None]:
    """Make sure that no other process works in a directory, which is made if it is not there.

    Raises:
        DataError: one does.
    """
    directory.mkdir(parents=True, exist_ok=True)
    path = directory.with_name(f"{directory.name}.lock")
    with path.open("a+") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            # The file may have been removed, at the end of another process, since it was opened.
            held = path.exists() and path.stat().st_ino == os.fstat(lock.fileno()).st_ino
        except BlockingIOError:
            held = False
        if not held:
            lock.seek(0)
            raise DataError(
                f"another process ({lock.read() or 'just ended'}) already works in {directory}; "
                "wait for it, or stop it first"
            )
        lock.truncate(0)
        lock.write(str(os.getpid()))
        lock.flush()
        try:
            yield
        finally:
            path.unlink()


def refuse_unwritable(path: Path) -> None:
    """Refuse a path that no file can be written to, before the work that it is for.

    Raises:
        ConfigError: a name in it is too long, a folder is there, or it lies below a file or
            where one may not write.
    """
    for part in path.parts:
        if (size := len(os.fsencode(part))) > LONGEST_NAME_BYTES:
            raise ConfigError(
                f"{path} has a name of {size} bytes; file systems take {LONGEST_NAME_BYTES}, "
                "which is 85 kana: name a shorter one"
            )
    try:
        if path.is_dir():
            raise ConfigError(f"{path} is a folder, which no file replaces: name another place")
        above = next(parent for parent in path.absolute().parents if parent.exists())
        if not above.is_dir() or not os.access(above, os.W_OK | os.X_OK):
            what = "a folder to write to" if above.is_dir() else "a folder"
            raise ConfigError(f"{path} cannot be written: {above} is not {what}")
    except OSError as error:
        raise ConfigError(f"{path} cannot be written: {error.strerror}") from None


def write_text(path: Path, text: str) -> None:
    """Write `text` as UTF-8 with Unix line ends, atomically."""
    with atomic_path(path) as temporary:
        temporary.write_text(text, encoding="utf-8", newline="\n")


def link_or_copy(file: Path | str, target: Path | str) -> OSError | None:
    """Make `target` the same file, or a copy where the disk cannot link: then, why."""
    try:
        os.link(file, target)
    except OSError as error:
        shutil.copyfile(file, target)
        return error
    return None


def remove(path: Path) -> None:
    """Remove a file or a whole directory if it is there."""
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)


def content_hash(paths: list[Path]) -> str:
    """SHA-256 (hex) over names and bytes of files; a directory stands for all files below it."""
    digest = hashlib.sha256()
    for path in paths:
        inside = sorted(p for p in path.rglob("*") if p.is_file()) if path.is_dir() else [path]
        for file in inside:
            digest.update(f"{file.relative_to(path)}\0{file.stat().st_size}\0".encode())
            with file.open("rb") as stream:
                while block := stream.read(1 << 20):
                    digest.update(block)
    return digest.hexdigest()


def prune(directory: Path, keep: set[str]) -> None:
    """Delete the files below `directory` whose relative names are not in `keep`."""
    for file in sorted(directory.rglob("*")):
        if file.is_file() and file.relative_to(directory).as_posix() not in keep:
            log.info("removing %s, which belongs to other params", file)
            file.unlink()
