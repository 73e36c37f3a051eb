"""The page over HTTP: to this machine alone, and to who knows the token of its address."""

import contextlib
import io
import secrets
import socket
from importlib import resources
from typing import TypeVar

import jinja2
import numpy as np
import pydantic
import soundfile as sf
import uvicorn
from starlette.applications import Starlette
from starlette.datastructures import Headers, MutableHeaders
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import HTMLResponse, JSONResponse, PlainTextResponse, Response
from starlette.routing import Mount, Route
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from galgame_asr.core.params import section
from galgame_asr.core.reader import SAMPLE_RATE_HZ, ShardReader
from galgame_asr.labelling.desk import ConflictError, Desk, Filter
from galgame_asr.manifests.corrections import What
from galgame_asr.messages.errors import ConfigError, DataError

HOST = "127.0.0.1"
TOKEN_BYTES = 24
ASSETS = "galgame_asr.labelling.assets"
# What the page loads beside its data. The theme is the report's.
FILES = {
    "theme.css": ("galgame_asr.report.assets", "page.css", "text/css"),
    "page.css": (ASSETS, "page.css", "text/css"),
    "page.js": (ASSETS, "page.js", "text/javascript"),
    "wavesurfer.js": (ASSETS, "wavesurfer.js", "text/javascript"),
}
# Nothing from elsewhere. The nonce is for the style that wavesurfer brings in its script, `blob:`
# for the audio, which it plays out of memory, `data:` for an icon that is none.
POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self' 'nonce-{}'; connect-src 'self'; "
    "media-src blob:; img-src data:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
HEADERS = {
    "Cache-Control": "no-store",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
}


T = TypeVar("T")


@section
class Look:
    """What the page sends to see an utterance; `match`: another one if that does not match."""

    id: str | None
    match: bool
    among: Filter


@section
class Decide:
    """What the page sends with a decision; see `Desk.decide`."""

    id: str
    what: What
    text: str
    why: str
    seen: dict[str, str] | None
    among: Filter


@section
class Undo:
    """What the page sends to take a decision back; see `Desk.undo`."""

    id: str
    made: dict[str, str]
    among: Filter


