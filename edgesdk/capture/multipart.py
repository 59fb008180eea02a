"""Cuts a ``multipart/x-mixed-replace`` body into its pictures. Pure: bytes in, parts out."""

from __future__ import annotations

import re
from collections.abc import Iterator

from edgesdk.capture.http_client import headers_of
from edgesdk.errors import CaptureError

__all__ = ["MultipartCutter", "boundary_of"]

PART_HEADER_MAX = 8 * 1024
PREAMBLE_MAX = 64 * 1024


def boundary_of(content_type: str) -> bytes:
    """The boundary that a Content-Type names, without the dashes that some cameras put there."""
    match = re.search(r'boundary\s*=\s*(?:"([^"]*)"|([^\s;]+))', content_type, re.IGNORECASE)
    text = (match[1] or match[2] or "") if match else ""
    boundary = text.strip().encode("latin-1", "replace").lstrip(b"-")
    if not boundary or len(boundary) > 200:
        raise CaptureError("its multipart stream names no boundary")
    return boundary


class MultipartCutter:
    """Feed it the body as it comes; it gives back each part as soon as it is whole.

    A part's length is taken from its Content-Length; without one the part goes to the next
    boundary, and is given when that has come.

    Raises:
        CaptureError: a part, its headers, or what comes before the first part is too large.
    """

    def __init__(self, boundary: bytes, *, part_bytes_max: int) -> None:
        self._boundary = b"--" + boundary
        self._max = part_bytes_max
        self._buffer = bytearray()
        self._searched = 0
        # None: looking for a boundary; -1: in a part of unknown length.
        self._length: int | None = None
        self.ended = False

    def feed(self, data: bytes) -> Iterator[bytes]:
        self._buffer += data
        while not self.ended:
            if self._length is None and not self._enter_part():
                return
            part = self._whole_part()
            if part is None:
                return
            yield part

    def _enter_part(self) -> bool:
        at = self._buffer.find(self._boundary)
        if at < 0:
            if len(self._buffer) > PREAMBLE_MAX:
                raise CaptureError(f"no boundary in {PREAMBLE_MAX} bytes of its multipart stream")
            return False
        start = at + len(self._boundary)
        if self._buffer[start : start + 2] == b"--":
            self.ended = True
            return False
        ends = [
            (found, len(mark))
            for mark in (b"\r\n\r\n", b"\n\n")
            if (found := self._buffer.find(mark, start)) >= 0
        ]
        if not ends:
            if len(self._buffer) - start > PART_HEADER_MAX:
                raise CaptureError(f"more than {PART_HEADER_MAX} bytes of headers in a part")
            return False
        end, mark_length = min(ends)
        said = dict(headers_of(self._buffer[start:end])).get("content-length", "")
        del self._buffer[: end + mark_length]
        self._searched = 0
        self._length = int(said) if re.fullmatch(r"[0-9]{1,15}", said) else -1
        if self._length > self._max:
            raise CaptureError(f"a part of {self._length} bytes is over the limit of {self._max}")
        return True

    def _whole_part(self) -> bytes | None:
        assert self._length is not None
        length = self._length
        if length < 0:
            length = self._buffer.find(self._boundary, self._searched)
            if length < 0:
                if len(self._buffer) > self._max:
                    raise CaptureError(f"a part without end is over the limit of {self._max} bytes")
                self._searched = max(0, len(self._buffer) - len(self._boundary))
                return None
            part = bytes(self._buffer[:length]).removesuffix(b"\n").removesuffix(b"\r")
        else:
            if len(self._buffer) < length:
                return None
            part = bytes(self._buffer[:length])
        del self._buffer[:length]
        self._length = None
        return part
