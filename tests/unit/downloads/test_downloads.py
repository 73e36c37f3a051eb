"""Downloads arrive whole, go on after an interruption, and are checked against the lock."""

import errno
import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import huggingface_hub
import pytest

from galgame_asr.downloads import hub, huggingface, kept, web
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
        monkeypatch.setattr(huggingface, "HfApi", lambda: huggingface_hub.HfApi(endpoint=files.url))
        files.files = {
            f"{REPO}/data/000000.tar": CONTENT,
            f"{REPO}/data/000001.tar": CONTENT[::-1],
            f"{REPO}/README.md": b"card",
        }
        yield files


def fetched(patterns: tuple[str, ...] = ("data/*.tar",)) -> dict[str, bytes]:
    files = hub.download(REPO, REVISION, kind="dataset", patterns=patterns)
    return {name: file.read_bytes() for name, file in files.items()}


def replaced(name: str, content: bytes) -> Path:
    """A kept file with other content; its path."""
    path = Path(".scratch/downloads") / f"dataset--owner--corpus--{REVISION}" / name
    path.unlink()
    path.write_bytes(content)
    return path


def test_the_files_that_match_arrive_and_are_locked(server: Files) -> None:
    """Nothing else lies beside them; what other patterns brought is not given."""
    assert fetched() == {"data/000000.tar": CONTENT, "data/000001.tar": CONTENT[::-1]}
    lock = Path("sources/owner--corpus.tsv").read_text().splitlines()
    assert lock[0] == f"# dataset {REPO} at {REVISION}"
    assert [line.split("\t")[:2] for line in lock[2:]] == [
        ["data/000000.tar", "10240"],
        ["data/000001.tar", "10240"],
    ]
    assert sorted(path.name for path in Path(".scratch/downloads").glob("*/*")) == ["data"]
    assert fetched(("README.md",)) == {"README.md": b"card"}
    assert len(Path("sources/owner--corpus.tsv").read_text().splitlines()) == 5


def test_what_is_here_is_not_asked_for_again(server: Files) -> None:
    """Neither content nor the list of files: a second download works without the hub."""
    first = fetched()
    assert [path for path, _ in server.requests if "tree" in path]
    server.requests.clear()
    server.files.clear()  # so that whatever is asked for is not found
    assert fetched() == first
    assert fetched(("data/000001.tar",)) == {"data/000001.tar": CONTENT[::-1]}
    assert server.requests == []


def test_finished_files_survive_an_interruption(server: Files) -> None:
    """What arrived before the kill is not asked for again, and a half file is replaced."""
    fetched()
    replaced("data/000001.tar", b"half")
    server.requests.clear()
    assert fetched()["data/000001.tar"] == CONTENT[::-1]
    assert [path for path, _ in server.requests] == [
        f"/datasets/{REPO}/resolve/{REVISION}/data/000001.tar"
    ]


def test_a_damaged_file_is_replaced_and_not_written_into(server: Files) -> None:
    """It is of the right size. An output is a link to it, and keeps its bytes."""
    fetched()
    damaged = replaced("data/000000.tar", b"x" * len(CONTENT))
    kept.link({"a.tar": damaged}, Path("output"))
    server.requests.clear()
    assert fetched()["data/000000.tar"] == CONTENT
    assert [path for path, _ in server.requests] == [
        f"/datasets/{REPO}/resolve/{REVISION}/data/000000.tar"
    ]
    assert Path("output/a.tar").read_bytes() == b"x" * len(CONTENT)
    assert Path("output/a.tar").stat().st_nlink == damaged.stat().st_nlink == 1


def test_a_changed_file_on_the_hub_is_an_error(server: Files) -> None:
    """The lock in git is what counts; the message names the file and both hashes."""
    fetched()
    shutil.rmtree(".scratch")
    server.files[f"{REPO}/data/000000.tar"] = b"y" * len(CONTENT)
    with pytest.raises(
        DataError, match=r"data/000000\.tar has 10240 bytes and SHA-256 \w+ instead"
    ):
        fetched()
    shutil.rmtree(".scratch")
    server.files[f"{REPO}/data/000000.tar"] = CONTENT
    assert fetched()["data/000000.tar"] == CONTENT


def test_an_unreachable_hub_is_an_error(server: Files, monkeypatch: pytest.MonkeyPatch) -> None:
    """Although files are here: nobody knows whether they are all."""
    fetched()
    monkeypatch.setattr("time.sleep", lambda _seconds: None)  # between its retries
    monkeypatch.setattr(
        huggingface, "HfApi", lambda: huggingface_hub.HfApi(endpoint="http://127.0.0.1:9")
    )
    Path(f".scratch/downloads/dataset--owner--corpus--{REVISION}.json").unlink()
    with pytest.raises(DataError, match="cannot be listed"):
        fetched()


