"""The real profile's data stages, with a loopback server in the hub's place; kills in them."""

import hashlib
import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from galgame_asr.core import utterances
from tests.pipeline.conftest import Workspace, executed
from tests.servers import Files, serving

REPO = "litagin/Galgame_Speech_ASR_16kHz"
SHARD = "data/galgame-speech-asr-16kHz-train-{:06}.tar"


@pytest.fixture
def hub(workspace: Workspace) -> Iterator[Files]:
    """The galgame corpus in its layout, made of the workspace's own shards."""
    with serving(hub=True) as server:
        raw = workspace.root / "data/raw"
        shards = {0: "vn/vn-000000.tar", 1: "reading/reading-000000.tar", 103: "vn/vn-000001.tar"}
        counts = {}
        for number, source in shards.items():
            name = SHARD.format(number)
            server.files[f"{REPO}/{name}"] = (raw / source).read_bytes()
            rows = utterances.read(workspace.root / f"data/manifest/{source.split('/')[0]}.parquet")
            counts[Path(name).name] = int((rows["shard"] == source).sum())
        server.files[f"{REPO}/num_samples_of_tar.json"] = json.dumps(counts).encode()
        yield server


def use_profile(workspace: Workspace) -> None:
    """The profile as it is, but for shares that leave something of so few utterances."""
    workspace.run("galgame-asr", "profile", "galgame")
    workspace.edit(lambda values: values["split"].update(dev=0.2, test=0.0))


def test_the_profile_plans_the_real_run(workspace: Workspace) -> None:
    """Every stage of the real run stands there before anything is downloaded.

    Without --force, DVC stops at the first output that does not exist yet.
    """
    workspace.run("galgame-asr", "profile", "galgame")
    plan = executed(workspace.run("dvc", "repro", "--dry", "--force").stdout)
    assert set(plan[:2]) == {"fetch@galgame", "corrections@galgame"}
    assert plan[2:5] == ["manifest@galgame", "split", "mix@adaptor"]
    assert {"train@adaptor", "train@encoder", "train@full", "report"} <= set(plan)
    assert not [stage for stage in plan if "vn" in stage or "reading" in stage]


def test_fetch_manifest_and_split_of_the_real_profile(workspace: Workspace, hub: Files) -> None:
    """Through huggingface_hub and DVC; the makers' test shard is the test set."""
    use_profile(workspace)
    workspace.run("dvc", "repro", "--no-run-cache", "split", HF_ENDPOINT=hub.url)
    split = {
        name: pd.read_parquet(workspace.root / f"data/split/{name}.parquet")
        for name in ("train", "dev", "test", "left_out")
    }
    assert set(split["test"]["shard"]) == {f"galgame/{Path(SHARD.format(103)).name}"}
    assert not {f"galgame/{Path(SHARD.format(103)).name}"} & {*split["train"]["shard"]}
    # The narrator reads some of the test shard's sentences; a full-width ！ is not in its charset.
    assert set(split["left_out"]["flags"].map(tuple)) <= {("leak",), ("text_charset",)}
    assert sum(len(part) for part in split.values()) == 100
    lock = (workspace.root / f"sources/{REPO.replace('/', '--')}.tsv").read_text()
    assert lock.count(".tar\t") == 3
    # Again: nothing runs, so no server is needed.
    hub.requests.clear()
    assert executed(workspace.run("dvc", "repro", "split").stdout) == []
    assert hub.requests == []


def test_a_first_try_on_a_part(workspace: Workspace, hub: Files) -> None:
    """Of the corpus: one shard, so many of its rows, and the makers' test set."""
    use_profile(workspace)
    workspace.edit(lambda values: values["corpora"]["galgame"].update(limit=12))
    workspace.edit(lambda values: values["split"].update(min_test=1))
    workspace.run("dvc", "repro", "--no-run-cache", "split", HF_ENDPOINT=hub.url)
    assert not any(SHARD.format(1) in str(request) for request in hub.requests)
    read = {
        name: pd.read_parquet(workspace.root / f"data/split/{name}.parquet")
        for name in ("train", "test", "left_out")
    }
    assert len(read["train"]) == 12
    assert set(read["train"]["shard"]) == {f"galgame/{Path(SHARD.format(0)).name}"}
    assert set(read["test"]["shard"]) == {f"galgame/{Path(SHARD.format(103)).name}"}
    assert ("limit",) in set(read["left_out"]["flags"].map(tuple))


