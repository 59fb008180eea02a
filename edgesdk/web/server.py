"""The web surface's socket, thread and limits."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import threading
from typing import Any

import uvicorn
from uvicorn.protocols.http.h11_impl import H11Protocol, RequestResponseCycle

from edgesdk.errors import UsageError
from edgesdk.listen import parse_listen
from edgesdk.snapshot import NodeView
from edgesdk.web.app import make_app
from edgesdk.web.preview import PreviewHub

__all__ = ["WebServer"]

_CONNECTIONS = 64
_HEAD_BYTES = 16 << 10
_SEND_BYTES = 128 << 10
_REQUEST_S = 10.0
_KEEP_ALIVE_S = 5
_CLOSE_S = 1.0


class WebServer:
    """Serves *view* on *listen* (``"127.0.0.1:8080"``; port 0 takes a free one) in a thread.

    Raises UsageError for an address beyond loopback, and, in :meth:`start`, for one that is taken.
    Nothing it does slows the node: pictures are made when somebody looks, from the newest frame.
    """

    def __init__(self, view: NodeView, listen: str) -> None:
        self._listen = listen
        self._host, self._port = parse_listen(listen)
        self._hub = PreviewHub(view)
        self._app = make_app(view, self._hub, self._host)
        self._server: uvicorn.Server | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._thread: threading.Thread | None = None

    @property
    def url(self) -> str:
        """Where it can be reached, once started: ``http://127.0.0.1:8080``."""
        host = f"[{self._host}]" if ":" in self._host else self._host
        return f"http://{host}:{self._port}"

    def start(self) -> None:
        """Listen; when this returns, requests are answered."""
        listener = self._bind()
        self._port = listener.getsockname()[1]
        config = uvicorn.Config(
            self._app,
            http=_PatientProtocol,
            ws="none",
            loop="asyncio",
            lifespan="off",
            log_config=None,
            access_log=False,
            server_header=False,
            limit_concurrency=_CONNECTIONS,
            h11_max_incomplete_event_size=_HEAD_BYTES,
            timeout_keep_alive=_KEEP_ALIVE_S,
            timeout_graceful_shutdown=1,
        )
        self._server = uvicorn.Server(config)
        self._thread = threading.Thread(
            target=self._serve, args=(self._server, listener), name="web", daemon=True
        )
        self._thread.start()

    def close(self) -> None:
        """Stop listening and hang up on whoever looks, within about a second; idempotent."""
        if self._server is None or self._thread is None:
            return
        self._server.should_exit = True
        if self._loop is not None:
            with contextlib.suppress(RuntimeError):  # the loop has ended by itself
                self._loop.call_soon_threadsafe(self._hub.end)
        self._thread.join(_CLOSE_S)
        if self._thread.is_alive():
            self._server.force_exit = True
            self._thread.join(_CLOSE_S)
        self._server = None

    def _bind(self) -> socket.socket:
        family = socket.AF_INET6 if ":" in self._host else socket.AF_INET
        listener = socket.socket(family, socket.SOCK_STREAM)
        try:
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            # Inherited by connections: a slow viewer has few old pictures under way.
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, _SEND_BYTES)
            listener.bind((self._host, self._port))
            listener.listen(_CONNECTIONS)
        except OSError as error:
            listener.close()
            raise UsageError(
                f"cannot listen on {self._listen!r}: {error.strerror}; choose another port, or "
                "port 0 for any free one"
            ) from None
        listener.setblocking(False)
        return listener

    def _serve(self, server: uvicorn.Server, listener: socket.socket) -> None:
        async def serve() -> None:
            self._loop = asyncio.get_running_loop()
            try:
                await server.serve(sockets=[listener])
            finally:
                self._hub.end()
                self._loop = None

        asyncio.run(serve())
        self._hub.close()


class _PatientProtocol(H11Protocol):
    """Hangs up on who connects, or begins a request, and does not say what he wants."""

    _patience: asyncio.TimerHandle | None = None

    def connection_made(self, transport: Any) -> None:
        super().connection_made(transport)
        self._wait_for_request()

    def data_received(self, data: bytes) -> None:
        super().data_received(data)
        self._wait_for_request()

    def connection_lost(self, exc: Exception | None) -> None:
        super().connection_lost(exc)
        if self._patience is not None:
            self._patience.cancel()

    def _wait_for_request(self) -> None:
        if self._answering():
            if self._patience is not None:
                self._patience.cancel()
                self._patience = None
        elif self._patience is None:
            self._patience = self.loop.call_later(_REQUEST_S, self._hang_up)

    def _answering(self) -> bool:
        request: RequestResponseCycle | None = self.cycle
        return request is not None and not request.response_complete

    def _hang_up(self) -> None:
        if not self._answering() and not self.transport.is_closing():
            self.transport.close()
