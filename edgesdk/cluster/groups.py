"""What travels with a frame group and with its answer: headers as msgpack arrays.

A header rides in the attachment of a zenoh query or reply, the pictures or values in its payload.
The order of fields is frozen: a later version appends, and unknown trailing fields are ignored, so
that two versions can talk during an upgrade. Times are time left or time taken, never an instant.
Whatever comes from outside either is what it says or raises WireError, and its size is looked at
before it is read.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, TypeVar

import msgspec

from edgesdk.errors import WireError

__all__ = [
    "MAX_ARGUMENTS_BYTES",
    "MAX_GROUP_BYTES",
    "MAX_HEADER_BYTES",
    "MAX_PICTURES",
    "MAX_REPLY_BYTES",
    "TOKEN_BYTES",
    "Envelope",
    "GroupHeader",
    "Picture",
    "Refusal",
    "ReplyHeader",
    "pack_envelope",
    "pack_refusal",
    "pack_reply",
    "split",
    "unpack_envelope",
    "unpack_refusal",
    "unpack_reply",
]

VERSION = 1
TOKEN_BYTES = 16
MAX_PICTURES = 32
MAX_SIDE = 1 << 14
MAX_HEADER_BYTES = 8 << 10
MAX_GROUP_BYTES = 12 << 20
MAX_ARGUMENTS_BYTES = 1 << 20
MAX_REPLY_BYTES = 8 << 20
_MAX_REFUSAL_BYTES = 4 << 10

_Header = TypeVar("_Header")

U32 = Annotated[int, msgspec.Meta(ge=0, le=(1 << 32) - 1)]
_U63 = Annotated[int, msgspec.Meta(ge=0, le=(1 << 63) - 1)]
_Side = Annotated[int, msgspec.Meta(ge=1, le=MAX_SIDE)]


class Picture(msgspec.Struct, frozen=True, array_like=True):
    """One picture of a group: u8, *height* x *width* x *channels*; no *channels* (0) is H x W.

    *size* is its bytes in the payload, compressed or raw; pictures follow one another there.
    """

    height: _Side
    width: _Side
    channels: Annotated[int, msgspec.Meta(ge=0, le=4)]
    size: Annotated[int, msgspec.Meta(ge=1, le=MAX_GROUP_BYTES)]


class GroupHeader(msgspec.Struct, frozen=True, array_like=True):
    """What a frame group is: the origin's id of it, for which model, and how it is coded.

    *model* is the card's key, or an own operator's; *variant* 0 or the execution key that is asked
    for (all u64);
    *codec* as :mod:`edgesdk.cluster.frame_codec` names it. *reading* says how results find back to
    the frames (:func:`edgesdk.models.wire.pack_reading`); the data plane does not look into it.
    A call of an own operator has *arguments* bytes behind its pictures, of which it may have none.
    """

    group: Annotated[int, msgspec.Meta(ge=0)]
    model: Annotated[int, msgspec.Meta(ge=0)]
    variant: Annotated[int, msgspec.Meta(ge=0)]
    codec: Annotated[str, msgspec.Meta(min_length=1, max_length=32)]
    pictures: Annotated[tuple[Picture, ...], msgspec.Meta(max_length=MAX_PICTURES)]
    reading: Annotated[bytes, msgspec.Meta(max_length=4 << 10)] = b""
    arguments: Annotated[int, msgspec.Meta(ge=0, le=MAX_ARGUMENTS_BYTES)] = 0

    @property
    def sizes(self) -> list[int]:
        """Bytes of each part."""
        sizes = [picture.size for picture in self.pictures]
        return [*sizes, self.arguments] if self.arguments else sizes


class Envelope(msgspec.Struct, frozen=True, array_like=True):
    """A query's attachment. *origin* is the sender's node number: a claim, which its token proves.

    *time_left_us* is what is left to the sender as it sends.
    """

    version: Annotated[int, msgspec.Meta(ge=1, le=255)]
    token: Annotated[bytes, msgspec.Meta(min_length=TOKEN_BYTES, max_length=TOKEN_BYTES)]
    origin: U32
    time_left_us: _U63
    header: GroupHeader


class ReplyHeader(msgspec.Struct, frozen=True, array_like=True):
    """An answer's attachment. *held_ns*: from the group's arrival at the peer to this answer.

    *provenance*: what produced the values, packed by whoever runs them (at most 4 KiB).
    """

    version: Annotated[int, msgspec.Meta(ge=1, le=255)]
    held_ns: _U63
    provenance: Annotated[bytes, msgspec.Meta(max_length=4 << 10)] = b""


class Refusal(msgspec.Struct, frozen=True, array_like=True):
    """Why there is no answer; *reason* is one of a fixed set, *message* words for people."""

    version: Annotated[int, msgspec.Meta(ge=1, le=255)]
    reason: Annotated[str, msgspec.Meta(max_length=32)]
    message: Annotated[str, msgspec.Meta(max_length=1024)] = ""


_encoder = msgspec.msgpack.Encoder()
_envelopes = msgspec.msgpack.Decoder(Envelope)
_replies = msgspec.msgpack.Decoder(ReplyHeader)
_refusals = msgspec.msgpack.Decoder(Refusal)


def pack_envelope(token: bytes, origin: int, time_left_ns: int, header: GroupHeader) -> bytes:
    """The attachment of a group with *time_left_ns* to go.

    :raises WireError: the header says more than an envelope holds.
    """
    time_left_us = max(0, time_left_ns) // 1000
    packed = _encoder.encode(Envelope(VERSION, token, origin, time_left_us, header))
    if len(packed) > MAX_HEADER_BYTES:
        raise WireError(f"a group's header of {len(packed)} bytes; at most {MAX_HEADER_BYTES} go")
    return packed


def unpack_envelope(data: bytes, payload_bytes: int) -> Envelope:
    """What :func:`pack_envelope` packed, if it agrees with a payload of *payload_bytes*.

    :raises WireError: it is malformed, too large, or of a version that means something else.
    """
    envelope = _decoded(_envelopes, data, MAX_HEADER_BYTES, "a group's header")
    if envelope.version != VERSION:
        raise WireError(f"a group's header of version {envelope.version}; this node reads 1")
    said = sum(envelope.header.sizes)
    if not said or said != payload_bytes:
        raise WireError(f"a group of {payload_bytes} bytes whose pictures add up to {said}")
    return envelope


def pack_reply(held_ns: int, provenance: bytes) -> bytes:
    return _encoder.encode(ReplyHeader(VERSION, max(0, held_ns), provenance))


def unpack_reply(data: bytes) -> ReplyHeader:
    """:raises WireError: it is no answer's header."""
    return _decoded(_replies, data, MAX_HEADER_BYTES, "an answer's header")


def pack_refusal(reason: str, message: str) -> bytes:
    return _encoder.encode(Refusal(VERSION, reason, message[:1000]))


def unpack_refusal(data: bytes) -> Refusal:
    """Its words go into results and terminals: what does not print is taken out of them.

    :raises WireError: it is no refusal.
    """
    found = _decoded(_refusals, data, _MAX_REFUSAL_BYTES, "a refusal")
    words = "".join(c if c.isprintable() else " " for c in found.message)
    return msgspec.structs.replace(found, message=words)


def split(payload: bytes, sizes: Sequence[int]) -> list[memoryview]:
    """*payload* as one view a part; it was checked against their *sizes* before."""
    parts, at, whole = [], 0, memoryview(payload)
    for size in sizes:
        parts.append(whole[at : at + size])
        at += size
    return parts


def _decoded(
    decoder: msgspec.msgpack.Decoder[_Header], data: bytes, limit: int, what: str
) -> _Header:
    if len(data) > limit:
        raise WireError(f"{what} of {len(data)} bytes; at most {limit} are read")
    try:
        return decoder.decode(data)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise WireError(f"{what} that is none: {error}") from None
