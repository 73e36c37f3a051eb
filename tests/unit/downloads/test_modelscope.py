"""Models of ModelScope arrive whole, go on after a kill, and are checked against the lock.

Against a stand-in of the routes that `modelscope_hub` calls; the site itself has not been asked.
"""

import hashlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from galgame_asr.core.paths import SOURCES
from galgame_asr.downloads import hub
from galgame_asr.messages.errors import DataError
from tests.conftest import REPOSITORY
from tests.servers import Files, serving

REPO, REVISION = "owner/model", "master"
PATIENCE_S = 60
WEIGHTS = bytes(range(256)) * 8192  # 2 MiB
LOCK = SOURCES / "modelscope--owner--model.tsv"
KEPT = Path(".scratch/downloads/model--modelscope--owner--model--master")


@pytest.fixture
def server(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Files]:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("DVC_ROOT", raising=False)
    monkeypatch.setenv("MODELSCOPE_CACHE", str(tmp_path / "cache"))  # its locks
    with serving(modelscope=True) as files:
        monkeypatch.setenv("MODELSCOPE_ENDPOINT", files.url)
        files.files = {
            f"{REPO}/model.pt": WEIGHTS,
            f"{REPO}/config.yaml": b"model: FunASRNano\n",
            f"{REPO}/Qwen3/config.json": b"{}",
        }
        yield files


def fetched() -> dict[str, bytes]:
    files = hub.download(REPO, REVISION, kind="model", source="modelscope")
    return {name: file.read_bytes() for name, file in files.items()}


def content(server: Files) -> dict[str, bytes]:
    return {name.removeprefix(f"{REPO}/"): data for name, data in server.files.items()}


def starts(server: Files) -> list[int]:
    """First bytes that were asked for of the weights."""
    return [start for path, start in server.requests if path.endswith("model.pt")]


def test_all_files_arrive_and_are_locked(server: Files) -> None:
    """A second download asks for nothing; the lock is not that of the other hub's files."""
    assert fetched() == content(server)
    head, _, *rows = LOCK.read_text().splitlines()
    assert head == f"# model {REPO} at master of ModelScope"
    assert f"model.pt\t{len(WEIGHTS)}\t{hashlib.sha256(WEIGHTS).hexdigest()}" in rows
    assert [path.name for path in SOURCES.iterdir()] == [LOCK.name]
    server.requests.clear()
    assert fetched()["model.pt"] == WEIGHTS
    assert server.requests == []


def test_a_download_that_was_killed_goes_on(server: Files) -> None:
    """What had arrived is not asked for again, and the bytes are the hub's."""
    server.stall["store/owner/model/model.pt"] = [1_500_000]
    code = (
        "from galgame_asr.downloads import hub\n"
        f"hub.download({REPO!r}, {REVISION!r}, kind='model', source='modelscope')"
    )
    environment = os.environ | {"PYTHONPATH": str(REPOSITORY / "src")}
    process = subprocess.Popen([sys.executable, "-c", code], env=environment)
    part = KEPT / "model.pt.incomplete"
    deadline = time.monotonic() + PATIENCE_S
    while not part.exists() or part.stat().st_size < 1_000_000:
        assert process.poll() is None, "it ended before it could be killed"
        assert time.monotonic() < deadline, "nothing arrived"
        time.sleep(0.02)
    process.send_signal(signal.SIGKILL)
    process.wait()
    assert not LOCK.exists()
    assert fetched() == content(server)
    first, second = starts(server)
    assert first == 0
    assert 1_000_000 <= second <= 1_500_000
    assert not list(KEPT.rglob("*.incomplete"))


def test_a_connection_that_breaks_is_taken_up_again(server: Files) -> None:
    """Without anyone's help."""
    server.cut["store/owner/model/model.pt"] = [700_000]
    assert fetched() == content(server)
    assert len(starts(server)) == 2
    assert starts(server)[1] > 0


def test_a_file_other_than_listed_is_an_error(server: Files) -> None:
    """Asked for twice; the message has the file and both hashes in full."""
    expected = hashlib.sha256(b"other").hexdigest()
    server.lies[f"{REPO}/model.pt"] = expected
    found = hashlib.sha256(WEIGHTS).hexdigest()
    with pytest.raises(DataError, match=rf"model\.pt has SHA-256 {found} instead of {expected}"):
        fetched()
    assert starts(server) == [0, 0]
    assert not (KEPT / "model.pt").exists()


def test_a_file_other_than_locked_is_an_error_before_it_is_downloaded(server: Files) -> None:
    """As where a branch has moved on; the message names the lock."""
    fetched()
    for path in KEPT.parent.iterdir():
        path.rename(Path(f"{path.name}.old"))
    server.requests.clear()
    server.files[f"{REPO}/model.pt"] = WEIGHTS[::-1]
    expected = hashlib.sha256(WEIGHTS).hexdigest()
    with pytest.raises(
        DataError,
        match=r"the hub says that model\.pt has 2097152 bytes and SHA-256 \w{64} instead of "
        rf"2097152 and {expected} \(sources/modelscope--owner--model\.tsv\)",
    ):
        fetched()
    assert starts(server) == []


def test_a_short_file_is_an_error(server: Files, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of another size than the list has it."""
    monkeypatch.setattr("time.sleep", lambda _seconds: None)
    known = KEPT.with_name(f"{KEPT.name}.json")
    fetched()
    (KEPT / "model.pt").unlink()
    known.write_text(known.read_text().replace(str(len(WEIGHTS)), str(len(WEIGHTS) + 1)))
    LOCK.unlink()
    with pytest.raises(DataError, match=r"model\.pt did not arrive: .*2097152 bytes"):
        fetched()


def test_a_path_outside_is_refused(server: Files, tmp_path: Path) -> None:
    """A list of files does not say where on this machine they go."""
    server.files[f"{REPO}/../../evil.py"] = b"run"
    with pytest.raises(DataError, match=r"'\.\./\.\./evil\.py', which would lie outside of it"):
        fetched()
    assert not list(tmp_path.rglob("evil.py"))


def test_what_is_not_there_is_named(server: Files, monkeypatch: pytest.MonkeyPatch) -> None:
    """No such repository, no such site."""
    with pytest.raises(DataError, match="model owner/none at master of ModelScope cannot be list"):
        hub.download("owner/none", REVISION, kind="model", source="modelscope")
    monkeypatch.setattr("time.sleep", lambda _seconds: None)  # between its retries
    monkeypatch.setenv("MODELSCOPE_ENDPOINT", "http://127.0.0.1:9")
    with pytest.raises(DataError, match="cannot be listed"):
        fetched()
