"""On every kind of remote: what was pushed comes back, and what is broken is found.

A folder, which is the default remote of .dvc/config, a real S3 server (rclone) and a real
machine to log in to (OpenSSH).
"""

import os
import random
import re
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Protocol

import pytest
import s3fs

from tests import sshd
from tests.conftest import REPOSITORY

BIN = Path(sys.executable).parent
KEY, SECRET = "test-key", "test-secret"
FILES = 70
MULTIPART_MIB = 120  # above 100 MiB DVC uploads in parts


class Remote(Protocol):
    """Where objects are kept, reached past DVC; an object goes by DVC's name for it."""

    def configure(self, repository: "Repository") -> None:
        """Make it the default remote."""

    def start(self, folder: Path) -> None:
        """Begin empty, in a new folder, which is the repository's parent."""

    def stop(self) -> None: ...

    def objects(self) -> list[str]: ...

    def read(self, name: str) -> bytes: ...

    def write(self, name: str, content: bytes) -> None: ...

    def delete(self, name: str) -> None: ...


def names(folder: Path) -> list[str]:
    """The objects below a folder, without what an upload has not yet renamed."""
    found = [path.parent.name + path.name for path in folder.glob("??/*")]
    return sorted(name for name in found if len(name.removesuffix(".dir")) == 32)


@dataclass
class Folder:
    """The default remote, as it is committed."""

    folder: Path = Path()

    def configure(self, repository: "Repository") -> None:
        pass

    def start(self, folder: Path) -> None:
        self.folder = folder / "my repository/.remote/files/md5"

    def stop(self) -> None:
        pass

    def path(self, name: str) -> Path:
        return self.folder / name[:2] / name[2:]

    def objects(self) -> list[str]:
        return names(self.folder)

    def read(self, name: str) -> bytes:
        return self.path(name).read_bytes()

    def write(self, name: str, content: bytes) -> None:
        path = self.path(name)
        mode = path.stat().st_mode
        path.chmod(0o644)
        path.write_bytes(content)  # in place: if the cache shared the file, it would be damaged
        path.chmod(mode)  # DVC trusts what is read-only

    def delete(self, name: str) -> None:
        self.path(name).unlink()


@dataclass
class Bucket:
    """`rclone serve s3` on a folder."""

    port: int
    folder: Path = Path()
    process: subprocess.Popen[bytes] | None = None

    def configure(self, repository: "Repository") -> None:
        run = repository.command
        run("dvc", "remote", "add", "--default", "storage", "s3://bucket/galgame-asr")
        run("dvc", "remote", "modify", "storage", "endpointurl", self.url)
        run("dvc", "remote", "modify", "storage", "verify", "true")

    def start(self, folder: Path) -> None:
        self.folder = folder / "s3"
        (self.folder / "bucket").mkdir(parents=True)
        self.listen()

    def listen(self) -> None:
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(
                [
                    BIN / "rclone", "serve", "s3", "--config", os.devnull, "-vv", "--addr",
                    f"127.0.0.1:{self.port}", "--auth-key", f"{KEY},{SECRET}", self.folder,
                ],
                stdout=subprocess.DEVNULL, stderr=log,
            )  # fmt: skip
        for _ in range(100):
            with socket.socket() as probe:
                if probe.connect_ex(("127.0.0.1", self.port)) == 0:
                    return
            time.sleep(0.1)
        raise AssertionError("rclone serve s3 does not listen")

    def stop(self) -> None:
        assert self.process is not None
        self.process.kill()
        self.process.wait()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @property
    def log(self) -> Path:
        """What it was asked."""
        return self.folder.parent / "rclone.log"

    @cached_property
    def client(self) -> s3fs.S3FileSystem:
        return s3fs.S3FileSystem(
            key=KEY, secret=SECRET, client_kwargs={"endpoint_url": self.url},
            skip_instance_cache=True, use_listings_cache=False,
        )  # fmt: skip

    def path(self, name: str) -> str:
        return f"bucket/galgame-asr/files/md5/{name[:2]}/{name[2:]}"

    def objects(self) -> list[str]:
        return names(self.folder / "bucket/galgame-asr/files/md5")

    def read(self, name: str) -> bytes:
        content: bytes = self.client.cat_file(self.path(name))
        return content

    def write(self, name: str, content: bytes) -> None:
        self.client.pipe_file(self.path(name), content)

    def delete(self, name: str) -> None:
        self.client.rm_file(self.path(name))


