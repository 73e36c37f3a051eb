"""A loopback server that stands in for the part of the Hugging Face hub that takes models.

It answers what huggingface_hub 2.4 asks when it makes a repository and commits files to it,
and checks the SHA-256 of what arrives; large files come in parts.
"""

import base64
import hashlib
import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler
from typing import Any, ClassVar
from urllib.parse import urlsplit

from tests.servers import listening


@dataclass
class Hub:
    """What was made and uploaded, and how it misbehaves."""

    url: str = ""
    chunk: int = 1000  # bytes of a part
    private: dict[str, bool] = field(default_factory=dict)
    # By repository, of each commit: its message, and the content of its files.
    commits: list[tuple[str, str, dict[str, bytes]]] = field(default_factory=list)
    parts: dict[str, dict[int, bytes]] = field(default_factory=dict)
    objects: dict[str, bytes] = field(default_factory=dict)
    # Of who made a repository or committed.
    tokens: set[str | None] = field(default_factory=set)
    # Requests by method and first part of the path.
    requests: list[str] = field(default_factory=list)
    refuse_commits: bool = False


class _Handler(BaseHTTPRequestHandler):
    hub: ClassVar[Hub]
    protocol_version = "HTTP/1.1"

    def log_message(self, *_arguments: Any) -> None:
        """Keep the test's output clean."""

    def do_GET(self) -> None:
        self._handle()

    def do_POST(self) -> None:
        self._handle()

    def do_PUT(self) -> None:
        self._handle()

    def _handle(self) -> None:
        body = self._body()
        path = urlsplit(self.path).path
        self.hub.requests.append(f"{self.command} {path}")
        status, answer = self._answer(path, body)
        content = json.dumps(answer).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        if self.command == "PUT":
            self.send_header("ETag", f'"{hashlib.md5(body).hexdigest()}"')
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def _body(self) -> bytes:
        if self.headers.get("Transfer-Encoding") != "chunked":
            return self.rfile.read(int(self.headers.get("Content-Length") or 0))
        chunks = []
        while size := int(self.rfile.readline(), 16):
            chunks.append(self.rfile.read(size))
            self.rfile.readline()
        self.rfile.readline()
        return b"".join(chunks)

    def _answer(self, path: str, body: bytes) -> tuple[int, Any]:  # noqa: PLR0911
        match path.strip("/").split("/"):
            case ["lfs", oid, part] if self.command == "PUT":
                self.hub.parts.setdefault(oid, {})[int(part)] = body
                return 200, {}
            case ["lfs", oid]:
                data = b"".join(content for _, content in sorted(self.hub.parts[oid].items()))
                assert hashlib.sha256(data).hexdigest() == oid
                self.hub.objects[oid] = data
                return 200, {"success": True}
        match path.strip("/").split("/"):
            case ["api", "repos", "create"]:
                return self._create(json.loads(body))
            case ["api", "validate-yaml"]:
                return 200, {"errors": [], "warnings": []}
            case ["api", "models", user, name]:
                repo = f"{user}/{name}"
                return 200, {"id": repo, "private": self.hub.private[repo], "siblings": []}
            case ["api", "models", _, _, "preupload", "main"]:
                return 200, {"files": [_mode(file) for file in json.loads(body)["files"]]}
            case [_, _, "info", "lfs", "objects", "batch"]:
                return 200, {"objects": [self._parts(item) for item in json.loads(body)["objects"]]}
            case ["api", "models", user, name, "commit", "main"]:
                return self._commit(f"{user}/{name}", body)
        return 404, {}

    def _create(self, asked: dict[str, Any]) -> tuple[int, Any]:
        self.hub.tokens.add(self.headers.get("Authorization"))
        repo = f"{asked['organization']}/{asked['name']}"
        if repo in self.hub.private:
            return 409, {
                "error": "You already created this model repo",
                "url": f"{self.hub.url}/{repo}",
            }
        self.hub.private[repo] = asked["visibility"] == "private"
        return 200, {"url": f"{self.hub.url}/{repo}", "id": repo}

    def _parts(self, item: dict[str, Any]) -> dict[str, Any]:
        url = f"{self.hub.url}/lfs/{item['oid']}"
        count = -(-item["size"] // self.hub.chunk)
        header = {str(part): f"{url}/{part}" for part in range(1, count + 1)}
        return item | {"actions": {"upload": {"href": url, "header": header | {
            "chunk_size": str(self.hub.chunk)}}}}  # fmt: skip

    def _commit(self, repo: str, body: bytes) -> tuple[int, Any]:
        self.hub.tokens.add(self.headers.get("Authorization"))
        if self.hub.refuse_commits:
            return 403, {"error": "no right to write"}
        message, files = "", {}
        for line in body.splitlines():
            found = json.loads(line)
            value = found["value"]
            if found["key"] == "header":
                message = value["summary"]
            elif found["key"] == "file":
                files[value["path"]] = base64.b64decode(value["content"])
            else:
                assert found["key"] == "lfsFile"
                files[value["path"]] = self.hub.objects[value["oid"]]
        self.hub.commits.append((repo, message, files))
        return 200, {"commitUrl": f"{self.hub.url}/{repo}/commit/1", "commitOid": "1" * 40}


def _mode(file: dict[str, Any]) -> dict[str, Any]:
    mode = "lfs" if file["path"].endswith(".pt") else "regular"
    return {"path": file["path"], "uploadMode": mode, "shouldIgnore": False}


@contextmanager
def serving() -> Iterator[Hub]:
    """Serve an empty hub from 127.0.0.1 until the block ends."""
    hub = Hub()
    with listening(type("Handler", (_Handler,), {"hub": hub})) as hub.url:
        yield hub
