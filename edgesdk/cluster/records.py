"""DTLS as it looks before anybody is trusted: records, the first ClientHello, the cookie.

OpenSSL does the cryptography; this is what must happen before it may be asked. A ClientHello
without a good cookie costs one HMAC and no memory (RFC 6347, 4.2.1), and the answer, at 60 bytes,
is smaller than any hello. Pure: the secret is an argument.
"""

from __future__ import annotations

import hmac
import struct
from dataclasses import dataclass

from edgesdk.errors import MalformedMessage

__all__ = [
    "ALERT",
    "APPLICATION_DATA",
    "HANDSHAKE",
    "HELLO_VERIFY_BYTES",
    "MAX_DATAGRAM",
    "ClientHello",
    "Record",
    "first_record",
    "gather",
    "hello_verify_request",
    "make_cookie",
    "no_association_alert",
    "parse_client_hello",
]

MAX_DATAGRAM = 1200
"""Bytes of UDP payload that one datagram has at most: fits any link without being split."""

CHANGE_CIPHER, ALERT, HANDSHAKE, APPLICATION_DATA = 20, 21, 22, 23
_HEADER = struct.Struct("!BHHHIH")  # type, version, epoch, sequence (16 + 32 bits), length
_VERSIONS = (0xFEFF, 0xFEFD)
_CLIENT_HELLO, _HELLO_VERIFY = 1, 3
HELLO_VERIFY_BYTES = 13 + 12 + 3 + 32
"""Of the answer to a hello without cookie."""


@dataclass(frozen=True, slots=True)
class Record:
    """The header of a record."""

    kind: int
    epoch: int
    sequence: int
    length: int


@dataclass(frozen=True, slots=True)
class ClientHello:
    """What the stateless answer needs of a ClientHello; *parameters* is all that a cookie binds."""

    random: bytes
    cookie: bytes
    sequence: int
    message_sequence: int
    parameters: bytes


def first_record(datagram: bytes) -> Record | None:
    """The datagram's first record, None if it has no sound one."""
    if len(datagram) < _HEADER.size:
        return None
    kind, version, epoch, high, low, length = _HEADER.unpack_from(datagram)
    if (
        not CHANGE_CIPHER <= kind <= APPLICATION_DATA
        or version not in _VERSIONS
        or length > len(datagram) - _HEADER.size
    ):
        return None
    return Record(kind, epoch, high << 32 | low, length)


def parse_client_hello(datagram: bytes) -> ClientHello:
    """The ClientHello that *datagram* begins with. Raises MalformedMessage for anything else.

    One in fragments is refused: no node of ours sends such, and gathering them takes memory.
    """
    record = first_record(datagram)
    if record is None or record.kind != HANDSHAKE or record.epoch != 0:
        raise MalformedMessage("no handshake record")
    body = datagram[_HEADER.size : _HEADER.size + record.length]
    if len(body) < 12 + 2 + 32 + 1 or body[0] != _CLIENT_HELLO:
        raise MalformedMessage("no ClientHello")
    total, offset, size = (int.from_bytes(body[at : at + 3], "big") for at in (1, 6, 9))
    if offset or size != total or size != len(body) - 12:
        raise MalformedMessage("a ClientHello in fragments")
    message_sequence = int.from_bytes(body[4:6], "big")
    hello = body[12:]
    random, at = hello[2:34], 34
    session, at = _vector(hello, at)
    start = at
    cookie, at = _vector(hello, at)
    # All but the cookie: version, random, session, ciphers, compressions, extensions.
    return ClientHello(
        random, cookie, record.sequence, message_sequence, hello[:start] + hello[at:] + session
    )


def make_cookie(secret: bytes, address: tuple[str, int], hello: ClientHello) -> bytes:
    """The cookie that only *address* can have got, for this very hello."""
    name = f"{address[0]}|{address[1]}|".encode()
    return hmac.digest(secret, name + hello.parameters, "sha256")


def hello_verify_request(hello: ClientHello, cookie: bytes) -> bytes:
    """The datagram that asks the sender of *hello* to say it again, with *cookie*.

    A first hello is answered with record 0, even one that was sent again under a later number:
    OpenSSL's server goes on with record 1, whatever RFC 6347 (4.2.1) says, and what its client has
    seen, it drops.
    """
    body = struct.pack("!HB", 0xFEFF, len(cookie)) + cookie
    size = len(body).to_bytes(3, "big")
    message = bytes([_HELLO_VERIFY]) + size + b"\0\0" + b"\0\0\0" + size + body
    sequence = hello.sequence if hello.cookie else 0
    high, low = sequence >> 32, sequence & 0xFFFFFFFF
    return _HEADER.pack(HANDSHAKE, 0xFEFF, 0, high, low, len(message)) + message


def no_association_alert() -> bytes:
    """What a node answers to records of an association that it does not have: 15 bytes.

    Anybody can send it, so its receiver takes it for a hint and asks the peer.
    """
    return _HEADER.pack(ALERT, 0xFEFD, 0, 0, 0, 2) + b"\x02\x0a"


def gather(stream: bytes, limit: int = MAX_DATAGRAM) -> list[bytes]:
    """Records that OpenSSL wrote one after the other, as datagrams of whole records."""
    datagrams: list[bytes] = []
    start = at = 0
    while at + _HEADER.size <= len(stream):
        end = at + _HEADER.size + int.from_bytes(stream[at + 11 : at + 13], "big")
        if end - start > limit and at > start:
            datagrams.append(stream[start:at])
            start = at
        at = end
    if len(stream) > start:
        datagrams.append(stream[start:])
    return datagrams


def _vector(data: bytes, at: int) -> tuple[bytes, int]:
    if at >= len(data) or at + 1 + data[at] > len(data):
        raise MalformedMessage("a ClientHello that ends too soon")
    end = at + 1 + data[at]
    return data[at + 1 : end], end
