"""Loopback servers that stand in for the web: files over HTTP with ranges, and two hubs."""

import hashlib
import json
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, ClassVar
from urllib.parse import parse_qs, unquote, urlsplit


def listens(port: int) -> bool:
    """Whether a server that was just started takes connections, within ten seconds."""
    for _ in range(100):
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)) == 0:
                return True
        time.sleep(0.1)
    return False


@dataclass
class Files:
    """What a server has, and how it misbehaves."""

    files: dict[str, bytes] = field(default_factory=dict)
    # Requests for a path that are still to be cut after so many bytes.
    cut: dict[str, list[int]] = field(default_factory=dict)
    # Those that are to stop after so many bytes, and never end.
    stall: dict[str, list[int]] = field(default_factory=dict)
    # (path, first byte asked for) of each request for content.
    requests: list[tuple[str, int]] = field(default_factory=list)
    # What ModelScope's list has for SHA-256 of a file, where it is not that of its content.
    lies: dict[str, str] = field(default_factory=dict)
    # Paths of which so many bytes are sent, and the rest once nothing holds them.
    halted: dict[str, int] = field(default_factory=dict)
    # Where a hub has the content of its LFS files, as a mirror does that keeps none itself.
    storage: "Files | None" = None
    tokens: set[str] = field(default_factory=set)  # that requests came with
    url: str = ""
    _held: dict[str, threading.Event] = field(default_factory=dict)

    def hold(self, path: str) -> None:
        """Let requests for a path's content wait until `release`."""
        self._held[path] = threading.Event()

    def release(self, path: str) -> None:
        """Answer the requests that wait."""
        self._held.pop(path).set()

    def wait(self, path: str) -> None:
        """Wait while a path is held."""
        for held, event in list(self._held.items()):
            if path.endswith(held.rpartition("/")[2]):
                event.wait()


class _Handler(BaseHTTPRequestHandler):
    served: ClassVar[Files]
    protocol_version = "HTTP/1.1"

    def do_HEAD(self) -> None:
        self._answer(body=False)

    def do_GET(self) -> None:
        self._answer(body=True)

    def log_message(self, *_arguments: Any) -> None:
        """Keep the test's output clean."""

    def content(self, path: str) -> tuple[bytes | None, dict[str, str]]:
        data = self.served.files.get(path.lstrip("/"))
        return data, {"ETag": f'"{hashlib.md5(data).hexdigest()}"'} if data is not None else {}

    def _answer(self, *, body: bool) -> None:
        path = unquote(urlsplit(self.path).path)
        self.served.tokens.add(self.headers.get("Authorization", ""))
        data, headers = self.content(path)
        if "Location" in headers:
            self.send_response(302)
            for name, value in headers.items():
                self.send_header(name, value)
            self.send_header("Content-Length", "0")
            self.end_headers()
            return
        if data is None:
            self.send_response(404)
            self.send_header("Content-Length", "0")
            self.end_headers()
            return
        start = 0
        wanted = self.headers.get("Range")
        same = self.headers.get("If-Range") in (None, headers.get("ETag"))
        if wanted and same:
            start = int(wanted.removeprefix("bytes=").partition("-")[0])
        if start >= len(data) > 0:
            self.send_response(416)
            self.send_header("Content-Length", "0")
            self.end_headers()
            return
        self.send_response(206 if start else 200)
        for name, value in headers.items():
            self.send_header(name, value)
        if start:
            self.send_header("Content-Range", f"bytes {start}-{len(data) - 1}/{len(data)}")
        self.send_header("Content-Length", str(len(data) - start))
        self.end_headers()
        if body:
            self.served.requests.append((path, start))
            if halt := self.served.halted.get(path.lstrip("/")):
                self.wfile.write(data[start:halt])
                self.served.wait(path)
                start = halt
            self.served.wait(path)
            cuts = self.served.cut.get(path.lstrip("/"), [])
            stalls = self.served.stall.get(path.lstrip("/"), [])
            end = start + (stalls or cuts)[0] if stalls or cuts else len(data)
            with suppress(ConnectionError):  # the client was killed
                self.wfile.write(data[start:end])
            if stalls:
                stalls.pop(0)
                threading.Event().wait()
            elif cuts:
                cuts.pop(0)
            self.close_connection = end < len(data)


