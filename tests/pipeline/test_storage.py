"""A real S3 server (rclone): what was pushed comes back, and what is broken is found."""

import os
import random
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest
import s3fs

from tests.conftest import REPOSITORY

BIN = Path(sys.executable).parent
KEY, SECRET = "test-key", "test-secret"
FILES = 70
MULTIPART_MIB = 120  # above 100 MiB DVC uploads in parts


@dataclass
class Server:
    """`rclone serve s3` on a folder."""

    folder: Path
    port: int
    process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        (self.folder / "bucket").mkdir(parents=True, exist_ok=True)
        self.process = subprocess.Popen(
            [
                BIN / "rclone", "serve", "s3", "--config", os.devnull,
                "--addr", f"127.0.0.1:{self.port}", "--auth-key", f"{KEY},{SECRET}", self.folder,
            ],
            stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
        )  # fmt: skip
        for _ in range(100):
            with socket.socket() as probe:
                if probe.connect_ex(("127.0.0.1", self.port)) == 0:
                    return
            time.sleep(0.1)
        raise AssertionError("rclone serve s3 does not listen")

    def kill(self) -> None:
        assert self.process is not None
        self.process.kill()
        self.process.wait()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def objects(self) -> list[Path]:
        found = (self.folder / "bucket").rglob("*")
        return sorted(path for path in found if path.is_file())


@dataclass
class Repository:
    """A repository with one folder of random files, and the server as its remote."""

    root: Path
    server: Server
    environment: dict[str, str] = field(default_factory=dict)

    def command(self, *words: str, check: bool = True) -> subprocess.CompletedProcess[str]:
        done = subprocess.run(
            words, cwd=self.root, env=self.environment, text=True, check=False,
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
        )  # fmt: skip
        assert not check or done.returncode == 0, done.stdout
        return done

    def fsck(self, *options: str, check: bool = True) -> str:
        done = self.command(str(BIN / "galgame-asr"), "fsck", *options, check=check)
        assert check or done.returncode == 1, done.stdout
        assert "Traceback" not in done.stdout
        return done.stdout

    def bucket(self) -> s3fs.S3FileSystem:
        return s3fs.S3FileSystem(
            key=KEY, secret=SECRET, client_kwargs={"endpoint_url": self.server.url},
            skip_instance_cache=True, use_listings_cache=False,
        )  # fmt: skip

    def wipe(self) -> None:
        for path in (".dvc/cache", "data/raw"):
            shutil.rmtree(self.root / path)

    def content(self) -> dict[str, bytes]:
        raw = self.root / "data/raw"
        return {path.name: path.read_bytes() for path in sorted(raw.iterdir())}


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


@pytest.fixture
def repository(tmp_path: Path) -> Iterator[Repository]:
    server = Server(tmp_path / "s3", free_port())
    server.start()
    empty = tmp_path / "aws"  # /dev/null would not do for botocore
    empty.touch()
    environment = {name: value for name, value in os.environ.items() if not name.startswith("AWS_")}
    environment |= {
        "PATH": f"{BIN}:{os.environ['PATH']}", "AWS_ACCESS_KEY_ID": KEY,
        "AWS_SECRET_ACCESS_KEY": SECRET, "AWS_CONFIG_FILE": str(empty),
        "AWS_SHARED_CREDENTIALS_FILE": str(empty), "AWS_EC2_METADATA_DISABLED": "true",
        "AWS_MAX_ATTEMPTS": "2", "GIT_AUTHOR_NAME": "t", "GIT_AUTHOR_EMAIL": "t@example.org",
        "GIT_COMMITTER_NAME": "t", "GIT_COMMITTER_EMAIL": "t@example.org",
    }  # fmt: skip
    repository = Repository(tmp_path / "repository", server, environment)
    raw = repository.root / "data/raw"
    raw.mkdir(parents=True)
    draw = random.Random(0)
    for number in range(FILES):
        (raw / f"{number:03}.tar").write_bytes(draw.randbytes(200_000))
    for path in (".dvc/config", ".dvc/.gitignore", ".dvcignore"):
        (repository.root / path).parent.mkdir(exist_ok=True)
        shutil.copy(REPOSITORY / path, repository.root / path)
    run = repository.command
    run("git", "init", "--quiet")
    # As the README says.
    run("dvc", "remote", "add", "--default", "storage", "s3://bucket/galgame-asr")
    run("dvc", "remote", "modify", "storage", "endpointurl", server.url)
    run("dvc", "remote", "modify", "storage", "verify", "true")
    run("dvc", "add", "--quiet", "data/raw")
    run("git", "add", "--all")
    run("git", "commit", "--quiet", "--message", "data")
    yield repository
    server.kill()


