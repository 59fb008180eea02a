"""What nodes tell each other besides balancing: who they are, are you there, who was removed.

A datagram's first byte is its kind; 0x01 to 0x7f are the balancer's, 0x80 and above are here.
Bodies are msgpack arrays; elements that a newer version has appended are ignored. A datagram has
1163 bytes at most, which bounds every field.
"""

from __future__ import annotations

from typing import Annotated

import msgspec

from edgesdk.cluster.revocation import MAX_LIST_BYTES
from edgesdk.errors import MalformedMessage

__all__ = ["Chunk", "Greeting", "Hello", "Message", "Ping", "Pong", "Want", "decode", "encode"]

CHUNK_BYTES = 1024
PROTOCOL = 1

_U64 = Annotated[int, msgspec.Meta(ge=0, le=(1 << 63) - 1)]
_Text = Annotated[str, msgspec.Meta(max_length=64)]
_Port = Annotated[int, msgspec.Meta(ge=0, le=65535)]
_Offset = Annotated[int, msgspec.Meta(ge=0, le=MAX_LIST_BYTES)]


class Hello(msgspec.Struct, frozen=True):
    """What this node says of itself: its site, the port of its data plane, its software."""

    site: str = ""
    data_port: int = 0
    version: str = ""


class Greeting(msgspec.Struct, frozen=True, array_like=True):
    """The first message of both sides, said again until *heard* comes back.

    incarnation: a number of the process, which tells a restart. revocations: the number of the
    list that the sender has. clock_s: its UTC, in seconds since 1970.
    """

    protocol: Annotated[int, msgspec.Meta(ge=1, le=1 << 20)]
    site: _Text
    data_port: _Port
    version: _Text
    incarnation: _U64
    revocations: _U64
    clock_s: Annotated[int, msgspec.Meta(ge=-(1 << 62), le=1 << 62)]
    heard: bool


class Want(msgspec.Struct, frozen=True, array_like=True):
    """Asks for the revocation list *number* from byte *offset* on."""

    number: _U64
    offset: _Offset


class Chunk(msgspec.Struct, frozen=True, array_like=True):
    """A piece of the revocation list *number*, which has *total* bytes."""

    number: _U64
    total: Annotated[int, msgspec.Meta(ge=1, le=MAX_LIST_BYTES)]
    offset: _Offset
    data: Annotated[bytes, msgspec.Meta(min_length=1, max_length=CHUNK_BYTES)]


class Ping(msgspec.Struct, frozen=True, array_like=True):
    """Are you there? A Pong has the same *token*."""

    token: _U64


class Pong(msgspec.Struct, frozen=True, array_like=True):
    """I am; *clock_ns* is the sender's UTC since 1970."""

    token: _U64
    clock_ns: Annotated[int, msgspec.Meta(ge=-(1 << 63), le=(1 << 63) - 1)]


Message = Greeting | Want | Chunk | Ping | Pong
_KINDS: dict[int, type[Message]] = {0x80: Greeting, 0x81: Want, 0x82: Chunk, 0x83: Ping, 0x84: Pong}
_NUMBERS = {kind: number for number, kind in _KINDS.items()}
_DECODERS = {number: msgspec.msgpack.Decoder(kind) for number, kind in _KINDS.items()}
_ENCODER = msgspec.msgpack.Encoder()


def encode(message: Message) -> bytes:
    """The datagram's bytes."""
    return bytes([_NUMBERS[type(message)]]) + _ENCODER.encode(message)


def decode(datagram: bytes) -> Message | None:
    """The message, None for a kind of a newer version. Raises MalformedMessage for nonsense."""
    decoder = _DECODERS.get(datagram[0]) if datagram else None
    if decoder is None:
        if datagram and datagram[0] >= 0x80:
            return None
        raise MalformedMessage("no greeting")
    try:
        message: Message = decoder.decode(memoryview(datagram)[1:])
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError, ValueError) as error:
        raise MalformedMessage(f"kind 0x{datagram[0]:02x}: {error}") from None
    return message