class _HubHandler(_Handler):
    """The routes of huggingface.co that listing and downloading use.

    Files are named REPO/PATH and have one revision; those that end in .tar are LFS files.
    """

    def content(self, path: str) -> tuple[bytes | None, dict[str, str]]:
        kind, _, rest = path.lstrip("/").removeprefix("api/").partition("/")
        if kind not in ("datasets", "models") or "/resolve/" in path:
            return self._file(path.lstrip("/").removeprefix("datasets/"))
        owner, name, action, revision, *_ = [*rest.split("/"), "", "", ""]
        repo = f"{owner}/{name}"
        own = {n: d for n, d in self.served.files.items() if n.startswith(f"{repo}/")}
        if not own:
            return None, {}
        described = [_describe(n.removeprefix(f"{repo}/"), data) for n, data in sorted(own.items())]
        if action == "tree":
            return json.dumps(described).encode(), {"Content-Type": "application/json"}
        info = {
            "id": repo,
            "sha": revision,
            "siblings": [{"rfilename": d["path"]} for d in described],
        }
        return json.dumps(info).encode(), {"Content-Type": "application/json"}

    def _file(self, path: str) -> tuple[bytes | None, dict[str, str]]:
        repo, _, rest = path.partition("/resolve/")
        revision, _, name = rest.partition("/")
        data = self.served.files.get(f"{repo}/{name}")
        if data is None:
            return None, {}
        found = _describe(name, data)
        etag = found.get("lfs", {}).get("oid") or found["oid"]
        headers = {
            "ETag": f'"{etag}"',
            "X-Repo-Commit": revision,
            "X-Linked-Size": str(len(data)),
            "X-Linked-ETag": f'"{etag}"',
        }
        if self.served.storage and "lfs" in found:
            self.served.storage.files[etag] = data
            headers |= {
                "Location": f"{self.served.storage.url}/{etag}",
                "X-Xet-Hash": etag,  # the mirror passes on what the hub says, and has none of it
                "X-Xet-Refresh-Route": f"{self.served.url}/api/xet-read-token",
            }
        return data, headers


class _ModelScopeHandler(_Handler):
    """The routes of modelscope.cn that listing and downloading of models use.

    Files are named REPO/PATH and have one revision. Those that end in .pt lie in another store,
    which answers ranges; the rest comes whole, whatever range is asked for.
    """

    STORE = "/store/"

    def do_GET(self) -> None:
        """As for every server, and redirect what lies in the store."""
        asked = urlsplit(self.path)
        path = parse_qs(asked.query).get("FilePath", [""])[0]
        if asked.path.endswith("/repo") and path.endswith(".pt"):
            repo = asked.path.removeprefix("/api/v1/models/").removesuffix("/repo")
            self.send_response(302)
            self.send_header("Location", f"{self.served.url}{self.STORE}{repo}/{path}")
            self.send_header("Content-Length", "0")
            self.end_headers()
            return
        super().do_GET()

    def content(self, path: str) -> tuple[bytes | None, dict[str, str]]:
        if path.startswith(self.STORE):
            return self.served.files.get(path.removeprefix(self.STORE)), {}
        repo, _, action = path.removeprefix("/api/v1/models/").partition("/repo")
        query = parse_qs(urlsplit(self.path).query)
        if action == "/files":
            files = [
                self._file(repo, n) for n in sorted(self.served.files) if n.startswith(f"{repo}/")
            ]
            folder = {"Path": "folder", "Type": "tree", "Size": 0}
            answer = {"Code": 200, "Success": True, "Data": {"Files": [folder, *files]}}
            return (json.dumps(answer).encode() if files else None), {}
        del self.headers["Range"]
        return self.served.files.get(f"{repo}/{query.get('FilePath', [''])[0]}"), {}

    def _file(self, repo: str, name: str) -> dict[str, Any]:
        data = self.served.files[name]
        return {
            "Path": name.removeprefix(f"{repo}/"),
            "Type": "blob",
            "Size": len(data),
            "Sha256": self.served.lies.get(name) or hashlib.sha256(data).hexdigest(),
        }


def _describe(path: str, data: bytes) -> dict[str, Any]:
    described: dict[str, Any] = {
        "type": "file",
        "path": path,
        "size": len(data),
        "oid": hashlib.sha1(f"blob {len(data)}\0".encode() + data).hexdigest(),
    }
    if path.endswith(".tar"):
        oid = hashlib.sha256(data).hexdigest()
        described["lfs"] = {"oid": oid, "size": len(data), "pointerSize": 134}
    return described


@contextmanager
def listening(handler: type[BaseHTTPRequestHandler]) -> Iterator[str]:
    """Let a handler answer on 127.0.0.1 until the block ends; its address."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        server.server_close()


@contextmanager
def serving(*, hub: bool = False, modelscope: bool = False) -> Iterator[Files]:
    """Serve files from 127.0.0.1 until the block ends."""
    served = Files()
    base = _HubHandler if hub else _ModelScopeHandler if modelscope else _Handler
    with listening(type("Handler", (base,), {"served": served})) as served.url:
        yield served