def test_pushed_data_comes_back(repository: Repository, tmp_path: Path) -> None:
    """After a wipe, and in a fresh clone; the secret is in no file of git."""
    large = repository.root / "data/raw/large.tar"
    large.write_bytes(random.Random(1).randbytes(MULTIPART_MIB << 20))
    repository.command("dvc", "add", "--quiet", "data/raw")
    repository.command("git", "commit", "--quiet", "--all", "--message", "large")
    before = repository.content()
    repository.command("dvc", "push")
    assert f"{FILES + 2} objects needed, 0 at fault" in repository.fsck()
    repository.wipe()
    assert "0 at fault" in repository.fsck(), "without a cache, by the listing and by reading"
    repository.command("dvc", "pull")
    assert repository.content() == before
    clone = Repository(tmp_path / "clone", repository.server, repository.environment)
    repository.command("git", "clone", "--quiet", str(repository.root), str(clone.root))
    clone.command("dvc", "pull")
    assert clone.content() == before
    assert SECRET not in repository.command("git", "grep", SECRET, check=False).stdout


def push_until(repository: Repository, objects: int) -> subprocess.Popen[bytes]:
    """A `dvc push` that has uploaded some objects, and not yet all."""
    push = subprocess.Popen(
        ["dvc", "push", "--jobs", "1"], cwd=repository.root, env=repository.environment,
        executable=BIN / "dvc", stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
    )  # fmt: skip
    while len(repository.server.objects()) < objects:
        assert push.poll() is None, "it ended too early"
        time.sleep(0.01)
    return push


def test_a_killed_client_loses_nothing(repository: Repository) -> None:
    """The next push completes the remote."""
    push = push_until(repository, 10)
    push.send_signal(signal.SIGKILL)
    push.wait()
    assert len(repository.server.objects()) < FILES + 1
    assert "missing" in repository.fsck(check=False)
    repository.command("dvc", "push")
    assert "0 at fault" in repository.fsck()


def test_a_killed_server_loses_nothing(repository: Repository) -> None:
    """The push fails; with the server back, the next one completes the remote."""
    push = push_until(repository, 10)
    repository.server.kill()
    assert push.wait() != 0
    assert "cannot be read" in repository.fsck(check=False)
    repository.server.start()
    repository.command("dvc", "push")
    assert "0 at fault" in repository.fsck()


def test_every_corruption_is_found_and_repaired(repository: Repository) -> None:
    """50 objects truncated, emptied, swapped or deleted: all are named, none besides."""
    repository.command("dvc", "push")
    bucket = repository.bucket()
    (listing,) = [name for name in bucket.find("bucket/galgame-asr") if name.endswith(".dir")]
    objects = sorted(set(bucket.find("bucket/galgame-asr")) - {listing})
    draw = random.Random(2)
    broken = draw.sample(objects, 50)
    content = {name: bucket.cat_file(name) for name in broken}
    for number, name in enumerate(broken):
        data = content[name]
        match number % 4:
            case 0:
                bucket.pipe_file(name, data[: draw.randrange(1, len(data))])
            case 1:
                bucket.pipe_file(name, b"")
            case 2:
                bucket.pipe_file(name, content[broken[(number + 4) % 50]])
            case 3:
                bucket.rm_file(name)
    # DVC itself goes by the names.
    repository.command("dvc", "push")
    report = repository.fsck(check=False)
    assert "50 objects are at fault" in report
    assert all("".join(name.rsplit("/", 2)[-2:]) in report for name in broken)
    assert "50 at fault" in repository.fsck("--repair")
    assert "0 at fault" in repository.fsck()
    assert {name: bucket.cat_file(name) for name in broken} == content
    bucket.pipe_file(listing, b"[]")
    assert f"data/raw ({''.join(listing.rsplit('/', 2)[-2:])})" in repository.fsck(check=False)
    assert "1 at fault" in repository.fsck("--repair")
    assert "0 at fault" in repository.fsck()


def test_what_the_cache_lacks_is_named(repository: Repository) -> None:
    """Broken in the remote and gone here: it cannot be repaired, and is not lost sight of."""
    repository.command("dvc", "push")
    bucket = repository.bucket()
    name = next(n for n in bucket.find("bucket/galgame-asr") if not n.endswith(".dir"))
    bucket.pipe_file(name, b"broken")
    repository.wipe()
    report = repository.fsck("--repair", check=False)
    assert "1 objects are at fault" in report
    assert "data/raw/" in report
    assert "the local cache has no good copy" in report
    # And DVC refuses it, because the remote has `verify`.
    assert repository.command("dvc", "pull", check=False).returncode != 0
