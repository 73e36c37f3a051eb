"""Who the server answers, and what."""

import io
import re
import shutil
import socket
from pathlib import Path
from typing import Any

import pytest
import soundfile as sf
from starlette.testclient import TestClient

from galgame_asr.cli import dispatch
from galgame_asr.core.reader import ShardReader
from galgame_asr.labelling import queues, server
from galgame_asr.labelling.desk import Desk
from galgame_asr.messages.errors import ConfigError, DataError
from tests import labels, tables

ADDRESS, TOKEN = "127.0.0.1:8391", "a-token_of-this_test"
NAMES = {"corpus": "vn", "queue": "audit", "by": "mei", "file": "corrections/vn.tsv"}
AMONG = {"show": "all", "tag": "", "search": ""}
PATHS = ("", "page.js", "page.css", "theme.css", "wavesurfer.js", "audio?id=0001")


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A corpus of six utterances, which no test changes."""
    folder = tmp_path_factory.mktemp("corpus")
    labels.make(folder, 6)
    return folder


@pytest.fixture
def client(corpus: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> TestClient:
    """A client that knows the token, of a server with the six."""
    shutil.copytree(corpus, tmp_path, dirs_exist_ok=True)
    monkeypatch.chdir(tmp_path)
    items = queues.load("audit", "vn", tables.CURRICULUM)
    desk = Desk(items, Path("corrections/vn.tsv"), "mei", "audit")
    app = server.make_app(desk, ShardReader(Path("data/raw")), NAMES, ADDRESS, TOKEN)
    return TestClient(app, base_url=f"http://{ADDRESS}/{TOKEN}/")


def post(client: TestClient, path: str, **sent: Any) -> Any:
    answer = client.post(path, json=sent | {"among": AMONG})
    assert answer.status_code == 200, answer.text
    return answer.json()


def decide(client: TestClient, id_: str, **sent: Any) -> Any:
    sent = {"what": "keep", "text": "", "why": "", "seen": None} | sent
    return post(client, "decide", id=id_, **sent)


def test_everything_is_served_from_here(client: TestClient) -> None:
    """Page, script, styles and sound; none is kept by a cache, framed or read by others."""
    for path in PATHS:
        answer = client.get(path)
        assert answer.status_code == 200, path
        assert answer.headers["cache-control"] == "no-store"
        assert "default-src 'none'" in answer.headers["content-security-policy"]
        assert "frame-ancestors 'none'" in answer.headers["content-security-policy"]
        assert answer.headers["referrer-policy"] == "no-referrer"
        assert not [name for name in answer.headers if name.startswith("access-control")]
    page = client.get("").text
    (nonce,) = re.findall('nonce="([^"]+)"', page)
    assert (
        f"'nonce-{nonce}'" not in client.get("").headers["content-security-policy"]
    )  # each its own
    assert "//" not in page.replace("<!DOCTYPE", "")
    for path in ("page.js", "page.css", "theme.css"):
        assert "http" not in client.get(path).text


@pytest.mark.parametrize(
    "headers",
    [
        {"Origin": "http://example.org"}, {"Origin": "null"}, {"Origin": "http://127.0.0.1:8392"},
        {"Origin": f"https://{ADDRESS}"}, {"Host": "example.org"}, {"Host": "127.0.0.1"},
        {"Host": "localhost:8391"}, {"Host": "example.org:8391"}, {"Host": ""},
    ],
)  # fmt: skip
def test_others_are_refused(client: TestClient, headers: dict[str, str]) -> None:
    """Another Origin or Host, though it knows the token, learns and does nothing."""
    for path in (*PATHS, "look", "decide", "undo"):
        for method in ("GET", "POST", "OPTIONS", "HEAD"):
            answer = client.request(method, path, headers=headers)
            assert answer.status_code == 403
            assert "access-control-allow-origin" not in answer.headers
    assert labels.decided(Path()) == {}


@pytest.mark.parametrize(
    "token", ["", "x", TOKEN[:-1], f"{TOKEN}x", TOKEN.upper(), "é", "..", "%2e"]
)
def test_a_wrong_token_is_refused(client: TestClient, token: str) -> None:
    """Whatever path follows it; unknown paths behind the right one are none."""
    for path in ("", *PATHS, "look", "../page.js"):
        url = f"http://{ADDRESS}/{token}/{path}"
        assert client.get(url).status_code == 403, url
        assert client.post(url, json={}).status_code == 403, url
    assert client.get("nothing").status_code == 404
    assert client.get("../page.html.jinja").status_code == 403


def test_its_own_origin_may(client: TestClient) -> None:
    """As the page's own requests have it."""
    sent = {"id": None, "match": False, "among": AMONG}
    answer = client.post("look", json=sent, headers={"Origin": f"http://{ADDRESS}"})
    assert answer.json()["view"]["item"]["id"] == "0000"


def test_audio_is_the_utterance(client: TestClient) -> None:
    """WAV, mono, 16 kHz, whatever the shard holds; of another id an error that is told."""
    samples, rate = sf.read(io.BytesIO(client.get("audio?id=0003").content))
    assert (len(samples), rate, samples.ndim) == (16_000, 16_000, 1)
    assert 0.2 < abs(samples).max() < 0.3
    answer = client.get("audio?id=nothing")
    assert answer.status_code == 422
    assert answer.json() == {"error": "utterance 'nothing' is not in this queue"}


