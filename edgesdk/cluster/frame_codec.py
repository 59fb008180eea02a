"""Pictures of a group as bytes: JPEG, or raw where an application asks for exact results.

Pictures come resized to the model's input, so that no byte travels that the model does not see.
JPEG is coded by simplejpeg where it is installed, else by OpenCV (no wheel on musl and 32-bit ARM,
two to three times slower); which of them decoded may differ in the last bit of a pixel.
"""

from __future__ import annotations

import importlib
import math
import os
import re
import struct
import sys
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor, wait
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from itertools import count
from typing import TYPE_CHECKING, Any, NamedTuple, TypeVar

import numpy as np
from numpy.typing import NDArray

from edgesdk.cluster.groups import MAX_PICTURES, MAX_SIDE, Picture
from edgesdk.errors import WireError

if TYPE_CHECKING:
    from edgesdk.cluster.groups import GroupHeader

__all__ = [
    "DEFAULT_CODEC",
    "RAW",
    "check_codec",
    "codec_for",
    "coder",
    "decode_parts",
    "encode_pictures",
    "jpeg_size",
]

RAW = "raw"
DEFAULT_CODEC = "jpeg-95"
"""Average precision of detectors of 300 x 300 stays as it is with raw pictures (docs/cluster.md);
at 90 one of two lost 0.010. Higher qualities cost half as many bytes again and gain nothing."""

_SMALL = 32 << 10
MAX_DECODED_BYTES = 64 << 20

# Decoded pictures whose memory is kept: two groups of four for a detector.
_ROOMS_BYTES = 3 << 20
_rooms: list[NDArray[np.uint8]] = []
_rooms_lock = threading.Lock()

_HELPERS = min(3, len(os.sched_getaffinity(0)) - 1)

_Item = TypeVar("_Item")
_Done = TypeVar("_Done")

_NAME = re.compile(r"jpeg-(?P<quality>[1-9]\d?|100)(?P<bgr>-bgr)?")
_BASELINE = 0xC0
_SIZES = {*range(0xC0, 0xD0)} - {0xC4, 0xC8, 0xCC}
_STANDALONE = {0x01, *range(0xD0, 0xD8)}


class _Jpeg(NamedTuple):
    quality: int
    order: str

    @property
    def subsampling(self) -> str:
        """Colour at half the resolution below 90. It would save a fifth of the bytes and 0.3 ms,
        and cost a detector of 300 x 300 one box in twenty on a street scene."""
        return "444" if self.quality >= 90 else "420"


@cache
def coder() -> str:
    """What codes and decodes JPEG on this node, with its version: others give other pixels."""
    name = "opencv-contrib-python-headless" if _simplejpeg() is None else "simplejpeg"
    try:
        return f"{name} {version(name)}"
    except PackageNotFoundError:
        return name


def codec_for(raw_bytes: int, *, exact: bool, colour: str = "RGB") -> str:
    """How pictures of *raw_bytes* each travel, whose channels are in the order of *colour*.

    As they are where an application asks for *exact* results, and where they are small anyway
    (crops for a classifier, thumbnails): then coding saves less than it costs.
    """
    if exact or raw_bytes <= _SMALL:
        return RAW
    return f"{DEFAULT_CODEC}-bgr" if colour == "BGR" else DEFAULT_CODEC


def check_codec(codec: str) -> str:
    """*codec* if there is such a one: ``raw``, ``jpeg-1`` to ``jpeg-100``, or one of the latter
    followed by ``-bgr`` for pictures whose channels are in that order.

    :raises WireError: there is not.
    """
    if codec != RAW:
        _jpeg_of(codec)
    return codec


def encode_pictures(
    pictures: Sequence[NDArray[np.uint8]], codec: str = DEFAULT_CODEC
) -> tuple[tuple[Picture, ...], list[bytes]]:
    """What a :class:`GroupHeader` says of *pictures*, and their bytes, one part each.

    pictures: u8, H x W x 3 (channels in the order that *codec* says), H x W x 1 or H x W. They are
    read, not kept. Thread-safe.

    :raises ValueError: a picture is none of these.
    :raises WireError: no such codec.
    """
    jpeg = None if codec == RAW else _jpeg_of(codec)
    if not 0 < len(pictures) <= MAX_PICTURES:
        raise ValueError(f"a group has 1 to {MAX_PICTURES} pictures, not {len(pictures)}")
    for pixels in pictures:
        _check_picture(pixels)
    if jpeg is None:
        parts = [p.tobytes() for p in pictures]
    else:
        parts = _each(lambda pixels: _encoded(pixels, jpeg), pictures)
    headers = tuple(
        Picture(p.shape[0], p.shape[1], p.shape[2] if p.ndim == 3 else 0, len(part))
        for p, part in zip(pictures, parts, strict=True)
    )
    return headers, parts