@dataclass
class Machine(Folder):
    """A folder of a machine that one logs in to by ssh, on an odd port, with a key."""

    port: int = 0
    host: sshd.Host | None = None

    def configure(self, repository: "Repository") -> None:
        """Nothing: the address holds the test's own folder, which `start` gets."""

    def start(self, folder: Path) -> None:
        self.host = sshd.make(folder / "sshd", self.port)
        self.folder = folder / "far/galgame-asr/files/md5"
        self.host.listen()
        home = folder / "home/.ssh"
        home.mkdir(parents=True)
        shutil.copy(self.host.key, home / "id_ed25519")

    def stop(self) -> None:
        assert self.host is not None
        self.host.stop()

    def listen(self) -> None:
        assert self.host is not None
        self.host.listen()

    @property
    def url(self) -> str:
        assert self.host is not None
        return self.host.url(self.folder.parents[1])


@dataclass
class Repository:
    """A repository with one folder of random files, and its remote."""

    root: Path
    remote: Remote
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

    def make(self, *words: str) -> str:
        for name in ("Makefile", "pyproject.toml", "constraints.txt"):
            shutil.copy(REPOSITORY / name, self.root)
        # The environment is there already, the one that runs this.
        return self.command("make", "--old-file=.venv/run", *words).stdout

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


SSH_ONLY = pytest.mark.parametrize("template", ["ssh"], indirect=True)
SERVERS_ONLY = pytest.mark.parametrize("template", ["s3", "ssh"], indirect=True)
S3_ONLY = pytest.mark.parametrize("template", ["s3"], indirect=True)
FOLDER_ONLY = pytest.mark.parametrize("template", ["folder"], indirect=True)