class Guard:
    """Lets through what names this server by its own address, and its token first in the path.

    Another name in Host is a page of elsewhere that has its name led here, another Origin one
    that asks in the reader's browser. No answer ever allows another origin to read it.
    """

    def __init__(self, app: ASGIApp, address: str, token: str) -> None:
        self._app = app
        self._address, self._token = address, token

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer 403, or pass the request on and add HEADERS to what comes back."""

        async def send_with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                for name, value in HEADERS.items():
                    headers[name] = value
                headers.setdefault("Content-Security-Policy", POLICY.format(""))
            await send(message)

        refused = PlainTextResponse("refused: open the address that the command printed\n", 403)
        answer = self._app if self._is_known(scope) else refused
        await answer(scope, receive, send_with_headers)

    def _is_known(self, scope: Scope) -> bool:
        headers = Headers(scope=scope)
        token = scope["path"].split("/")[1]
        return (
            scope["type"] == "http"
            and headers.getlist("host") == [self._address]
            and headers.getlist("origin") in ([], [f"http://{self._address}"])
            and secrets.compare_digest(token.encode(), self._token.encode())
        )


class Handlers:
    """What the server answers. One request after the other: none waits for a disk for long."""

    def __init__(self, desk: Desk, reader: ShardReader, names: dict[str, str]) -> None:
        self._desk, self._reader, self._names = desk, reader, names
        loader = jinja2.PackageLoader("galgame_asr.labelling", "assets")
        environment = jinja2.Environment(
            loader=loader, autoescape=True, undefined=jinja2.StrictUndefined
        )
        self._page = environment.get_template("page.html.jinja")

    async def page(self, _request: Request) -> Response:
        """The page itself."""
        nonce = secrets.token_urlsafe(16)
        text = self._page.render(nonce=nonce, tags=self._desk.tags(), **self._names)
        return HTMLResponse(text, headers={"Content-Security-Policy": POLICY.format(nonce)})

    async def file(self, request: Request) -> Response:
        """One of FILES."""
        package, name, kind = FILES[request.url.path.rpartition("/")[2]]
        return Response(resources.files(package).joinpath(name).read_bytes(), media_type=kind)

    async def look(self, request: Request) -> Response:
        """An utterance and its neighbours; if the queue has none of the id, the first open one."""
        sent = _parse(Look, await request.body())
        id_ = sent.id if sent.id in self._desk else self._desk.first(sent.among)
        view = self._desk.view(id_, sent.among)
        if sent.match and view["nth"] is None:
            view = self._desk.view(self._desk.first(sent.among), sent.among)
        return JSONResponse({"view": view})

    async def audio(self, request: Request) -> Response:
        """The audio of an utterance: WAV, mono, 16 kHz."""
        item = self._desk.item(request.query_params.get("id", ""))
        samples = self._reader.read_row(item.row)
        stream = io.BytesIO()
        sf.write(stream, np.clip(samples, -1, 1), SAMPLE_RATE_HZ, format="WAV", subtype="PCM_16")
        return Response(stream.getvalue(), media_type="audio/wav")

    async def decide(self, request: Request) -> Response:
        """Write a decision; once it is on the disk, answer with the next utterance."""
        sent = _parse(Decide, await request.body())
        try:
            made, following = self._desk.decide(
                sent.id, sent.what, sent.text, sent.why, sent.seen, sent.among
            )
        except ConflictError as error:
            return self._conflict(error, sent.id, sent.among)
        view = self._desk.view(following or sent.id, sent.among)
        return JSONResponse({"view": view, "made": made, "is_last": following is None})

    async def undo(self, request: Request) -> Response:
        """Take a decision back; answer with its utterance."""
        sent = _parse(Undo, await request.body())
        try:
            self._desk.undo(sent.id, sent.made)
        except ConflictError as error:
            return self._conflict(error, sent.id, sent.among)
        return JSONResponse({"view": self._desk.view(sent.id, sent.among)})

    def _conflict(self, error: ConflictError, id_: str, among: Filter) -> Response:
        """Nothing was written; what the utterance is now."""
        return JSONResponse({"error": str(error), "view": self._desk.view(id_, among)}, 409)


def make_app(
    desk: Desk, reader: ShardReader, names: dict[str, str], address: str, token: str
) -> Starlette:
    """The server as an ASGI application.

    Args:
        desk: the queue and the decisions.
        reader: of the corpus's shards.
        names: what the page says of itself: corpus, queue, by, file.
        address: host and port, as a browser names them.
        token: what the path of each request begins with.
    """
    handlers = Handlers(desk, reader, names)
    routes = [
        Route("/", handlers.page),
        Route("/audio", handlers.audio),
        Route("/look", handlers.look, methods=["POST"]),
        Route("/decide", handlers.decide, methods=["POST"]),
        Route("/undo", handlers.undo, methods=["POST"]),
        *(Route(f"/{name}", handlers.file, name=name) for name in FILES),
    ]
    return Starlette(
        routes=[Mount(f"/{token}", routes=routes)],
        middleware=[Middleware(Guard, address=address, token=token)],
        exception_handlers={DataError: _say, OSError: _say},
    )


def serve(desk: Desk, reader: ShardReader, names: dict[str, str], port: int) -> None:
    """Serve the page until it is interrupted; print its address first.

    Args:
        desk: as for `make_app`.
        reader: as for `make_app`.
        names: as for `make_app`.
        port: of 127.0.0.1; 0: any that is free.

    Raises:
        ConfigError: the port is taken.
    """
    try:
        listening = socket.create_server((HOST, port))
    except OSError as error:
        raise ConfigError(
            f"port {port} of {HOST} cannot be used ({error.strerror}): another page may be open; "
            f"name another, --port {port + 1}"
        ) from None
    address = f"{HOST}:{listening.getsockname()[1]}"
    token = secrets.token_urlsafe(TOKEN_BYTES)
    app = make_app(desk, reader, names, address, token)
    # No log of requests: they hold the token.
    config = uvicorn.Config(
        app, lifespan="off", log_level="warning", access_log=False, server_header=False,
        ws="none", timeout_graceful_shutdown=1,
    )  # fmt: skip
    print(f"http://{address}/{token}/ (Ctrl+C ends it)", flush=True)
    with contextlib.suppress(KeyboardInterrupt):
        uvicorn.Server(config).run(sockets=[listening])


def _parse(kind: type[T], body: bytes) -> T:
    """What the page sent.

    Raises:
        DataError: it is something else.
    """
    try:
        return pydantic.TypeAdapter(kind).validate_json(body)
    except pydantic.ValidationError as error:
        first = error.errors()[0]
        raise DataError(f"request {kind.__name__}: {first['loc']}: {first['msg']}") from None


async def _say(_request: Request, error: Exception) -> Response:
    """What cannot be shown or written, as the page shows it."""
    return JSONResponse({"error": str(error)}, 422)