def test_a_rerun_of_the_fetch_downloads_nothing(workspace: Workspace, hub: Files) -> None:
    """DVC deletes the output first; scratch folder, cache and output share one file."""
    use_profile(workspace)
    for number in (0, 1, 103):  # of what lies in the cache already, DVC links that
        hub.files[f"{REPO}/{SHARD.format(number)}"] += bytes(512)
    fetch = ("dvc", "repro", "--no-run-cache", "--force", "--single-item", "fetch@galgame")
    raw = workspace.root / "data/raw/galgame"
    workspace.run(*fetch, HF_ENDPOINT=hub.url)
    first = {path.name: path.stat().st_ino for path in raw.glob("*.tar")}
    hub.requests.clear()
    assert executed(workspace.run(*fetch, HF_ENDPOINT="http://127.0.0.1:9").stdout)
    assert {path.name: path.stat().st_ino for path in raw.glob("*.tar")} == first
    assert {path.stat().st_nlink for path in raw.glob("*.tar")} == {3}
    assert hub.requests == []


def test_a_damaged_download_leaves_the_cache_alone(workspace: Workspace, hub: Files) -> None:
    """One file is downloaded anew, and DVC's cache keeps its own."""
    use_profile(workspace)
    fetch = ("dvc", "repro", "--no-run-cache", "--force", "--single-item", "fetch@galgame")
    workspace.run(*fetch, HF_ENDPOINT=hub.url)
    name = SHARD.format(1)
    (kept,) = (workspace.root / ".scratch/downloads").glob(f"*/{name}")
    content = kept.read_bytes()
    kept.unlink()  # another file, or the cache would be damaged too
    kept.write_bytes(content[::-1])
    hub.requests.clear()
    workspace.run(*fetch, HF_ENDPOINT=hub.url)
    assert [path for path, _ in hub.requests if path.endswith(".tar")] == [
        f"/datasets/{REPO}/resolve/3fb86654222b3f0af0f7c332ae6a0ef9752a9451/{name}"
    ]
    assert (workspace.root / "data/raw/galgame" / Path(name).name).read_bytes() == content
    oid = hashlib.md5(content).hexdigest()
    cached = workspace.root / ".dvc/cache/files/md5" / oid[:2] / oid[2:]
    assert cached.read_bytes() == content == kept.read_bytes()


@pytest.mark.parametrize(
    ("source", "revision", "variable"),
    [("huggingface", "a" * 40, "HF_ENDPOINT"), ("modelscope", "master", "MODELSCOPE_ENDPOINT")],
)
def test_a_base_of_a_hub_is_downloaded_once(
    workspace: Workspace, source: str, revision: str, variable: str
) -> None:
    """A rerun asks for nothing; weights of another file replace those of the download.

    One that would have Python run is refused.
    """
    model = workspace.root / "models/base"
    files = {path.relative_to(model).as_posix(): path for path in model.rglob("*")}
    content = {name: path.read_bytes() for name, path in files.items() if path.is_file()}
    weights = workspace.root / "models/full/p100/model.pt"
    hub = {"source": source, "repo": "owner/model", "revision": revision}
    run: Any = workspace.run
    nowhere = {variable: "http://127.0.0.1:9"}
    stage = ("dvc", "repro", "--no-run-cache", "--force", "--single-item", "base@hub")

    def given() -> dict[str, bytes]:
        return {name: (model / name).read_bytes() for name in content}

    with serving(hub=source == "huggingface", modelscope=source == "modelscope") as server:
        server.files = {f"owner/model/{name}": data for name, data in content.items()}
        workspace.edit(lambda values: values.update(base={"existing": {"hub": hub}, "built": {}}))
        run(*stage, **{variable: server.url})
        assert given() == content
        server.requests.clear()
        run(*stage, **nowhere)
        assert given() == content
        workspace.edit(
            lambda values: values["base"]["existing"]["hub"].update(weights=str(weights))
        )
        run(*stage, **nowhere)
        assert given()["model.pt"] != content["model.pt"]
        workspace.edit(lambda values: values["base"]["existing"]["hub"].update(weights=None))
        run(*stage, **nowhere)
        assert given() == content
        assert server.requests == []
        server.files["owner/model/config.yaml"] += b"remote_code: ./model.py\n"
        hub["repo"] = "owner/other"
        server.files |= {n.replace("model/", "other/", 1): d for n, d in server.files.items()}
        workspace.edit(lambda values: values["base"]["existing"]["hub"].update(hub))
        done = run(*stage, check=False, **{variable: server.url})
        assert done.returncode != 0
        assert "config.yaml: remote_code is './model.py', by which Python that came" in done.stdout


def test_without_the_hub_the_message_says_so(workspace: Workspace) -> None:
    """And nothing half-written stays."""
    use_profile(workspace)
    done = workspace.run(
        "dvc", "repro", "--no-run-cache", "fetch@galgame", check=False, HF_ENDPOINT="http://127.0.0.1:9",
        HF_HUB_DOWNLOAD_TIMEOUT="1",
    )  # fmt: skip
    assert done.returncode != 0
    assert f"DataError: dataset {REPO} at 3fb86654" in done.stdout
    assert "Traceback" not in done.stdout
    assert not (workspace.root / "data/raw/galgame").exists()


