"""A group's pictures and a peer's answer, between the runtime's forms and the data plane's."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Annotated

import msgspec

from edgesdk.cluster.groups import GroupHeader, Picture
from edgesdk.errors import WireError
from edgesdk.models.encoding import Shrunk
from edgesdk.models.wire import Options, pack_reading, pack_values, unpack_reading, unpack_values
from edgesdk.runtime.execution import Execution
from edgesdk.runtime.request import Outcome, Request, Times

if TYPE_CHECKING:
    from edgesdk.balance import Group
    from edgesdk.cluster.data import Arrival, Reply
    from edgesdk.models.codec import Codec

__all__ = [
    "Travelling",
    "code",
    "decode",
    "encode",
    "expected_bytes",
    "expected_size",
    "pack",
    "unpack",
]

_Time = Annotated[int, msgspec.Meta(ge=0, le=1 << 62)]


class Travelling(Shrunk):
    """A shrunk picture that keeps its form on the wire once it has been coded."""

    coded: tuple[Picture, bytes] | None = None


class _Made(msgspec.Struct, frozen=True, array_like=True):
    """What made the values, and how long each step took there, in ns."""

    execution: Execution
    queue: _Time = 0
    prepare: _Time = 0
    infer: _Time = 0
    decode: _Time = 0


_encoder = msgspec.msgpack.Encoder()
_made = msgspec.msgpack.Decoder(_Made)


# Of the bytes of a raw picture, what is left on a street scene full of leaves.
_COMPRESSED = 0.21


def expected_bytes(codec: Codec, *, exact: bool) -> float:
    """What one picture for *codec* will take on the wire, before one was sent."""
    return expected_size(codec.picture_bytes, exact=exact)


def expected_size(raw: int, *, exact: bool) -> float:
    """The same of a picture of *raw* bytes."""
    from edgesdk.cluster import frame_codec

    return raw if frame_codec.codec_for(raw, exact=exact) == frame_codec.RAW else raw * _COMPRESSED


def code(small: Sequence[Travelling], codec: Codec, *, exact: bool) -> str:
    """Codes those of *small* that are not yet; the codec's name. Never twice at once for one
    picture."""
    from edgesdk.cluster import frame_codec

    name = frame_codec.codec_for(codec.picture_bytes, exact=exact, colour=codec.input.colour)
    missing = [picture for picture in small if picture.coded is None]
    if missing:
        pictures, parts = frame_codec.encode_pictures([small.image for small in missing], name)
        for picture, told, part in zip(missing, pictures, parts, strict=True):
            picture.coded = told, part
    return name


def encode(
    group: Group, small: Sequence[Travelling], codec: Codec, options: Options, *, exact: bool
) -> tuple[GroupHeader, list[bytes]]:
    """The header of *group* and its pictures' bytes, in the form of :func:`codec_for`."""
    name = code(small, codec, exact=exact)
    coded = [picture.coded for picture in small if picture.coded is not None]
    reading = pack_reading([picture.geometry for picture in small], options, codec.form)
    pictures = tuple(picture for picture, _ in coded)
    header = GroupHeader(group.id, group.model, group.variant, name, pictures, reading)
    return header, [part for _, part in coded]


def decode(arrival: Arrival, codec: Codec) -> tuple[list[Shrunk], Options]:
    """The pictures of *arrival* as *codec*'s model takes them. Raises WireError or InputMismatch,
    in both cases for what the sender did wrong."""
    from edgesdk.cluster import frame_codec

    geometries, options = unpack_reading(arrival.header.reading, codec.form)
    images = frame_codec.decode_parts(arrival.parts, arrival.header)
    if len(geometries) != len(images):
        raise WireError(f"{len(geometries)} places for {len(images)} pictures")
    for image in images:
        codec.check(image)
    pairs = zip(images, geometries, strict=True)
    return [Shrunk(image, geometry) for image, geometry in pairs], options


def pack(outcome: Outcome, execution: Execution, codec: str) -> tuple[bytes, bytes]:
    """Values and provenance of a group that was run for a peer, as an arrival takes them.

    Raises WireError where a value cannot travel.
    """
    assert outcome.values is not None
    from edgesdk.cluster import frame_codec

    times = outcome.times
    way = None if codec == frame_codec.RAW else f"{codec}, decoded by {frame_codec.coder()}"
    told = msgspec.structs.replace(execution, codec=way)
    made = _Made(told, times.queue, times.prepare, times.infer, times.decode)
    return pack_values(outcome.values), _encoder.encode(made)


def unpack(reply: Reply, requests: Sequence[Request], counts: Sequence[int]) -> list[Outcome]:
    """A peer's answer as the outcomes of *requests* of so many pictures each. Raises WireError."""
    values = unpack_values(reply.body, expected=sum(counts))
    try:
        made = _made.decode(reply.provenance)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise WireError(f"an answer without its origin: {error}") from None
    execution = made.execution
    if execution.codec is not None:
        from edgesdk.cluster import frame_codec

        way = f"{execution.codec}, coded by {frame_codec.coder()}"[:256]
        execution = msgspec.structs.replace(execution, codec=way)
    times = Times(made.queue, made.prepare, made.infer, made.decode, reply.wire_ns)
    whole = Outcome(values=None, times=times, execution=execution)
    outcomes, first = [], 0
    for request, count in zip(requests, counts, strict=True):
        outcomes.append(replace(whole, request=request, values=values[first : first + count]))
        first += count
    return outcomes
