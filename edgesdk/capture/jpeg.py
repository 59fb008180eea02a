"""The header of a JPEG: its size before anything is decoded, and how coarsely it was quantised."""

from __future__ import annotations

from dataclasses import dataclass

from edgesdk.errors import CaptureError

__all__ = ["JpegHeader", "read_header"]

# Markers without a length: TEM, RST0-7, SOI.
_BARE = {0x01, *range(0xD0, 0xD9)}
# Start of frame: baseline to lossless, without DHT (C4), JPG (C8) and DAC (CC).
_START_OF_FRAME = {*range(0xC0, 0xD0)} - {0xC4, 0xC8, 0xCC}
_SEGMENTS_MAX = 256


@dataclass(frozen=True, slots=True)
class JpegHeader:
    width: int
    height: int
    qp: int
    """Mean of the luminance quantisation table, 1 (best) to 255; -1 if there is none."""


def read_header(data: bytes | memoryview) -> JpegHeader:
    """Walk the segments up to the start of frame; looks at nothing behind it.

    Raises:
        CaptureError: not a JPEG, or damaged before its size is known.
    """
    if len(data) < 4 or data[0] != 0xFF or data[1] != 0xD8:
        raise CaptureError(f"not a JPEG: begins with {bytes(data[:4]).hex() or 'nothing'}")
    at, qp = 2, -1
    for _ in range(_SEGMENTS_MAX):
        while at < len(data) and data[at] != 0xFF:
            at += 1
        while at < len(data) and data[at] == 0xFF:
            at += 1
        if at + 3 > len(data):
            break
        marker = data[at]
        at += 1
        if marker in _BARE:
            continue
        if marker in (0xD9, 0xDA):
            break
        length = int.from_bytes(data[at : at + 2], "big")
        body = data[at + 2 : at + length]
        if length < 2 or len(body) < length - 2:
            break
        if marker == 0xDB and qp < 0:
            qp = _luminance(body)
        if marker in _START_OF_FRAME:
            if len(body) < 6:
                break
            height, width = int.from_bytes(body[1:3], "big"), int.from_bytes(body[3:5], "big")
            if width == 0 or height == 0:
                break
            return JpegHeader(width, height, qp)
        at += length
    raise CaptureError("a JPEG without its size: damaged or cut off")


def _luminance(body: bytes | memoryview) -> int:
    """Mean of table 0 of a DQT segment, if it begins with it."""
    if not body:
        return -1
    wide, number = body[0] >> 4, body[0] & 15
    table = bytes(body[1 : 1 + 64 * (wide + 1)])
    if number != 0 or wide > 1 or len(table) < 64 * (wide + 1):
        return -1
    size = wide + 1
    values = [int.from_bytes(table[i : i + size], "big") for i in range(0, len(table), size)]
    return min(255, round(sum(values) / 64))
