"""Frames to input tensors: crop, resize, colour, normalise, quantise, in one pass where it can be.

All pixels are 8 bits, so whatever happens to a value (mean, scale, quantisation) is a function of
256 values a channel: an affine map in place where it is the same for all channels, a table where
it is not.
"""

from __future__ import annotations

import sys
import threading
import zlib
from collections.abc import Sequence
from functools import cached_property
from typing import Any, NamedTuple

import cv2
import numpy as np
from numpy.typing import NDArray

from edgesdk.errors import InputMismatch
from edgesdk.models.geometry import Geometry, Placement, place, region_of
from edgesdk.models.inputs import layout_of
from edgesdk.models.schema import Input, Quantisation

__all__ = ["ImageEncoder", "Shrunk"]

_INTERPOLATION = {
    "linear": cv2.INTER_LINEAR,
    "nearest": cv2.INTER_NEAREST,
    "area": cv2.INTER_AREA,
    "cubic": cv2.INTER_CUBIC,
}
_TO_BGR = {"NV12": cv2.COLOR_YUV2BGR_NV12, "I420": cv2.COLOR_YUV2BGR_I420}
_CONVERT = {
    ("BGR", "RGB"): cv2.COLOR_BGR2RGB,
    ("RGB", "BGR"): cv2.COLOR_RGB2BGR,
    ("BGR", "GRAY"): cv2.COLOR_BGR2GRAY,
    ("RGB", "GRAY"): cv2.COLOR_RGB2GRAY,
    ("GRAY", "BGR"): cv2.COLOR_GRAY2BGR,
    ("GRAY", "RGB"): cv2.COLOR_GRAY2RGB,
}
_POOL_LIMIT = 8


class Shrunk(NamedTuple):
    """A picture as a model sees it before its values are scaled: all that another node needs.

    image: uint8 ``[height, width, channels]`` of the model's input, C-contiguous, in the colour of
    its card. geometry: where that lies in the frame.
    """

    image: NDArray[np.uint8]
    geometry: Geometry


Image = tuple[NDArray[np.uint8], Any, Any] | Shrunk