def start(workspace: Workspace, *arguments: str, **environment: str) -> subprocess.Popen[bytes]:
    """A stage in the background, in a session of its own."""
    return subprocess.Popen(
        [sys.executable, "-m", *arguments],
        cwd=workspace.root,
        env=os.environ | {"PYTHONPATH": "src"} | environment,
        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
    )  # fmt: skip


def wait_for(path: Path, pattern: str) -> None:
    for _ in range(600):
        if list(path.glob(pattern)):
            return
        time.sleep(0.02)
    raise AssertionError(f"{path}/{pattern} did not appear")


def test_a_killed_download_goes_on(workspace: Workspace, hub: Files) -> None:
    """What had arrived is not asked for again, and the corpus is that of one go."""
    use_profile(workspace)
    held = f"{REPO}/{SHARD.format(103)}"
    hub.hold(held)
    stage = start(workspace, "galgame_asr.stages.fetch", "galgame", HF_ENDPOINT=hub.url)
    downloads = workspace.root / ".scratch/downloads"
    for number in (0, 1):
        wait_for(downloads, f"*/{SHARD.format(number)}")
    stage.kill()
    stage.wait()
    assert not (workspace.root / "data/raw/galgame").exists()
    hub.release(held)
    hub.requests.clear()
    workspace.run("dvc", "repro", "--no-run-cache", "split", HF_ENDPOINT=hub.url)
    fetched = [path for path, _ in hub.requests if path.endswith(".tar")]
    assert len(fetched) == 1
    assert fetched[0].endswith(SHARD.format(103))
    for number in (0, 1, 103):
        name = SHARD.format(number)
        found = (workspace.root / "data/raw/galgame" / Path(name).name).read_bytes()
        assert found == hub.files[f"{REPO}/{name}"]


def test_a_download_from_a_mirror_is_killed_in_mid_file(workspace: Workspace, hub: Files) -> None:
    """That file alone comes anew, from its start; what it left half-way takes no room.

    The content lies elsewhere, as with public mirrors; the token does not go there.
    """
    use_profile(workspace)
    name = f"{REPO}/{SHARD.format(1)}"
    downloads = workspace.root / ".scratch/downloads"
    with serving() as hub.storage:
        oid = hashlib.sha256(hub.files[name]).hexdigest()
        hub.storage.halted[oid] = 5000
        for _ in range(2):
            hub.storage.hold(oid)
            stage = start(
                workspace, "galgame_asr.stages.fetch", "galgame",
                HF_ENDPOINT=hub.url, HF_HUB_DISABLE_XET="1", HF_TOKEN="hf_secret",
            )  # fmt: skip
            for number in (0, 103):
                wait_for(downloads, f"*/{SHARD.format(number)}")
            wait_for(downloads, "*/.cache/**/*.incomplete")
            while (f"/{oid}", 0) not in hub.storage.requests:
                assert stage.poll() is None
                time.sleep(0.02)
            stage.kill()
            stage.wait()
            hub.storage.release(oid)
            asked = [path for path, _ in hub.storage.requests]
            hub.storage.requests.clear()
        assert asked == [f"/{oid}"], "the others had arrived"
        assert len(list(downloads.glob("*/.cache/**/*.incomplete"))) == 1
        fetch = (sys.executable, "-m", "galgame_asr.stages.fetch", "galgame")
        workspace.run(*fetch, HF_ENDPOINT=hub.url, HF_HUB_DISABLE_XET="1", HF_TOKEN="hf_secret")
        assert hub.storage.requests == [(f"/{oid}", 0)]
        found = workspace.root / "data/raw/galgame" / Path(name).name
        assert found.read_bytes() == hub.files[name]
        assert not list(downloads.glob("*/.cache"))
        assert "Bearer hf_secret" in hub.tokens
        assert hub.storage.tokens == {""}


def test_a_mirror_without_xet_is_an_error_that_names_the_remedy(
    workspace: Workspace, hub: Files
) -> None:
    """It passes on what the hub says of its storage, and has none of it."""
    use_profile(workspace)
    fetch = (sys.executable, "-m", "galgame_asr.stages.fetch", "galgame")
    with serving() as hub.storage:
        done = workspace.run(*fetch, check=False, HF_ENDPOINT=hub.url, HF_HUB_DISABLE_XET="")
        assert done.returncode == 1
        assert "HF_HUB_DISABLE_XET=1 asks for plain files" in done.stdout
        workspace.run(*fetch, HF_ENDPOINT=hub.url, HF_HUB_DISABLE_XET="1")


def test_a_killed_manifest_stage_leaves_nothing_half_written(workspace: Workspace) -> None:
    """The next run gives the same bytes."""
    path = workspace.root / "data/manifest/vn.parquet"
    before = path.read_bytes()
    path.unlink()
    stage = start(workspace, "galgame_asr.stages.manifest", "vn")
    wait_for(workspace.root / ".scratch", "manifest@vn")
    stage.kill()
    stage.wait()
    assert not path.exists()
    workspace.stage("manifest", "vn")
    assert path.read_bytes() == before
