"""What is served where, to whom."""

from __future__ import annotations

import logging
import re
from importlib.resources import files
from typing import Any

from prometheus_client import generate_latest
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from edgesdk.records import encode
from edgesdk.redaction import redact
from edgesdk.snapshot import NodeView
from edgesdk.web.documents import HealthDocument, ReadyDocument, cameras_document
from edgesdk.web.metrics import make_registry
from edgesdk.web.preview import PreviewHub, TooManyViewers

__all__ = ["make_app"]

_log = logging.getLogger("edgesdk.web")

# The page's own files only, and nobody else's page may show what is served here.
_HEADERS = (
    (b"content-security-policy", b"default-src 'none'; script-src 'self'; style-src 'self'; "
     b"img-src 'self' data:; connect-src 'self'; base-uri 'none'; form-action 'none'; "
     b"frame-ancestors 'none'"),
    (b"cross-origin-resource-policy", b"same-origin"),
    (b"x-content-type-options", b"nosniff"),
    (b"referrer-policy", b"no-referrer"),
    (b"cache-control", b"no-store"),
)  # fmt: skip
_HOST = re.compile(r"(?P<name>\[[0-9a-fA-F:.]+\]|[^:]+)(?::[0-9]{1,5})?")
_PAGE = {
    "/": ("index.html", "text/html"),
    "/page.css": ("page.css", "text/css"),
    "/page.js": ("page.js", "text/javascript"),
}


def make_app(view: NodeView, hub: PreviewHub, host: str) -> ASGIApp:
    """The ASGI application that shows *view*, to requests for this machine only."""
    registry = make_registry(view)

    async def metrics(request: Request) -> Response:
        return Response(
            generate_latest(registry), media_type="text/plain; version=0.0.4; charset=utf-8"
        )

    async def health(request: Request) -> Response:
        now = view.snapshot()
        return _json(HealthDocument(node=now.name, version=now.version, seconds=now.seconds))

    async def ready(request: Request) -> Response:
        now = view.snapshot()
        document = ReadyDocument(ready=now.ready, not_ready=list(now.not_ready))
        return _json(document, 200 if now.ready else 503)

    async def cameras(request: Request) -> Response:
        return _json(cameras_document(view.snapshot()))

    async def preview(request: Request) -> Response:
        name, kind = request.path_params["name"], request.path_params["kind"]
        if name not in view.snapshot().cameras or kind not in ("mjpg", "jpg"):
            return PlainTextResponse(f"there is no camera {name!r}\n", 404)
        try:
            if kind == "mjpg":
                return hub.stream(name)
            picture = await hub.still(name)
            if not picture:
                return PlainTextResponse("there is no picture yet\n", 503)
            return Response(picture, media_type="image/jpeg")
        except TooManyViewers as error:
            return PlainTextResponse(f"{error}\n", 503, headers={"Retry-After": "10"})

    async def page(request: Request) -> Response:
        name, kind = _PAGE[request.url.path]
        content = (files("edgesdk.web") / "page" / name).read_bytes()
        return Response(content, media_type=kind)

    async def failed(request: Request, error: Exception) -> Response:
        _log.error("%s: %s: %s", request.url.path, type(error).__name__, redact(str(error)))
        return PlainTextResponse("the node could not answer; its log says why\n", 500)

    return Starlette(
        routes=[
            *(Route(path, page) for path in _PAGE),
            Route("/metrics", metrics),
            Route("/healthz", health),
            Route("/readyz", ready),
            Route("/cameras", cameras),
            Route("/preview/{name}.{kind}", preview),
        ],
        middleware=[Middleware(_Guard, host=host)],
        exception_handlers={Exception: failed},
    )


def _json(document: Any, status: int = 200) -> Response:
    return Response(encode(document), status, media_type="application/json")


class _Guard:
    """Turns away requests under another name than this machine's (DNS rebinding); adds headers."""

    def __init__(self, app: ASGIApp, host: str) -> None:
        self._app = app
        own = f"[{host}]" if ":" in host else host
        self._names = {"localhost", "127.0.0.1", "[::1]", own}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        async def guarded(message: Message) -> None:
            if message["type"] == "http.response.start":
                message["headers"] = [*message.get("headers", ()), *_HEADERS]
            await send(message)

        if scope["type"] != "http":
            return
        if not self._is_own(scope):
            answer = PlainTextResponse("this is served to this machine only\n", 421)
            await answer(scope, receive, guarded)
            return
        await self._app(scope, receive, guarded)

    def _is_own(self, scope: Scope) -> bool:
        hosts = [value for name, value in scope["headers"] if name == b"host"]
        if len(hosts) != 1:
            return False
        found = _HOST.fullmatch(hosts[0].decode("latin-1"))
        return found is not None and found["name"].lower() in self._names