def test_a_decision_is_in_the_file_when_the_next_shows(client: TestClient) -> None:
    """And the answer holds both."""
    answer = decide(client, "0001", what="text", text="そうですね")
    assert labels.decided(Path())["0001"].text == "そうですね"
    assert answer["view"]["item"]["id"] == "0002"
    assert answer["view"]["counts"]["text"] == 1
    assert answer["made"]["text"] == "そうですね"
    looked = post(client, "look", id="0001", match=False)
    assert looked["view"]["decision"] == answer["made"]


def test_a_stale_page_overwrites_nothing(client: TestClient) -> None:
    """It gets what is there now instead."""
    decide(client, "0001", what="drop")
    sent = {"id": "0001", "what": "keep", "text": "", "why": "", "seen": None, "among": AMONG}
    answer = client.post("decide", json=sent)
    assert answer.status_code == 409
    assert "decided elsewhere" in answer.json()["error"]
    assert answer.json()["view"]["decision"]["what"] == "drop"
    assert labels.decided(Path())["0001"].what == "drop"


def test_undo_brings_the_utterance_back(client: TestClient) -> None:
    """As it was before; twice is an error that is told."""
    made = decide(client, "0001", what="drop")["made"]
    answer = post(client, "undo", id="0001", made=made)
    assert answer["view"]["item"]["id"] == "0001"
    assert answer["view"]["decision"] is None
    again = client.post("undo", json={"id": "0001", "made": made, "among": AMONG})
    assert again.status_code == 409


def test_look_finds_its_way(client: TestClient) -> None:
    """An id of another queue, or one that does not match, leads to the first open utterance."""
    decide(client, "0000")
    for sent in ({"id": "gone", "match": False}, {"id": None, "match": True}):
        assert post(client, "look", **sent)["view"]["item"]["id"] == "0001"
    still = {"id": "0000", "among": AMONG | {"show": "open"}}
    answer = client.post("look", json=still | {"match": False}).json()
    assert (answer["view"]["item"]["id"], answer["view"]["nth"]) == ("0000", None)
    answer = client.post("look", json=still | {"match": True}).json()
    assert (answer["view"]["item"]["id"], answer["view"]["nth"]) == ("0001", 1)
    nothing = {"id": "0000", "match": True, "among": AMONG | {"search": "nothing has this"}}
    assert client.post("look", json=nothing).json()["view"]["item"] is None


@pytest.mark.parametrize(
    "body",
    [b"", b"{}", b"[]", b"\xff", b'{"id": 1, "what": "keep"}',
     b'{"id": "0001", "what": "text", "text": "\\ud800", "why": "", "seen": null, "among": {}}',
     b'{"id": "0001", "what": "text", "text": " ", "why": "", "seen": null, "among": {}}',
     b'{"id": "0001", "what": "burn", "text": "", "why": "", "seen": null, "among": {}}',
     b'{"id": "none", "what": "keep", "text": "", "why": "", "seen": null, "among": {}}',
     b'{"id": "0001", "what": "keep", "text": "", "why": "", "seen": null, "among": {"x": 1}}'],
)  # fmt: skip
def test_what_is_no_decision_is_refused(client: TestClient, body: bytes) -> None:
    """With a message, and nothing is written."""
    answer = client.post("decide", content=body)
    assert answer.status_code == 422
    assert answer.json()["error"]
    assert not Path("corrections/vn.tsv").exists()


def test_a_disk_that_takes_nothing_is_told(
    client: TestClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The page must not go on as if it were saved."""

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("galgame_asr.manifests.corrections.append", full)
    sent = {"id": "0001", "what": "keep", "text": "", "why": "", "seen": None, "among": AMONG}
    answer = client.post("decide", json=sent)
    assert answer.status_code == 422
    assert "No space left" in answer.json()["error"]


def test_it_listens_on_this_machine_alone(
    client: TestClient, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """At 127.0.0.1, with another token each time; a port that is taken is said to be."""
    served: list[tuple[str, int]] = []

    def run(self: object, sockets: list[socket.socket]) -> None:
        served.append(sockets[0].getsockname())
        sockets[0].close()

    monkeypatch.setattr("uvicorn.Server.run", run)
    command = ["label", "vn", "--queue", "random", "--by", "mei", "--port"]
    for _ in range(2):
        dispatch([*command, "0"])
    assert {host for host, _ in served} == {"127.0.0.1"}
    said = re.findall(r"http://127\.0\.0\.1:(\d+)/([\w-]{32})/", capsys.readouterr().out)
    assert [int(port) for port, _ in said] == [port for _, port in served]
    assert said[0][1] != said[1][1]
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(ConfigError, match=f"port {port} .* --port {port + 1}"):
            dispatch([*command, str(port)])


def test_the_command_says_what_is_wrong_first(client: TestClient) -> None:
    """Before a page opens: an unknown corpus, a queue that is not there, a damaged file."""
    with pytest.raises(ConfigError, match=r"no corpus 'vm'. Did you mean 'vn'"):
        dispatch(["label", "vm"])
    with pytest.raises(DataError, match=r"data/scored/full/p100-none.parquet is missing"):
        dispatch(["label", "vn", "--queue", "errors", "--by", "mei"])
    Path("corrections").mkdir()
    Path("corrections/vn.tsv").write_text("no head\n")
    with pytest.raises(DataError, match=r"vn.tsv:1"):
        dispatch(["label", "vn", "--by", "mei"])
