"""A call of a user's operator between the runtime's form and the data plane's.

Frames among its arguments travel as pictures do: those pixels that the operator looks at, as JPEG,
or raw for an application that is exact. Everything else is in one more part behind them.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Annotated, Literal

import msgspec
import numpy as np
from numpy.typing import NDArray

from edgesdk.cluster.groups import MAX_ARGUMENTS_BYTES, MAX_PICTURES, GroupHeader, Picture
from edgesdk.errors import WireError
from edgesdk.graph.frames import FrameInfo, FrameView
from edgesdk.models.wire import pack_values, unpack_values
from edgesdk.runtime.own_operator import Call

if TYPE_CHECKING:
    from edgesdk.balance import Group
    from edgesdk.cluster.data import Arrival
    from edgesdk.runtime.own_operator import OwnOperator

__all__ = ["TravellingCall", "code", "decode", "encode", "expected_bytes"]

_MAX_FRAME_BYTES = 64 << 20  # of all frames of a call together
_LITTLE = 1024  # what arguments that are no frames take, before any was sent
_Side = Annotated[int, msgspec.Meta(ge=1, le=1 << 14)]
_Place = Annotated[int, msgspec.Meta(ge=0, le=1 << 14)]
_Count = Annotated[int, msgspec.Meta(ge=0, le=(1 << 63) - 1)]
_Instant = Annotated[int, msgspec.Meta(ge=-(1 << 63), le=(1 << 63) - 1)]


class TravellingCall(Call):
    """A call off the ring, that keeps its form on the wire once it has been coded."""

    coded: tuple[str, tuple[Picture, ...], list[bytes]] | None = None


class _Info(msgspec.Struct, frozen=True, array_like=True):
    """A FrameInfo. Its times are arguments of the operator, and mean nothing to who runs it."""

    sequence: _Count
    incarnation: _Count
    capture_mono_ns: _Instant
    capture_utc_ns: _Instant
    width: _Count
    height: _Count
    frame_rate: float
    origin_ns: _Instant


class _Frame(msgspec.Struct, frozen=True, array_like=True):
    """The next picture is the argument number *at*: a frame, or of one of *size* (height, width)
    the part within *box* (x1, y1, x2, y2)."""

    at: Annotated[int, msgspec.Meta(ge=0, lt=MAX_PICTURES)]
    colour: Literal["BGR", "RGB", "GRAY"]
    size: tuple[_Side, _Side] | None = None
    box: tuple[_Place, _Place, _Place, _Place] | None = None


class _Arguments(msgspec.Struct, frozen=True, array_like=True):
    """*values*: the arguments that are no frames, in order, packed."""

    info: _Info
    frames: Annotated[tuple[_Frame, ...], msgspec.Meta(max_length=MAX_PICTURES)]
    values: bytes


_encoder = msgspec.msgpack.Encoder()
_decoder = msgspec.msgpack.Decoder(_Arguments)


def expected_bytes(call: Call, *, exact: bool) -> float:
    """What *call* will take on the wire, before one like it was sent; infinity if it cannot go."""
    from edgesdk.cluster import payload

    frames = [value for value in call.values if isinstance(value, FrameView)]
    if len(call.values) > MAX_PICTURES or sum(v.image.nbytes for v in frames) > _MAX_FRAME_BYTES:
        return math.inf
    sizes = (view.pixels().nbytes for view in frames)
    return _LITTLE + sum(payload.expected_size(size, exact=exact) for size in sizes)


def code(call: TravellingCall, *, exact: bool) -> tuple[str, tuple[Picture, ...], list[bytes]]:
    """*call* on the wire: its codec, what its header says of its pictures, and its parts. Never
    twice at once for one call.

    Raises WireError where an argument cannot travel.
    """
    from edgesdk.cluster import frame_codec

    if call.coded is None:
        frames = [(i, v) for i, v in enumerate(call.values) if isinstance(v, FrameView)]
        others = [value for value in call.values if not isinstance(value, FrameView)]
        images = [view.pixels() for _, view in frames]
        largest = max((image.nbytes for image in images), default=0)
        colour = frames[0][1].colour if frames else "BGR"
        name = frame_codec.codec_for(largest, exact=exact, colour=colour)
        told = _Arguments(_info(call.info), tuple(map(_frame, frames)), pack_values(others))
        arguments = _encoder.encode(told)
        if len(arguments) > MAX_ARGUMENTS_BYTES:
            raise WireError(f"arguments of {len(arguments)} bytes; {MAX_ARGUMENTS_BYTES} travel")
        try:
            pictures, parts = frame_codec.encode_pictures(images, name) if images else ((), [])
        except ValueError as error:
            raise WireError(str(error)) from None
        call.coded = name, pictures, [*parts, arguments]
    return call.coded


def encode(group: Group, call: TravellingCall, *, exact: bool) -> tuple[GroupHeader, list[bytes]]:
    """The header of *group*, which is *call*, and its parts. Raises WireError as :func:`code`."""
    name, pictures, parts = code(call, exact=exact)
    header = GroupHeader(
        group.id, group.model, group.variant, name, pictures, arguments=len(parts[-1])
    )
    return header, parts


def decode(arrival: Arrival, operator: OwnOperator) -> Call:
    """The call of *operator* that *arrival* is. Raises WireError for what the sender did wrong."""
    from edgesdk.cluster import frame_codec

    if not arrival.header.arguments:
        raise WireError("pictures for a model, and none of the kind that was offered")
    *parts, told = arrival.parts
    try:
        said = _decoder.decode(told)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise WireError(f"arguments that are none: {error}") from None
    images = frame_codec.decode_parts(parts, arrival.header)
    if len(said.frames) != len(images):
        raise WireError(f"{len(images)} pictures for {len(said.frames)} arguments")
    if sum(math.prod(frame.size) for frame in said.frames if frame.size) * 3 > _MAX_FRAME_BYTES:
        raise WireError(f"frames of more than {_MAX_FRAME_BYTES >> 20} MB in one call")
    views = {
        frame.at: _view(frame, image) for frame, image in zip(said.frames, images, strict=True)
    }
    count = operator.arguments
    if len(views) != len(images) or any(at >= count for at in views):
        raise WireError("a frame that is no argument")
    others = iter(unpack_values(said.values, expected=count - len(views)))
    if not math.isfinite(said.info.frame_rate):
        raise WireError("a frame rate that is none")
    info = FrameInfo(*msgspec.structs.astuple(said.info))
    return Call(tuple(views[i] if i in views else next(others) for i in range(count)), info)


def _info(info: FrameInfo) -> _Info:
    return _Info(*(getattr(info, name) for name in _Info.__struct_fields__))


def _frame(argument: tuple[int, FrameView]) -> _Frame:
    at, view = argument
    if view.box is None:
        return _Frame(at, view.colour)
    height, width = view.image.shape[:2]
    return _Frame(at, view.colour, (height, width), view.box)


def _view(frame: _Frame, pixels: NDArray[np.uint8]) -> FrameView:
    if (pixels.ndim == 2) != (frame.colour == "GRAY") or pixels.shape[2:] not in ((), (3,)):
        raise WireError(f"a picture {pixels.shape} that is said to be {frame.colour}")
    image = pixels.view()  # the array itself may be used again by whoever decoded it
    if frame.box is not None:
        x1, y1, x2, y2 = frame.box
        if (
            frame.size is None
            or (y2 - y1, x2 - x1) != pixels.shape[:2]
            or y2 > frame.size[0]
            or x2 > frame.size[1]
        ):
            raise WireError("a part of a frame that lies outside of it")
        image = np.zeros((*frame.size, *pixels.shape[2:]), np.uint8)
        image[y1:y2, x1:x2] = pixels
    image.flags.writeable = False
    return FrameView(image, frame.colour, frame.box)