def decode_parts(
    parts: Sequence[bytes | memoryview], header: GroupHeader
) -> list[NDArray[np.uint8]]:
    """The pictures that *header* announces, each the caller's own until the last reference to it is
    gone; then its memory is used again. Thread-safe.

    Sizes are compared with the header's, from the first bytes of each part, before a decoder sees
    any of it; only baseline JPEG is taken, since a progressive one of few bytes may keep a decoder
    busy for seconds.

    :raises WireError: a part is not the picture that is announced, or is damaged.
    """
    jpeg = None if header.codec == RAW else _jpeg_of(header.codec)
    if len(parts) != len(header.pictures):
        raise WireError(f"{len(parts)} parts for {len(header.pictures)} pictures")
    shapes = [_shape_of(picture) for picture in header.pictures]
    if sum(math.prod(shape) for shape in shapes) > MAX_DECODED_BYTES:
        raise WireError(f"pictures of more than {MAX_DECODED_BYTES >> 20} MB in one group")
    pairs = list(zip(parts, shapes, strict=True))
    if jpeg is None:
        return [_raw(part, shape) for part, shape in pairs]
    return _each(lambda pair: _decoded(*pair, jpeg), pairs)


def jpeg_size(data: bytes | memoryview) -> tuple[int, int, int]:
    """Height, width and components of a baseline JPEG, from its header alone.

    :raises WireError: it is none.
    """
    view = memoryview(data)
    if bytes(view[:2]) != b"\xff\xd8":
        raise WireError("a picture that is no JPEG")
    at = 2
    while at + 4 <= len(view):
        if view[at] != 0xFF:
            break
        marker = view[at + 1]
        if marker == 0xFF or marker in _STANDALONE:
            at += 1 if marker == 0xFF else 2
            continue
        (length,) = struct.unpack_from(">H", view, at + 2)
        if marker in _SIZES:
            if marker != _BASELINE:
                raise WireError("a JPEG that is not baseline")
            if length < 8 or at + 2 + length > len(view):
                break
            depth, height, width, components = struct.unpack_from(">BHHB", view, at + 4)
            if depth != 8 or components not in (1, 3):
                raise WireError(f"a JPEG of {depth} bits and {components} components")
            return height, width, components
        if length < 2 or marker in (0xD9, 0xDA):
            break
        at += 2 + length
    raise WireError("a JPEG without a size")


def _jpeg_of(codec: str) -> _Jpeg:
    found = _NAME.fullmatch(codec)
    if found is None:
        raise WireError(f"no codec {codec[:32]!r}; there are raw, jpeg-1 to jpeg-100")
    return _Jpeg(int(found["quality"]), "BGR" if found["bgr"] else "RGB")


def _check_picture(pixels: NDArray[np.uint8]) -> None:
    if pixels.dtype != np.uint8 or pixels.ndim not in (2, 3) or not pixels.size:
        found = f"{pixels.dtype} {pixels.shape}"
        raise ValueError(f"a picture is u8 H x W or H x W x C, not {found}")
    channels = pixels.shape[2] if pixels.ndim == 3 else 1
    if channels not in (1, 3) or max(pixels.shape[:2]) > MAX_SIDE:
        raise ValueError(f"a picture of shape {pixels.shape} cannot be sent")


def _each(call: Callable[[_Item], _Done], items: Sequence[_Item]) -> list[_Done]:
    """*call* on each of *items*, in parallel where a core is free: coders release the GIL.

    Helpers take what is left when they come to run, so with all cores busy they cost nothing.
    """
    done: dict[int, _Done] = {}
    turns = count()

    def work() -> None:
        while (i := next(turns)) < len(items):
            done[i] = call(items[i])

    helpers = [_pool().submit(work) for _ in range(min(_HELPERS, len(items) - 1))]
    try:
        work()
    finally:
        running = [helper for helper in helpers if not helper.cancel()]
        wait(running)
    for helper in running:
        helper.result()
    return [done[i] for i in range(len(items))]


@cache
def _pool() -> ThreadPoolExecutor:
    return ThreadPoolExecutor(_HELPERS, "coding")


def _shape_of(picture: Picture) -> tuple[int, ...]:
    if picture.channels not in (0, 1, 3):
        raise WireError(f"a picture of {picture.channels} channels")
    plane = (picture.height, picture.width)
    return (*plane, picture.channels) if picture.channels else plane