class ImageEncoder:
    """Fills one image input. Thread-safe: scratch memory is per thread.

    The arrays it returns are the caller's until the last reference to them is gone; then their
    memory is used again (first touch of a fresh megabyte costs as much as resizing into it).
    """

    def __init__(self, spec: Input, quantisation: Quantisation | None, *, align: str, pad: int):
        self.name = spec.name
        self.layout = layout_of(spec) or "NHWC"
        self.height, self.width = spec.shape[1:3] if self.layout == "NHWC" else spec.shape[2:4]
        self.channels = 1 if spec.colour == "GRAY" else 3
        self.dtype = np.dtype(spec.dtype)
        self._spec = spec
        self._pad = pad
        self._centred = align == "centre"
        self._interpolation = _INTERPOLATION[spec.interpolation]
        mean = np.broadcast_to(
            np.asarray(0 if spec.mean is None else spec.mean, np.float64), self.channels
        )
        scale = np.broadcast_to(
            np.asarray(1 if spec.scale is None else spec.scale, np.float64), self.channels
        )
        self._factor = (1.0 / scale).astype(np.float32)
        self._shift = (-mean / scale).astype(np.float32)
        self._uniform = bool((self._factor == self._factor[0]).all()) and bool(
            (self._shift == self._shift[0]).all()
        )
        self._table = self._make_table(mean, scale, quantisation)
        self._direct = (
            self.layout == "NHWC" and self._table is None and self.dtype == np.dtype(np.uint8)
        )
        self._scratch = threading.local()
        self._pool: list[NDArray[Any]] = []
        self._pool_lock = threading.Lock()

    def encode(self, images: Sequence[Image], batch: int) -> tuple[NDArray[Any], list[Geometry]]:
        """The tensor ``[batch, ...]`` of *images*, zero after the last, and geometries."""
        out = self._take(batch)
        geometries = []
        for i, image in enumerate(images):
            if isinstance(image, Shrunk):
                self._fill(image.image, out[i])
                geometries.append(image.geometry)
            else:
                geometries.append(self._encode_one(image, out[i]))
        if len(images) < batch:
            out[len(images) :] = 0
        return out, geometries

    def shrink(self, images: Sequence[Image]) -> list[Shrunk]:
        """The first half of encode(): crop, resize and colour; its values come to the same bytes.

        The arrays are the caller's own.
        """
        small = []
        for image in images:
            if isinstance(image, Shrunk):
                small.append(image)
                continue
            target = np.empty((self.height, self.width, self.channels), np.uint8)
            pixels, colour, placement = self._placed(image)
            self._resize(pixels, colour, placement, target)
            height, width = pixels.shape[:2]
            small.append(Shrunk(target, placement.geometry(width, height)))
        return small

    @property
    def picture_bytes(self) -> int:
        """Bytes of one image of shrink()."""
        return self.height * self.width * self.channels

    @cached_property
    def form(self) -> int:
        """A u32 of all that shrink() goes by."""
        spec = self._spec
        said = (
            *(self.width, self.height, spec.colour, spec.resize, spec.interpolation),
            *(self._centred, self._pad, spec.crop_fraction),
        )
        return zlib.crc32(repr(said).encode())

    def check(self, image: NDArray[Any]) -> None:
        """Whether *image* is of the form that shrink() gives.

        :raises InputMismatch: it is not.
        """
        expected = (self.height, self.width, self.channels)
        if image.shape != expected or image.dtype != np.uint8:
            raise InputMismatch(
                f"a picture {image.shape} of {image.dtype} for an input {expected} of uint8"
            )

    def _encode_one(self, image: tuple[NDArray[np.uint8], Any, Any], out: NDArray[Any]) -> Geometry:
        pixels, colour, placement = self._placed(image)
        target = out if self._direct else self._scratch_image("resized", self.channels)
        self._resize(pixels, colour, placement, target)
        if not self._direct:
            self._normalise(target, out)
        height, width = pixels.shape[:2]
        return placement.geometry(width, height)

    def _fill(self, image: NDArray[np.uint8], out: NDArray[Any]) -> None:
        """The other half of encode(), for one picture."""
        self.check(image)
        if self._direct:
            np.copyto(out, image)
        else:
            self._normalise(image, out)

    def _placed(
        self, image: tuple[NDArray[np.uint8], Any, Any]
    ) -> tuple[NDArray[np.uint8], str, Placement]:
        """Pixels that can be resized, their colour, and what of them goes where."""
        pixels, colour, box = image
        colour = getattr(colour, "name", colour)
        if colour in _TO_BGR:
            pixels, colour = _u8(cv2.cvtColor(pixels, _TO_BGR[colour])), "BGR"
        elif colour not in ("BGR", "RGB", "GRAY"):
            raise ValueError(f"an image is BGR, RGB, GRAY, NV12 or I420, not {colour}")
        height, width = pixels.shape[:2]
        placement = place(
            region_of(box, width, height),
            self.width,
            self.height,
            resize=self._spec.resize,
            centred=self._centred,
            crop_fraction=self._spec.crop_fraction,
        )
        return pixels, colour, placement

    def _resize(
        self, pixels: NDArray[Any], colour: str, at: Placement, target: NDArray[Any]
    ) -> None:
        """*pixels*, in the model's colour and size, into *target* ``[height, width, channels]``."""
        x1, y1, x2, y2 = at.region
        source = pixels[y1:y2, x1:x2]
        convert = _CONVERT.get((colour, self._spec.colour))
        if (at.width, at.height) != (self.width, self.height):
            target[...] = self._pad
            target = target[at.top : at.top + at.height, at.left : at.left + at.width]
        size = (at.width, at.height)
        if source.shape[:2] == target.shape[:2]:
            if convert is None:
                np.copyto(target, source.reshape(target.shape))
            else:
                _into(cv2.cvtColor(source, convert, dst=_for_cv2(target)), target)
        elif convert is None:
            resized = cv2.resize(
                source, size, dst=_for_cv2(target), interpolation=self._interpolation
            )
            _into(resized, target)
        else:
            channels = 1 if source.ndim == 2 else source.shape[2]
            between = self._scratch_image("between", channels)[: at.height, : at.width]
            resized = cv2.resize(
                source, size, dst=_for_cv2(between), interpolation=self._interpolation
            )
            _into(cv2.cvtColor(resized, convert, dst=_for_cv2(target)), target)

    def _normalise(self, pixels: NDArray[np.uint8], out: NDArray[Any]) -> None:
        """8-bit *pixels* ``[h, w, c]`` as values of the input's dtype and layout, into *out*."""
        if self.layout == "NCHW":
            planes = [pixels[..., 0]] if self.channels == 1 else cv2.split(pixels)
            for c, plane in enumerate(planes):
                self._map_plane(_u8(plane), out[c], c)
        elif self.channels == 1:
            self._map_plane(pixels[..., 0], out[..., 0], 0)
        elif self._table is not None and (self.dtype.itemsize == 1 or not self._uniform):
            table = self._table.T.reshape(1, 256, self.channels)
            mapped = cv2.LUT(pixels, np.ascontiguousarray(table))
            np.copyto(out, mapped.view(out.dtype) if out.dtype == np.int8 else mapped)
        else:
            self._affine(pixels, out, 0)

    def _map_plane(self, plane: NDArray[np.uint8], out: NDArray[Any], channel: int) -> None:
        if self._table is None:
            np.copyto(out, plane)
        elif self.dtype.itemsize == 1:
            mapped = cv2.LUT(plane, np.ascontiguousarray(self._table[channel]))
            np.copyto(out, mapped.view(np.int8) if out.dtype == np.int8 else mapped)
        else:
            self._affine(plane, out, channel)

    def _affine(self, pixels: NDArray[np.uint8], out: NDArray[Any], channel: int) -> None:
        factor, shift = self._factor[channel], self._shift[channel]
        work = out if out.dtype == np.float32 else np.empty(out.shape, np.float32)
        np.copyto(work, pixels)
        if factor != 1:
            np.multiply(work, factor, out=work)
        if shift != 0:
            np.add(work, shift, out=work)
        if work is not out:
            np.copyto(out, work, casting="same_kind")

    def _make_table(
        self, mean: NDArray[Any], scale: NDArray[Any], quantisation: Quantisation | None
    ) -> NDArray[Any] | None:
        """``[channels, 256]``: each pixel value's image; None where pixels go in as they are.

        8-bit inputs without mean and scale take pixels as they are (int8: less 128), whatever
        quantisation the file has: so are image models quantised.
        """
        normalised = self._spec.mean is not None or self._spec.scale is not None
        real = (np.arange(256.0)[None, :] - mean[:, None]) / scale[:, None]
        if self.dtype.kind == "f":
            return np.asarray(real, np.float32)
        if not normalised:
            if self.dtype == np.uint8:
                return None
            return np.broadcast_to(np.arange(256, dtype=np.uint8) ^ 128, (self.channels, 256))
        info = np.iinfo(self.dtype)
        if quantisation is not None:
            real = real / quantisation.scale + quantisation.zero_point
        whole = np.clip(np.round(real), info.min, info.max).astype(self.dtype)
        return np.asarray(whole.view(np.uint8))

    def _scratch_image(self, use: str, channels: int) -> NDArray[np.uint8]:
        key = f"{use}{channels}"
        held: NDArray[np.uint8] | None = getattr(self._scratch, key, None)
        if held is None:
            held = np.empty((self.height, self.width, channels), np.uint8)
            setattr(self._scratch, key, held)
        return held

    def _take(self, batch: int) -> NDArray[Any]:
        """An array for the caller; one that was handed out is taken again once nobody holds it."""
        size = (self.height, self.width)
        shape = (
            (batch, *size, self.channels)
            if self.layout == "NHWC"
            else (batch, self.channels, *size)
        )
        with self._pool_lock:
            for i in range(len(self._pool)):
                # 2: the pool's reference and the argument of getrefcount itself
                if self._pool[i].shape == shape and sys.getrefcount(self._pool[i]) == 2:
                    return self._pool[i]
            fresh = np.empty(shape, self.dtype)
            if len(self._pool) == _POOL_LIMIT:
                self._pool.pop(0)
            self._pool.append(fresh)
            return fresh


def _for_cv2(target: NDArray[Any]) -> NDArray[Any]:
    return target[..., 0] if target.shape[-1] == 1 else target


def _u8(image: Any) -> NDArray[np.uint8]:
    """What cv2 returns, whose stubs do not know its dtype."""
    pixels: NDArray[np.uint8] = image
    return pixels


def _into(result: NDArray[Any], target: NDArray[Any]) -> None:
    """cv2 writes into ``dst`` if it likes its layout, else returns an array of its own."""
    if not np.shares_memory(result, target):
        np.copyto(target, result.reshape(target.shape))
