"""Cameras over HTTP: an endless multipart stream of JPEGs, or one JPEG at each request."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from functools import partial
from typing import TYPE_CHECKING

from edgesdk.capture.container import refuse_bomb
from edgesdk.capture.convert import BgrConverter, colours
from edgesdk.capture.http_client import HttpClient, Response
from edgesdk.capture.jpeg import JpegHeader, read_header
from edgesdk.capture.multipart import MultipartCutter, boundary_of
from edgesdk.capture.picture import Picture, Silent
from edgesdk.capture.source import Source
from edgesdk.errors import CaptureError

if TYPE_CHECKING:
    from av import VideoCodecContext, VideoFrame

__all__ = ["HttpReader"]

# A JPEG of the best quality has about one byte a pixel; more is not a picture.
BYTES_PER_PIXEL_MAX = 3
SMALLEST_LIMIT = 1 << 20
# Pictures in a row that cannot be decoded before the connection is given up.
GARBAGE_PICTURES = 30


class HttpReader:
    """What the server sends decides: multipart is read as it comes, a JPEG is asked for again.

    *sleep* waits for the next snapshot.

    Raises:
        CaptureError: as the server says, or silent for too long, or neither of the two kinds.
    """

    codec = "mjpeg"

    def __init__(self, source: Source, sleep: Callable[[float], None]) -> None:
        self.decode_errors = 0
        self._source = source
        self._sleep = sleep
        self._bytes_max = max(SMALLEST_LIMIT, source.max_pixels * BYTES_PER_PIXEL_MAX)
        self._converter = BgrConverter()
        self._decoder = _decoder(source)
        self._client = HttpClient(source.location, timeout=source.timeout, verify=source.verify)
        self._response: Response | None = None
        self._garbage = 0
        self._began = time.monotonic()
        self._first = self._get()
        kind = self._first.first("content-type").lower()
        self._multipart = kind.startswith("multipart/")
        if not self._multipart and kind.startswith(("text/", "video/", "audio/", "application/x")):
            self._first.close()
            raise self._error(
                f"it sends {kind.split(';')[0]!r}; expected multipart/x-mixed-replace or image/jpeg"
            )

    def __iter__(self) -> Iterator[Picture]:
        parts = self._parts() if self._multipart else self._snapshots()
        for data, arrival_ns in parts:
            picture = self._picture(data, arrival_ns)
            if picture is not None:
                yield picture

    def _parts(self) -> Iterator[tuple[bytes, int]]:
        response = self._first
        try:
            boundary = boundary_of(response.first("content-type"))
            cutter = MultipartCutter(boundary, part_bytes_max=self._bytes_max)
            patience = self._source.timeout * 2
            response.allow(patience)
            while data := response.read():
                arrival_ns = time.monotonic_ns()
                for part in cutter.feed(data):
                    # Only a whole picture is a sign of life: a drop every second is not.
                    response.allow(patience)
                    yield part, arrival_ns
                if cutter.ended:
                    break
        except CaptureError as error:
            raise self._error(error) from None
        raise self._error("the server ended the stream")

    def _snapshots(self) -> Iterator[tuple[bytes, int]]:
        interval, response = self._source.interval, self._first
        count = 0
        while True:
            yield self._body(response), time.monotonic_ns()
            # The grid stays where it began; a slow answer costs the ticks that it took.
            elapsed = time.monotonic() - self._began
            count = max(count + 1, int(elapsed / interval))
            self._sleep(max(0.0, self._began + count * interval - time.monotonic()))
            response = self._get()

    def _get(self) -> Response:
        try:
            self._response = self._client.get()
        except CaptureError as error:
            raise self._error(error) from None
        return self._response

    def _body(self, response: Response) -> bytes:
        data = bytearray()
        response.allow(self._source.timeout)
        try:
            if response.length is not None and response.length > self._bytes_max:
                raise CaptureError(
                    f"a picture of {response.length} bytes is over the limit of {self._bytes_max}"
                )
            while chunk := response.read():
                data += chunk
                if len(data) > self._bytes_max:
                    raise CaptureError(f"a picture without end is over {self._bytes_max} bytes")
        except CaptureError as error:
            raise self._error(error) from None
        finally:
            response.close()
        return bytes(data)

    def _picture(self, data: bytes, arrival_ns: int) -> Picture | None:
        try:
            header = read_header(data)
        except CaptureError as error:
            self._count_garbage(str(error))
            return None
        refuse_bomb(self._source, header.width, header.height)
        frame = self._decode(data)
        if frame is None:
            self._count_garbage("a damaged JPEG")
            return None
        self._garbage = 0
        return self._described(frame, header, arrival_ns)

    def _described(self, frame: VideoFrame, header: JpegHeader, arrival_ns: int) -> Picture:
        space, full = colours(frame)
        return Picture(
            width=frame.width,
            height=frame.height,
            write=partial(self._converter, frame),
            taken_ns=arrival_ns,
            colour_space=space,
            colour_range=full,
            frame_rate=0.0 if self._multipart else 1.0 / self._source.interval,
            qp=header.qp,
        )

    def _decode(self, data: bytes) -> VideoFrame | None:
        import av

        try:
            frames = self._decoder.decode(av.Packet(data))
        except av.error.FFmpegError:
            return None
        return frames[-1] if frames else None

    def _count_garbage(self, what: str) -> None:
        self.decode_errors += 1
        self._garbage += 1
        if self._garbage >= GARBAGE_PICTURES:
            raise self._error(f"{GARBAGE_PICTURES} pictures in a row were unusable ({what})")

    def _error(self, what: object) -> CaptureError:
        kind = Silent if isinstance(what, Silent) else CaptureError
        return kind(f"{self._source.redacted}: {self._source.conceal(str(what))}")

    def close(self) -> None:
        self._converter.close()
        if self._response is not None:
            self._response.close()


def _decoder(source: Source) -> VideoCodecContext:
    import av

    context = av.CodecContext.create("mjpeg", "r")
    context.thread_count = 1
    context.options = {"max_pixels": str(source.max_pixels)}
    return context
