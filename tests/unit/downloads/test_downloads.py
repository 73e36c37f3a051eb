"""Downloads arrive whole, go on after an interruption, and are checked against the lock."""

import shutil
from collections.abc import Iterator
from pathlib import Path

import huggingface_hub
import pytest

from galgame_asr.downloads import hub, web
from galgame_asr.downloads.lock import Lock
from galgame_asr.messages.errors import DataError
from tests.servers import Files, serving

REPO, REVISION = "owner/corpus", "a" * 40
CONTENT = bytes(range(256)) * 40


@pytest.fixture(autouse=True)
def _inside(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("DVC_ROOT", raising=False)


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[Files]:
    with serving(hub=True) as files:
        monkeypatch.setattr(huggingface_hub.constants, "ENDPOINT", files.url)
        monkeypatch.setattr(
            huggingface_hub.constants,
            "HUGGINGFACE_CO_URL_TEMPLATE",
            files.url + "/{repo_id}/resolve/{revision}/{filename}",
        )
        monkeypatch.setattr(hub, "HfApi", lambda: huggingface_hub.HfApi(endpoint=files.url))
        files.files = {
            f"{REPO}/data/000000.tar": CONTENT,
            f"{REPO}/data/000001.tar": CONTENT[::-1],
            f"{REPO}/README.md": b"card",
        }
        yield files


def fetched(patterns: tuple[str, ...] = ("data/*.tar",)) -> dict[str, bytes]:
    with hub.download(REPO, REVISION, kind="dataset", patterns=patterns) as directory:
        return {
            path.relative_to(directory).as_posix(): path.read_bytes()
            for path in directory.rglob("*")
            if path.is_file()
        }


def interrupted(damaged: str, content: bytes) -> None:
    """A run that is stopped after its download, and leaves one file damaged."""

    def run() -> None:
        with hub.download(REPO, REVISION, kind="dataset", patterns=["data/*.tar"]) as directory:
            (directory / damaged).write_bytes(content)
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run()


def test_the_files_that_match_arrive_and_are_locked(server: Files) -> None:
    """Nothing else is left in the folder, nor the folder afterwards."""
    assert fetched() == {"data/000000.tar": CONTENT, "data/000001.tar": CONTENT[::-1]}
    lock = Path("sources/owner--corpus.tsv").read_text().splitlines()
    assert lock[0] == f"# dataset {REPO} at {REVISION}"
    assert [line.split("\t")[:2] for line in lock[2:]] == [
        ["data/000000.tar", "10240"],
        ["data/000001.tar", "10240"],
    ]
    assert not list(Path(".scratch/downloads").glob("*/*"))
    assert fetched(("README.md",)) == {"README.md": b"card"}
    assert len(Path("sources/owner--corpus.tsv").read_text().splitlines()) == 5


def test_finished_files_survive_an_interruption(server: Files) -> None:
    """What arrived before the kill is not asked for again, and a half file is replaced."""
    interrupted("data/000001.tar", b"half")
    server.requests.clear()
    assert fetched()["data/000001.tar"] == CONTENT[::-1]
    assert [path for path, _ in server.requests if "resolve" in path] == [
        f"/datasets/{REPO}/resolve/{REVISION}/data/000001.tar"
    ]


def test_an_altered_file_is_downloaded_again(server: Files) -> None:
    """Of the right size, but with other bytes."""
    interrupted("data/000000.tar", b"x" * len(CONTENT))
    assert fetched()["data/000000.tar"] == CONTENT


def test_a_changed_file_on_the_hub_is_an_error(server: Files) -> None:
    """The lock in git is what counts; the message names the file and both hashes."""
    fetched()
    server.files[f"{REPO}/data/000000.tar"] = b"y" * len(CONTENT)
    with pytest.raises(
        DataError, match=r"data/000000\.tar has 10240 bytes and SHA-256 \w+ instead"
    ):
        fetched()
    server.files[f"{REPO}/data/000000.tar"] = CONTENT
    assert fetched()["data/000000.tar"] == CONTENT


def test_an_unreachable_hub_is_an_error_even_with_files_here(
    server: Files, monkeypatch: pytest.MonkeyPatch
) -> None:
    """snapshot_download would return the folder and say nothing."""
    with pytest.raises(KeyboardInterrupt), hub.download(REPO, REVISION, kind="dataset"):
        raise KeyboardInterrupt
    monkeypatch.setattr("time.sleep", lambda _seconds: None)  # between its retries
    monkeypatch.setattr(hub, "HfApi", lambda: huggingface_hub.HfApi(endpoint="http://127.0.0.1:9"))
    with pytest.raises(DataError, match="cannot be listed"):
        fetched()


def test_wrong_names_are_errors(server: Files) -> None:
    """No file matches, or no such repository."""
    with pytest.raises(DataError, match=r"has no file that matches \*\.zip"):
        fetched(("*.zip",))
    with (
        pytest.raises(DataError, match="cannot be listed"),
        hub.download("owner/other", REVISION, kind="dataset"),
    ):
        pass


def test_a_full_disk_is_said_before_the_download(
    server: Files, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Needed and free are named, and nothing is asked for."""
    usage = shutil.disk_usage(".")
    monkeypatch.setattr(shutil, "disk_usage", lambda _path: usage._replace(free=10_000))
    with pytest.raises(DataError, match=r"needs 0\.0 GB more; the disk of .* has 0\.0 GB free"):
        fetched()
    assert not [path for path, _ in server.requests if "resolve" in path]


def test_a_damaged_lock_is_an_error(tmp_path: Path) -> None:
    """It is not taken for an empty one."""
    lock = tmp_path / "a.tsv"
    lock.write_text("# a\npath\tbytes\tsha256\nx\tmany\tabc\n")
    with pytest.raises(DataError, match="is no list of files"):
        Lock(lock, "a")


def test_http_goes_on_where_it_was_cut(tmp_path: Path) -> None:
    """Each run asks only for what is missing, and the bytes are the server's."""
    with serving() as server:
        large = CONTENT * 100
        server.files["a.tar"] = large
        server.cut["a.tar"] = [300_000, 400_000]
        for _ in range(2):
            with pytest.raises(DataError, match="run again to go on"):
                web.download(f"{server.url}/a.tar", tmp_path / "a.tar")
            assert not (tmp_path / "a.tar").exists()
        web.download(f"{server.url}/a.tar", tmp_path / "a.tar")
        assert (tmp_path / "a.tar").read_bytes() == large
        first, second, third = (start for _, start in server.requests)
        assert first == 0
        assert 300_000 - web.BLOCK <= second <= 300_000
        assert 400_000 - web.BLOCK <= third - second <= 400_000
        web.download(f"{server.url}/a.tar", tmp_path / "a.tar")
        assert len(server.requests) == 3
        assert [path.name for path in tmp_path.iterdir()] == ["a.tar"]


def test_http_starts_anew_when_the_file_changed(tmp_path: Path) -> None:
    """Halves of two versions are never joined."""
    with serving() as server:
        server.files["a.tar"] = CONTENT * 100
        server.cut["a.tar"] = [300_000]
        with pytest.raises(DataError):
            web.download(f"{server.url}/a.tar", tmp_path / "a.tar")
        server.files["a.tar"] = CONTENT[::-1] * 100
        web.download(f"{server.url}/a.tar", tmp_path / "a.tar")
        assert (tmp_path / "a.tar").read_bytes() == CONTENT[::-1] * 100


def test_http_errors_are_named(tmp_path: Path) -> None:
    """A missing file and an absent server: the address is in the message."""
    with serving() as server, pytest.raises(DataError, match=r"/a\.tar did not arrive: 404"):
        web.download(f"{server.url}/a.tar", tmp_path / "a.tar")
    with pytest.raises(DataError, match=r"127\.0\.0\.1:9/a\.tar did not arrive"):
        web.download("http://127.0.0.1:9/a.tar", tmp_path / "a.tar")