def test_a_link_is_the_same_file(tmp_path: Path) -> None:
    """Also in folders of the target, and where something else was."""
    (tmp_path / "kept").write_bytes(CONTENT)
    (tmp_path / "output").mkdir()
    (tmp_path / "output/b").write_bytes(b"other")
    for _ in range(2):
        kept.link({"a/b": tmp_path / "kept", "b": tmp_path / "kept"}, tmp_path / "output")
        assert (tmp_path / "kept").stat().st_nlink == 3
        assert (tmp_path / "output/b").samefile(tmp_path / "output/a/b")
        found = {path.name for path in (tmp_path / "output").rglob("*")}
        assert found == {"a", "b"}


def test_where_links_fail_files_are_copied(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """As between two disks: one line says so for all files."""

    def link(_source: Path, _target: Path) -> None:
        raise OSError(errno.EXDEV, os.strerror(errno.EXDEV))

    (tmp_path / "kept").write_bytes(CONTENT)
    monkeypatch.setattr(os, "link", link)
    with caplog.at_level("INFO"):
        kept.link(dict.fromkeys(("a", "b"), tmp_path / "kept"), tmp_path / "output")
    assert [path.read_bytes() for path in (tmp_path / "output").iterdir()] == [CONTENT] * 2
    assert (tmp_path / "kept").stat().st_nlink == 1
    (line,) = caplog.messages
    assert "output is copied, since it cannot be linked: [Errno 18] Invalid cross-device" in line


def test_damaged_shards_are_found_by_their_hashes(tmp_path: Path) -> None:
    """The first that is damaged goes, with those after it; nothing recorded is not whole."""
    names = [f"a-train-{number:06}.tar" for number in range(3)]
    for name in names:
        (tmp_path / name).write_bytes(CONTENT)
    assert not kept.Shards(tmp_path).whole("a-train")
    kept.Shards(tmp_path).add(*names)
    assert kept.Shards(tmp_path).whole("a-train")
    assert not kept.Shards(tmp_path).whole("a-test")
    (tmp_path / names[1]).write_bytes(CONTENT[::-1])
    assert not kept.Shards(tmp_path).whole("a-train")
    assert [path.name for path in sorted(tmp_path.glob("*.tar"))] == names[:1]
    assert not kept.Shards(tmp_path).whole("a-train"), "to be recorded anew when it is complete"


def test_wrong_names_are_errors(server: Files) -> None:
    """No file matches, or no such repository."""
    with pytest.raises(DataError, match=r"has no file that matches \*\.zip"):
        fetched(("*.zip",))
    with pytest.raises(DataError, match="cannot be listed"):
        hub.download("owner/other", REVISION, kind="dataset")


def test_a_full_disk_is_said_before_the_download(
    server: Files, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Needed and free are named, and nothing is asked for."""
    usage = shutil.disk_usage(".")
    monkeypatch.setattr(shutil, "disk_usage", lambda _path: usage._replace(free=10_000))
    with pytest.raises(DataError, match=r"needs 0\.0 GB more; the disk of .* has 0\.0 GB free"):
        fetched()
    assert not [path for path, _ in server.requests if "resolve" in path]


@pytest.mark.parametrize("line", [b"x\tmany\tabc", b"x", b"x\t1\t\xff"])
def test_a_damaged_lock_is_an_error(tmp_path: Path, line: bytes) -> None:
    """It is not taken for an empty one: no number, cut short, no text."""
    lock = tmp_path / "a.tsv"
    lock.write_bytes(b"# a\npath\tbytes\tsha256\n" + line + b"\n")
    with pytest.raises(DataError, match="is no list of files"):
        Lock(lock, "a")


def test_a_lock_as_git_and_editors_leave_it(tmp_path: Path) -> None:
    """CRLF and a byte order mark do no harm, nor do names at which str.splitlines would cut."""
    lock = tmp_path / "a.tsv"
    text = f"# a\r\npath\tbytes\tsha256\r\nx\u2028y.tar\t5\t{'0' * 64}\r\n"
    lock.write_bytes(text.encode("utf-8-sig"))
    assert {n: (f.size, f.sha256) for n, f in Lock(lock, "a").files.items()} == {
        "x\u2028y.tar": (5, "0" * 64)
    }


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