def _room(shape: tuple[int, ...]) -> NDArray[np.uint8]:
    """Memory for a picture. Of a group's size it is given back to the kernel as soon as it is free,
    and to touch it for the first time again costs as much as a fifth of decoding into it."""
    with _rooms_lock:
        for room in _rooms:
            # 3: the list's reference, the loop's and the argument of getrefcount itself
            if room.shape == shape and sys.getrefcount(room) == 3:
                return room
        fresh = np.empty(shape, np.uint8)
        if fresh.nbytes <= _ROOMS_BYTES // 4:
            _rooms.append(fresh)
            while sum(room.nbytes for room in _rooms) > _ROOMS_BYTES:
                _rooms.pop(0)
        return fresh


def _raw(part: bytes | memoryview, shape: tuple[int, ...]) -> NDArray[np.uint8]:
    if len(part) != math.prod(shape):
        raise WireError(f"{len(part)} bytes for a raw picture {shape}")
    pixels = _room(shape)
    np.copyto(pixels, np.frombuffer(part, np.uint8).reshape(shape))
    return pixels


def _encoded(pixels: NDArray[np.uint8], jpeg: _Jpeg) -> bytes:
    colour = pixels.ndim == 3 and pixels.shape[2] == 3
    library = _simplejpeg()
    if library is not None:
        whole = np.ascontiguousarray(pixels if pixels.ndim == 3 else pixels[:, :, None])
        data: bytes = library.encode_jpeg(
            whole,
            quality=jpeg.quality,
            colorspace=jpeg.order if colour else "GRAY",
            colorsubsampling=jpeg.subsampling if colour else "Gray",
            fastdct=False,
        )
        return data
    return _encoded_by_opencv(pixels, jpeg)


def _encoded_by_opencv(pixels: NDArray[np.uint8], jpeg: _Jpeg) -> bytes:
    import cv2

    colour = pixels.ndim == 3 and pixels.shape[2] == 3
    if colour and jpeg.order == "RGB":
        pixels = np.asarray(cv2.cvtColor(pixels, cv2.COLOR_RGB2BGR), np.uint8)
    factor = (
        cv2.IMWRITE_JPEG_SAMPLING_FACTOR_444
        if jpeg.subsampling == "444"
        else cv2.IMWRITE_JPEG_SAMPLING_FACTOR_420
    )
    options = [cv2.IMWRITE_JPEG_QUALITY, jpeg.quality, cv2.IMWRITE_JPEG_SAMPLING_FACTOR, factor]
    good, data = cv2.imencode(".jpg", pixels, options)
    if not good:
        raise ValueError(f"a picture of shape {pixels.shape} could not be coded")
    return data.tobytes()


def _decoded(part: bytes | memoryview, shape: tuple[int, ...], jpeg: _Jpeg) -> NDArray[np.uint8]:
    height, width, components = jpeg_size(part)
    wanted = 3 if len(shape) == 3 and shape[2] == 3 else 1
    if (height, width, components) != (shape[0], shape[1], wanted):
        raise WireError(
            f"a JPEG of {height} x {width} x {components} that was announced as {shape}"
        )
    if bytes(part[-2:]) != b"\xff\xd9":
        raise WireError("a JPEG that ends too early")
    library = _simplejpeg()
    try:
        if library is not None:
            pixels = library.decode_jpeg(
                part,
                colorspace=jpeg.order if wanted == 3 else "GRAY",
                fastdct=False,
                fastupsample=False,
                strict=True,
                buffer=_room((height, width, wanted)),
            )
        else:
            pixels = _decoded_by_opencv(part, wanted, jpeg)
    except WireError:
        raise
    except Exception as error:
        raise WireError(f"a damaged JPEG: {error}") from None
    if pixels.size != math.prod(shape):
        raise WireError(f"a JPEG that became {pixels.shape}, not {shape}")
    return np.asarray(pixels, np.uint8).reshape(shape)


def _decoded_by_opencv(part: bytes | memoryview, channels: int, jpeg: _Jpeg) -> NDArray[Any]:
    import cv2

    kind = cv2.IMREAD_COLOR if channels == 3 else cv2.IMREAD_GRAYSCALE
    flags = kind | cv2.IMREAD_IGNORE_ORIENTATION
    pixels = cv2.imdecode(np.frombuffer(part, np.uint8), flags)
    if pixels is None:
        raise WireError("a damaged JPEG")
    if channels == 3 and jpeg.order == "RGB":
        pixels = cv2.cvtColor(pixels, cv2.COLOR_BGR2RGB)
    return pixels


@cache
def _simplejpeg() -> Any:
    try:
        return importlib.import_module("simplejpeg")
    except ImportError:
        return None
