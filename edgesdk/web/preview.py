"""Live pictures of cameras, made only while somebody looks.

Each camera that is looked at has one task which makes one picture for all its viewers; a viewer
that is slow gets the newest picture when it is ready for one, and misses those between. All of it
runs in the event loop's thread, but for drawing, which has a thread of its own.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial

from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from edgesdk.snapshot import NodeView
from edgesdk.web.drawing import draw, placeholder

__all__ = ["PreviewHub", "TooManyViewers"]

_log = logging.getLogger("edgesdk.web")

_VIEWERS = 16
_PERIOD_S = 1 / 15
_REPEAT_S = 2.0
_STUCK_S = 10.0
_LINGER_S = 3.0
_BOUNDARY = b"edgesdk-picture"


class TooManyViewers(Exception):
    pass


class PreviewHub:
    def __init__(self, view: NodeView) -> None:
        self._view = view
        self._pictures: dict[str, _Pictures] = {}
        self._lingering: dict[str, asyncio.TimerHandle] = {}
        self._viewers = 0
        self._drawing = ThreadPoolExecutor(1, thread_name_prefix="preview")

    def stream(self, camera: str) -> Response:
        """An answer that shows *camera* for as long as it is read. Raises TooManyViewers."""
        if self._viewers >= _VIEWERS:
            raise TooManyViewers(f"{_VIEWERS} viewers are looking already")
        self._viewers += 1
        return _MjpegResponse(self, self._join(camera))

    def leave(self, pictures: _Pictures) -> None:
        """The viewer of a stream has gone."""
        self._viewers -= 1
        self._part(pictures)

    async def still(self, camera: str) -> bytes:
        """The newest picture; empty if there is none within two seconds.

        Pictures go on being made for a moment, for who asks again and again.
        """
        pictures = self._join(camera)
        try:
            return (await pictures.next(0))[1]
        finally:
            before = self._lingering.pop(camera, None)
            if before is not None:
                before.cancel()
                self._part(pictures)
            loop = asyncio.get_running_loop()
            self._lingering[camera] = loop.call_later(_LINGER_S, self._linger_no_more, pictures)

    def end(self) -> None:
        """Let every viewer go. Called in the event loop's thread."""
        for handle in self._lingering.values():
            handle.cancel()
        self._lingering.clear()
        for pictures in list(self._pictures.values()):
            pictures.end()

    def close(self) -> None:
        self._drawing.shutdown(wait=False, cancel_futures=True)

    def _join(self, camera: str) -> _Pictures:
        pictures = self._pictures.get(camera)
        if pictures is None:
            pictures = self._pictures[camera] = _Pictures(self._view, camera, self._drawing)
        pictures.viewers += 1
        return pictures

    def _part(self, pictures: _Pictures) -> None:
        pictures.viewers -= 1
        if not pictures.viewers:
            pictures.end()
            self._pictures.pop(pictures.camera, None)

    def _linger_no_more(self, pictures: _Pictures) -> None:
        del self._lingering[pictures.camera]
        self._part(pictures)


class _Pictures:
    """The newest picture of one camera, for all who look at it."""

    def __init__(self, view: NodeView, camera: str, drawing: ThreadPoolExecutor) -> None:
        self.camera = camera
        self.viewers = 0
        self.ended = False
        self.newest = b""
        self._view = view
        self._drawing = drawing
        self._number = 0
        self._changed = asyncio.Event()
        self._task = asyncio.get_running_loop().create_task(self._make())

    async def next(self, after: int) -> tuple[int, bytes]:
        """The newest picture and its number, once that is above *after*, or the same again."""
        if self._number <= after and not self.ended:
            with contextlib.suppress(asyncio.TimeoutError):
                await asyncio.wait_for(self._changed.wait(), _REPEAT_S)
        return self._number, self.newest

    def end(self) -> None:
        self.ended = True
        self._task.cancel()
        self._announce()

    def _announce(self) -> None:
        self._number += 1
        self._changed.set()
        self._changed = asyncio.Event()

    async def _make(self) -> None:
        preview = self._view.preview(self.camera)
        try:
            shown: tuple[int, int] | None = None
            told = ""
            while True:
                frame = preview.latest()
                if frame is None:
                    state = self._view.snapshot().cameras[self.camera].state
                    if shown is None and state != told:
                        told = state
                        await self._show(partial(placeholder, state))
                elif (frame.incarnation, frame.sequence) != shown:
                    shown = (frame.incarnation, frame.sequence)
                    await self._show(partial(draw, frame))
                del frame  # it may hold a slot of the ring
                await asyncio.sleep(_PERIOD_S)
        finally:
            preview.close()
            self.ended = True
            self._announce()

    async def _show(self, make: Callable[[], bytes]) -> None:
        loop = asyncio.get_running_loop()
        try:
            self.newest = await loop.run_in_executor(self._drawing, make)
        except Exception as error:  # one bad picture must not end the preview
            _log.warning("preview of %s: %s: %s", self.camera, type(error).__name__, error)
            return
        self._announce()


class _MjpegResponse(Response):
    media_type = f"multipart/x-mixed-replace; boundary={_BOUNDARY.decode()}"

    def __init__(self, hub: PreviewHub, pictures: _Pictures) -> None:
        super().__init__(media_type=self.media_type)
        del self.headers["content-length"]
        self._hub = hub
        self._pictures = pictures

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        pictures = self._pictures
        gone = asyncio.ensure_future(_gone(receive))
        try:
            await send({"type": "http.response.start", "status": 200, "headers": self.raw_headers})
            number = 0
            while scope["method"] == "GET" and not pictures.ended and not gone.done():
                number, picture = await pictures.next(number)
                if picture:
                    part = {"type": "http.response.body", "body": _part(picture), "more_body": True}
                    await asyncio.wait_for(send(part), _STUCK_S)
            if not gone.done():
                await send({"type": "http.response.body", "body": b"", "more_body": False})
        except (asyncio.TimeoutError, OSError):
            return
        finally:
            gone.cancel()
            self._hub.leave(pictures)


async def _gone(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass


def _part(picture: bytes) -> bytes:
    head = b"--%s\r\nContent-Type: image/jpeg\r\nContent-Length: %d\r\n\r\n"
    return head % (_BOUNDARY, len(picture)) + picture + b"\r\n"