@pytest.fixture(scope="module", params=["folder", "s3", "ssh"])
def template(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Repository:
    """Data under DVC and a remote to push to, committed; nothing is pushed."""
    if request.param == "ssh":
        if sshd.SSHD is None:
            pytest.skip("needs sshd: apt-get install openssh-server")
        pytest.importorskip("dvc_ssh", reason="needs the extra ssh: make .venv/dev")
    folder = tmp_path_factory.mktemp("template")
    empty = folder / "aws"  # /dev/null would not do for botocore
    empty.touch()
    environment = {name: value for name, value in os.environ.items() if not name.startswith("AWS_")}
    environment |= {
        "PATH": f"{BIN}:{os.environ['PATH']}",
        "PYTHONPATH": f"{REPOSITORY / 'src'}:{os.environ.get('PYTHONPATH', '')}",  # not another's
        "AWS_ACCESS_KEY_ID": KEY,
        "AWS_SECRET_ACCESS_KEY": SECRET, "AWS_CONFIG_FILE": str(empty),
        "AWS_SHARED_CREDENTIALS_FILE": str(empty), "AWS_EC2_METADATA_DISABLED": "true",
        "AWS_MAX_ATTEMPTS": "2", "GIT_AUTHOR_NAME": "t", "GIT_AUTHOR_EMAIL": "t@example.org",
        "GIT_COMMITTER_NAME": "t", "GIT_COMMITTER_EMAIL": "t@example.org",
    }  # fmt: skip
    remote: Remote
    match request.param:
        case "folder":
            remote = Folder()
        case "s3":
            remote = Bucket(free_port())
        case _:
            remote = Machine(port=free_port())
    repository = Repository(folder / "repository", remote, environment)
    raw = repository.root / "data/raw"
    raw.mkdir(parents=True)
    draw = random.Random(0)
    for number in range(FILES):
        (raw / f"{number:03}.tar").write_bytes(draw.randbytes(200_000))
    for path in (".dvc/config", ".dvc/.gitignore", ".dvcignore"):
        (repository.root / path).parent.mkdir(exist_ok=True)
        shutil.copy(REPOSITORY / path, repository.root / path)
    repository.command("git", "init", "--quiet")
    remote.configure(repository)
    repository.command("dvc", "add", "--quiet", "data/raw")
    (repository.root / ".gitignore").write_text("/.remote\n")
    repository.command("git", "add", "--all")
    repository.command("git", "commit", "--quiet", "--message", "data")
    return repository


@pytest.fixture
def repository(template: Repository, tmp_path: Path) -> Iterator[Repository]:
    root = tmp_path / "my repository"
    shutil.copytree(template.root, root)
    template.remote.start(tmp_path)
    environment = template.environment
    if isinstance(template.remote, Machine):
        environment = environment | {"HOME": str(tmp_path / "home")}
    repository = replace(template, root=root, environment=environment)
    if isinstance(template.remote, Machine):
        repository.make("remote", f"URL={template.remote.url}")
    yield repository
    template.remote.stop()


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
    clone = replace(repository, root=tmp_path / "clone")
    repository.command("git", "clone", "--quiet", str(repository.root), str(clone.root))
    if isinstance(repository.remote, Machine):  # its address is no part of git
        clone.make("remote", f"URL={repository.remote.url}")
    elif isinstance(repository.remote, Folder):  # beside each clone, so it is brought along
        shutil.copytree(repository.root / ".remote", clone.root / ".remote")
    clone.command("dvc", "pull")
    assert clone.content() == before
    assert SECRET not in repository.command("git", "grep", SECRET, check=False).stdout


@pytest.mark.parametrize("template", ["folder", "ssh"], indirect=True)
def test_make_works_on_a_remote(repository: Repository) -> None:
    """`make push`, `fsck` and `pull`, and nothing else.

    On a folder, as a clone has it; by ssh, after `make remote` and with a key in ~/.ssh.
    """
    before = repository.content()
    assert f"{FILES + 1} objects needed, 0 at fault" in repository.make("push")
    repository.wipe()
    repository.make("pull")
    assert repository.content() == before
    assert f"{FILES + 1} objects needed, 0 at fault" in repository.make("fsck")


@SSH_ONLY
@pytest.mark.parametrize("way", ["key", "name", "none"])
def test_a_machine_lets_in_who_has_the_key(repository: Repository, way: str) -> None:
    """By DVC's `keyfile`, or by a name in ~/.ssh/config, which has port and key; nobody else."""
    remote = repository.remote
    assert isinstance(remote, Machine)
    assert remote.host is not None
    (repository.root.parent / "home/.ssh/id_ed25519").unlink()
    if way == "key":
        repository.command(
            "dvc", "remote", "modify", "--local", "storage", "keyfile", str(remote.host.key)
        )
    elif way == "name":
        (repository.root.parent / "home/.ssh/config").write_text(
            f"Host rented\n  HostName 127.0.0.1\n  Port {remote.port}\n"
            f"  User {remote.host.user}\n  IdentityFile {remote.host.key}\n"
        )
        repository.make("remote", f"URL=ssh://rented{remote.folder.parents[1]}")
    if way == "none":
        assert repository.command("dvc", "push", check=False).returncode != 0
        assert "remote storage cannot be read" in repository.fsck(check=False)
    else:
        repository.command("dvc", "push")
        assert "0 at fault" in repository.fsck()
    assert bool(remote.objects()) is (way != "none")


@SSH_ONLY
def test_a_machine_compares_its_own_files(repository: Repository) -> None:
    """No content travels; where only SFTP is allowed, it does, with the same report."""
    remote = repository.remote
    assert isinstance(remote, Machine)
    repository.command("dvc", "push")
    name = next(name for name in remote.objects() if not name.endswith(".dir"))
    remote.write(name, remote.read(name)[::-1])
    assert remote.host is not None
    remote.host.configure("Subsystem sftp internal-sftp", "Subsystem sftp internal-sftp -P open")
    assert f"({name}): content has MD5" in repository.fsck(check=False), "no file can be read"
    remote.host.configure(
        "Subsystem sftp internal-sftp -P open",
        "Subsystem sftp internal-sftp\nForceCommand internal-sftp",
    )
    assert f"({name}): content has MD5" in repository.fsck(check=False)


@S3_ONLY
def test_one_listing_tells_all(repository: Repository) -> None:
    """On S3, no request is made per object that was uploaded at once."""
    assert isinstance(repository.remote, Bucket)
    repository.command("dvc", "push")
    log = repository.remote.log
    asked = log.stat().st_size
    assert "0 at fault" in repository.fsck()
    lines = log.read_text()[asked:].splitlines()
    assert sum("Listed" in line for line in lines) == 1
    assert not [line for line in lines if "OBJECT" in line]


def push_until(repository: Repository, objects: int) -> subprocess.Popen[bytes]:
    """A `dvc push` that has uploaded some objects, and likely not yet all."""
    push = subprocess.Popen(
        ["dvc", "push", "--jobs", "1"], cwd=repository.root, env=repository.environment,
        executable=BIN / "dvc", stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
    )  # fmt: skip
    while len(repository.remote.objects()) < objects:
        assert push.poll() is None, "it ended too early"
    return push


def test_a_killed_client_loses_nothing(repository: Repository) -> None:
    """The next push completes the remote."""
    assert "`make push` uploads" in repository.fsck(check=False), "nothing is there yet"
    push = push_until(repository, 10)
    push.send_signal(signal.SIGKILL)
    push.wait()
    assert len(repository.remote.objects()) < FILES + 1
    assert "missing" in repository.fsck(check=False)
    repository.command("dvc", "push")
    assert "0 at fault" in repository.fsck()


@SSH_ONLY
def test_what_arrived_in_part_stands_for_nothing(repository: Repository) -> None:
    """A push that is killed within an object leaves a file of another name, and no object."""
    remote = repository.remote
    assert isinstance(remote, Machine)
    large = repository.root / "data/large.tar"
    large.write_bytes(random.Random(4).randbytes(64 << 20))
    repository.command("dvc", "add", "--quiet", "data/large.tar")
    push = subprocess.Popen(
        ["dvc", "push", "data/large.tar.dvc"], cwd=repository.root, env=repository.environment,
        executable=BIN / "dvc", stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
    )  # fmt: skip

    def sizes() -> dict[str, int]:
        found = {}
        for path in remote.folder.rglob("*"):
            with suppress(FileNotFoundError):  # renamed just now
                found[path.name] = path.stat().st_size if path.is_file() else 0
        return found

    while not any(sizes().values()):
        assert push.poll() is None, "it ended too early"
    push.kill()
    push.wait()
    left = {name for name, size in sizes().items() if size}
    assert left
    assert all(name.endswith(".tmp") for name in left), "it ended too early"
    assert re.search(r"data/large.tar \(\w+\): missing", repository.fsck(check=False))
    repository.command("dvc", "push")
    assert "0 at fault" in repository.fsck()


@SERVERS_ONLY
def test_a_killed_server_loses_nothing(repository: Repository) -> None:
    """The push fails; with the server back, the next one completes the remote."""
    assert isinstance(repository.remote, Bucket | Machine)
    hasty = replace(repository, environment=repository.environment | {"AWS_MAX_ATTEMPTS": "1"})
    push = push_until(hasty, 10)
    repository.remote.stop()
    assert push.wait() != 0
    assert "remote storage cannot be read" in hasty.fsck(check=False)
    repository.remote.listen()
    repository.command("dvc", "push")
    assert "0 at fault" in repository.fsck()


def test_a_killed_pull_goes_on(repository: Repository) -> None:
    """Nothing half-read stands for an object, and the next pull brings what is missing."""
    before = repository.content()
    repository.command("dvc", "push")
    repository.wipe()
    cache = repository.root / ".dvc/cache/files/md5"
    pull = subprocess.Popen(
        ["dvc", "pull", "--jobs", "1"], cwd=repository.root, env=repository.environment,
        executable=BIN / "dvc", stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
    )  # fmt: skip
    while len(list(cache.glob("[0-9a-f][0-9a-f]/*"))) < 10:
        assert pull.poll() is None, "it ended too early"
    pull.kill()
    pull.wait()
    assert not (repository.root / "data/raw").exists()
    repository.command("dvc", "pull")
    assert repository.content() == before
    assert "0 at fault" in repository.fsck()


@SSH_ONLY
def test_a_machine_has_the_remote_as_a_folder(repository: Repository, tmp_path: Path) -> None:
    """What home pushes to it by ssh is pulled there without, and the other way round."""
    remote = repository.remote
    assert isinstance(remote, Machine)
    before = repository.content()
    repository.make("push")
    machine = replace(repository, root=tmp_path / "machine")
    repository.command("git", "clone", "--quiet", str(repository.root), str(machine.root))
    machine.make("remote", f"URL={remote.folder.parents[1]}")
    machine.make("pull")
    assert machine.content() == before
    new = machine.root / "data/new"
    new.write_text("made there")
    machine.command("dvc", "add", "--quiet", "data/new")
    machine.make("push")
    shutil.copy(machine.root / "data/new.dvc", repository.root / "data")
    repository.make("pull")
    assert (repository.root / "data/new").read_text() == "made there"


def test_every_corruption_is_found_and_repaired(repository: Repository) -> None:
    """50 objects truncated, emptied, swapped or deleted: all are named, none besides."""
    remote = repository.remote
    repository.command("dvc", "push")
    (listing,) = [name for name in remote.objects() if name.endswith(".dir")]
    draw = random.Random(2)
    broken = draw.sample(sorted(set(remote.objects()) - {listing}), 50)
    content = {name: remote.read(name) for name in broken}
    for number, name in enumerate(broken):
        data = content[name]
        match number % 4:
            case 0:
                remote.write(name, data[: draw.randrange(1, len(data))])
            case 1:
                remote.write(name, b"")
            case 2:
                remote.write(name, content[broken[(number + 4) % 50]])
            case 3:
                remote.delete(name)
    # DVC itself goes by the names.
    repository.command("dvc", "push")
    report = repository.fsck(check=False)
    assert "50 objects are at fault" in report
    assert "`galgame-asr fsck --repair` uploads" in report
    assert all(name in report for name in broken)
    assert "50 at fault" in repository.fsck("--repair")
    assert "0 at fault" in repository.fsck()
    assert {name: remote.read(name) for name in broken} == content
    remote.write(listing, b"[]")
    assert f"data/raw ({listing})" in repository.fsck(check=False)
    assert "1 at fault" in repository.fsck("--repair")
    assert "0 at fault" in repository.fsck()


def test_what_the_cache_lacks_is_named(repository: Repository) -> None:
    """Broken in the remote and gone here: it cannot be repaired, and is not lost sight of."""
    remote = repository.remote
    repository.command("dvc", "push")
    name = next(name for name in remote.objects() if not name.endswith(".dir"))
    remote.write(name, b"broken")
    repository.wipe()
    report = repository.fsck("--repair", check=False)
    assert "1 objects are at fault" in report
    assert "data/raw/" in report
    assert "the local cache has no good copy" in report
    # And DVC refuses it, because the remote has `verify`.
    assert repository.command("dvc", "pull", check=False).returncode != 0


@FOLDER_ONLY
def test_what_commits_need_is_found(repository: Repository) -> None:
    """Data of an older commit that was never pushed, also when its list of files is gone."""
    (repository.root / "data/raw/000.tar").unlink()
    repository.command("dvc", "add", "--quiet", "data/raw")
    repository.command("git", "commit", "--quiet", "--all", "--message", "one less")
    repository.command("dvc", "push")
    assert f"{FILES} objects needed, 0 at fault" in repository.fsck()
    report = repository.fsck("--all-commits", check=False)
    assert f"{FILES + 2} objects needed, 2 at fault" in report
    assert "data/raw/000.tar at " in report
    repository.wipe()
    report = repository.fsck("--all-commits", check=False)
    assert f"{FILES + 1} objects needed, 1 at fault" in report
    assert "data/raw and all that is in it at " in report
    assert "uploads" not in report, "the cache has nothing"


@FOLDER_ONLY
def test_a_repair_never_writes_into_the_cache(repository: Repository) -> None:
    """Though an object is a link to the cache's file of another name; one to nowhere is a fault."""
    remote, cache = repository.remote, Folder(repository.root / ".dvc/cache/files/md5")
    assert isinstance(remote, Folder)
    repository.command("dvc", "push")
    wrong, other, lost = [name for name in remote.objects() if not name.endswith(".dir")][:3]
    assert not remote.path(wrong).samefile(cache.path(wrong)), "DVC's push copies"
    before = {name: cache.read(name) for name in (wrong, other)}
    remote.delete(wrong)
    remote.path(wrong).hardlink_to(cache.path(other))
    remote.delete(lost)
    remote.path(lost).symlink_to("/nowhere")
    report = repository.fsck("--repair")
    assert "2 at fault" in report
    assert f"({lost}): cannot be read" in report
    assert "0 at fault" in repository.fsck()
    assert {name: cache.read(name) for name in (wrong, other)} == before
    assert remote.read(wrong) == before[wrong]
    assert not remote.path(wrong).samefile(cache.path(wrong))


@FOLDER_ONLY
def test_a_remote_that_is_not_configured(repository: Repository) -> None:
    """The message has the names that there are."""
    report = repository.fsck("--remote", "nowhere", check=False)
    assert "no remote nowhere; its remotes: local" in report
