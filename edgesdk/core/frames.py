"""Frames that lie in a ring's segment, and what is known of them."""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from edgesdk.core._native import ffi, lib
from edgesdk.errors import RingInvalid

__all__ = ["ColourRange", "ColourSpace", "Frame", "FrameProperties", "PixelFormat", "Pixels"]

Pixels: TypeAlias = NDArray[np.uint8]


class PixelFormat(IntEnum):
    """What the bytes of a frame are; planes follow one another."""

    BGR = lib.EDGE_FORMAT_BGR
    RGB = lib.EDGE_FORMAT_RGB
    GRAY = lib.EDGE_FORMAT_GRAY
    NV12 = lib.EDGE_FORMAT_NV12
    I420 = lib.EDGE_FORMAT_I420
    JPEG = lib.EDGE_FORMAT_JPEG


class ColourSpace(IntEnum):
    """Which matrix made the YUV of a frame."""

    UNKNOWN = lib.EDGE_COLOUR_UNKNOWN
    BT601 = lib.EDGE_COLOUR_BT601
    BT709 = lib.EDGE_COLOUR_BT709
    BT2020 = lib.EDGE_COLOUR_BT2020
    SRGB = lib.EDGE_COLOUR_SRGB


class ColourRange(IntEnum):
    """Whether luma is 16 to 235 (limited) or 0 to 255 (full)."""

    UNKNOWN = lib.EDGE_RANGE_UNKNOWN
    LIMITED = lib.EDGE_RANGE_LIMITED
    FULL = lib.EDGE_RANGE_FULL


@dataclass(frozen=True, slots=True)
class FrameProperties:
    """What a frame is: sizes in pixels, *stride* in bytes a row of the first plane."""

    width: int
    height: int
    format: PixelFormat
    stride: int
    capture_mono_ns: int
    capture_utc_ns: int
    colour_space: ColourSpace = ColourSpace.UNKNOWN
    colour_range: ColourRange = ColourRange.UNKNOWN
    frame_rate: float = 0.0
    """Frames a second; 0 is unknown."""
    qp: int = -1
    """The codec's mean quantisation parameter; -1 is unknown."""


class Frame:
    """A frame that is held. It, and every array over it, holds; the last to go releases it."""

    __slots__ = ("_data", "_held", "_properties", "epoch", "sequence")

    def __init__(self, held: Any, data: Pixels) -> None:
        self.sequence: int = held.sequence
        self.epoch: int = held.epoch
        """Which writer of the ring it is from: counts restarts of the source's process."""
        self._held = held
        self._properties: FrameProperties | None = None
        self._data: Pixels | None = data

    @property
    def properties(self) -> FrameProperties:
        """What the writer said of the frame; may be read after its release."""
        found = self._properties
        if found is None:
            held = self._held
            found = self._properties = FrameProperties(
                held.width,
                held.height,
                _FORMATS.get(held.format, PixelFormat.JPEG),
                held.stride,
                held.capture_mono_ns,
                held.capture_utc_ns,
                _SPACES.get(held.colour_space, ColourSpace.UNKNOWN),
                _RANGES.get(held.colour_range, ColourRange.UNKNOWN),
                held.frame_rate_mhz / 1000,
                held.qp,
            )
        return found

    @property
    def data(self) -> Pixels:
        """The bytes, uint8 [n], read-only, in the segment; the array keeps the hold."""
        if self._data is None:
            raise ValueError(f"frame {self.sequence} is released")
        return self._data

    def pixels(self) -> Pixels:
        """A read-only view in the format's shape.

        BGR and RGB [h, w, 3]; GRAY [h, w]; NV12 and I420 [h * 3 / 2, w]; JPEG [n]. Strides as the
        frame has them. RingInvalid if the properties and the bytes disagree.
        """
        data, p = self.data, self.properties
        if p.format == PixelFormat.JPEG:
            return data
        channels = 3 if p.format in (PixelFormat.BGR, PixelFormat.RGB) else 1
        planar = p.format in (PixelFormat.NV12, PixelFormat.I420)
        rows = p.height * 3 // 2 if planar else p.height
        # The last row need not have the padding that its stride has.
        if (
            p.width * channels > p.stride
            or rows == 0
            or (rows - 1) * p.stride + p.width * channels > data.nbytes
        ):
            raise RingInvalid(
                f"frame {self.sequence}: {data.nbytes} bytes are not {p.width}x{p.height} "
                f"{p.format.name} with {p.stride} bytes a row"
            )
        shape = (rows, p.width, 3) if channels == 3 else (rows, p.width)
        strides = (p.stride, 3, 1) if channels == 3 else (p.stride, 1)
        return np.lib.stride_tricks.as_strided(data, shape, strides, writeable=False)

    def release(self) -> None:
        """Drops this object's hold now. The slot is free once no array over it is left either."""
        self._data = None


class ReaderHandle:
    """The C reader; closed when the RingReader is closed and the last frame is gone."""

    __slots__ = ("pointer",)

    def __init__(self, pointer: Any) -> None:
        self.pointer = pointer

    def __del__(self) -> None:
        lib.edge_ring_reader_close(self.pointer)


def hold(handle: ReaderHandle, found: Any) -> Frame:
    """The frame that edge_ring_take() put into *found*; released with the last array over it."""
    held = ffi.new("edge_frame *", found)

    def release(_: object) -> None:
        lib.edge_ring_release(handle.pointer, held, 1)

    owner = ffi.gc(held.data, release)
    data = np.frombuffer(ffi.buffer(owner, held.bytes), np.uint8)
    data.flags.writeable = False
    return Frame(held, data)


_FORMATS = {int(value): value for value in PixelFormat}
_SPACES = {int(value): value for value in ColourSpace}
_RANGES = {int(value): value for value in ColourRange}
