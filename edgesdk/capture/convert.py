"""FFmpeg's pictures to BGR, straight into a slot of a ring.

PyAV converts only into a picture of its own, from which the pixels would have to be copied once
more. So libswscale is called directly: the very library that PyAV has loaded, by the five
functions of it that have not changed in fifteen years. Where it cannot be found (a PyAV linked
statically), PyAV's conversion and the copy do the same more slowly.
"""

from __future__ import annotations

import ctypes
import os
from functools import lru_cache
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from edgesdk.core.ring import ColourRange, ColourSpace
from edgesdk.errors import CaptureError

if TYPE_CHECKING:
    from av import VideoFrame

__all__ = ["BgrConverter", "colours"]

# AVColorSpace -> ours. The 601 of PAL and of NTSC have the same matrix.
_SPACES = {
    0: ColourSpace.SRGB,
    1: ColourSpace.BT709,
    5: ColourSpace.BT601,
    6: ColourSpace.BT601,
    9: ColourSpace.BT2020,
    10: ColourSpace.BT2020,
}
_RANGES = {1: ColourRange.LIMITED, 2: ColourRange.FULL}
# ours -> SWS_CS_*
_MATRICES = {ColourSpace.BT709: 1, ColourSpace.BT601: 5, ColourSpace.BT2020: 9}
_BICUBIC = 4
_ONE = 1 << 16


def colours(frame: VideoFrame) -> tuple[ColourSpace, ColourRange]:
    """Colour space and range of a decoded frame; what the stream leaves open, as players do.

    Unsaid means: the matrix of BT.709 from 1280 x 720 on and of BT.601 below, limited range; full
    range for the ``yuvj`` formats of JPEG; sRGB for RGB formats.
    """
    name = frame.format.name
    if frame.format.is_rgb:
        return ColourSpace.SRGB, ColourRange.FULL
    space = _SPACES.get(int(frame.colorspace))
    if space is None or space is ColourSpace.SRGB:
        large = frame.width >= 1280 or frame.height >= 720
        space = ColourSpace.BT709 if large else ColourSpace.BT601
    implied = ColourRange.FULL if name.startswith("yuvj") else ColourRange.LIMITED
    return space, _RANGES.get(int(frame.color_range), implied)


class BgrConverter:
    """Converts the pictures of one stream; keeps a context as long as their shape stays."""

    def __init__(self) -> None:
        self._scaler = _Scaler.load()
        self._context: int | None = None
        self._shape: tuple[Any, ...] = ()

    def __call__(self, frame: VideoFrame, slot: NDArray[np.uint8], stride: int) -> None:
        """Write *frame* as BGR, rows *stride* bytes apart (:func:`row_bytes`), into *slot*."""
        space, full = colours(frame)
        if self._scaler is None:
            _by_pyav(frame, slot, stride, space, full)
            return
        shape = (frame.width, frame.height, frame.format.name, space, full)
        if shape != self._shape:
            self.close()
            self._context = self._scaler.context(*shape)
            self._shape = shape
        assert self._context is not None
        self._scaler.scale(self._context, frame, slot, stride)

    def close(self) -> None:
        if self._scaler is not None and self._context is not None:
            self._scaler.free(self._context)
        self._context, self._shape = None, ()


class _Scaler:
    _Planes = ctypes.c_void_p * 4
    _Strides = ctypes.c_int * 4

    def __init__(self, swscale: ctypes.CDLL, avutil: ctypes.CDLL) -> None:
        pointer, number = ctypes.c_void_p, ctypes.c_int
        self._format = avutil.av_get_pix_fmt
        self._format.argtypes, self._format.restype = [ctypes.c_char_p], number
        self._create = swscale.sws_getContext
        self._create.argtypes, self._create.restype = [*[number] * 7, *[pointer] * 3], pointer
        self._matrix = swscale.sws_getCoefficients
        self._matrix.argtypes, self._matrix.restype = [number], pointer
        self._details = swscale.sws_setColorspaceDetails
        self._details.argtypes = [pointer, pointer, number, pointer, *[number] * 4]
        self._details.restype = number
        planes: tuple[Any, ...] = (self._Planes, self._Strides)
        scale: Any = swscale.sws_scale
        scale.argtypes = [pointer, *planes, number, number, *planes]
        scale.restype = number
        self._scale = scale
        self.free = swscale.sws_freeContext
        self.free.argtypes, self.free.restype = [pointer], None

    @staticmethod
    @lru_cache(maxsize=1)
    def load() -> _Scaler | None:
        import av  # noqa: F401  (maps the libraries)

        swscale, avutil = _mapped("libswscale"), _mapped("libavutil")
        if swscale is None or avutil is None:
            return None
        try:
            return _Scaler(ctypes.CDLL(swscale), ctypes.CDLL(avutil))
        except (OSError, AttributeError):
            return None

    def context(
        self, width: int, height: int, name: str, space: ColourSpace, full: ColourRange
    ) -> int:
        source, target = self._format(name.encode()), self._format(b"bgr24")
        context: int | None = self._create(
            *(width, height, source, width, height, target), _BICUBIC, None, None, None
        )
        if not context:
            raise CaptureError(f"pictures of {width}x{height} {name} cannot be converted to BGR")
        matrix = self._matrix(_MATRICES.get(space, 5))
        is_full = int(full is ColourRange.FULL)
        # RGB sources have no matrix; the call then fails, and there is nothing to set.
        self._details(context, matrix, is_full, matrix, 1, 0, _ONE, _ONE)
        return context

    def scale(self, context: int, frame: VideoFrame, slot: NDArray[np.uint8], stride: int) -> None:
        planes = frame.planes
        source = self._Planes(*(plane.buffer_ptr for plane in planes))
        strides = self._Strides(*(plane.line_size for plane in planes))
        target = self._Planes(slot.ctypes.data)
        rows = self._scale(context, source, strides, 0, frame.height, target, self._Strides(stride))
        if rows != frame.height:
            raise CaptureError(f"converting a {frame.width}x{frame.height} picture failed ({rows})")


def _mapped(stem: str) -> str | None:
    """The path of the library that this process has mapped."""
    with open("/proc/self/maps", encoding="utf-8", errors="replace") as maps:
        for line in maps:
            path = line.rsplit(None, 1)[-1]
            if os.path.basename(path).startswith(stem):
                return path
    return None


def _by_pyav(
    frame: VideoFrame,
    slot: NDArray[np.uint8],
    stride: int,
    space: ColourSpace,
    full: ColourRange,
) -> None:
    matrix = _MATRICES.get(space, 5)
    bgr = frame.reformat(
        format="bgr24",
        src_colorspace=matrix,
        dst_colorspace=matrix,
        src_color_range=2 if full is ColourRange.FULL else 1,
        dst_color_range=2,
    )
    rows = slot[: frame.height * stride].reshape(frame.height, stride)
    rows[:, : frame.width * 3] = bgr.to_ndarray().reshape(frame.height, -1)
