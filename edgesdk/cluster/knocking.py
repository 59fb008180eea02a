"""Whether a node's control plane can be reached over UDP, without disturbing anybody.

A ClientHello is sent and the answer to it, the request for a cookie, is waited for: that takes no
certificate, makes no association, and leaves the peer without memory of it.
"""

from __future__ import annotations

import secrets
import socket
import struct
import time

from edgesdk.cluster.records import first_record
from edgesdk.errors import PeerError

__all__ = ["knock"]

_CIPHERS = (0xC02B, 0xCCA9)
_TRIES = 4


def knock(address: tuple[str, int], *, seconds: float = 2.0) -> float:
    """The round trip in seconds. Raises PeerError: not listening, unreachable, silent, protocol."""
    where = f"{address[0]}:{address[1]}"
    try:
        family, _, _, _, name = socket.getaddrinfo(*address, type=socket.SOCK_DGRAM)[0]
        with socket.socket(family, socket.SOCK_DGRAM) as plug:
            plug.connect(name)
            return _exchange(plug, where, seconds)
    except ConnectionRefusedError:
        raise PeerError(
            f"{where}: nothing listens on UDP there: is the agent running, is this its port?",
            cause="not listening",
        ) from None
    except OSError as error:
        raise PeerError(f"{where}: no way there: {error.strerror}", cause="unreachable") from None


def _exchange(plug: socket.socket, where: str, seconds: float) -> float:
    hello = _hello(secrets.token_bytes(32))
    for _ in range(_TRIES):
        sent = time.monotonic()
        plug.send(hello)
        plug.settimeout(seconds / _TRIES)
        try:
            answer = plug.recv(2048)
        except TimeoutError:
            continue
        record = first_record(answer)
        if record is None or record.kind != 22 or answer[13:14] != b"\3":
            raise PeerError(f"{where}: something else than edgesdk answers", cause="protocol")
        return time.monotonic() - sent
    raise PeerError(
        f"{where}: no answer over UDP: the machine is off, or a firewall drops UDP", cause="silent"
    )


def _hello(random: bytes) -> bytes:
    ciphers = struct.pack(f"!H{len(_CIPHERS)}H", 2 * len(_CIPHERS), *_CIPHERS)
    # Supported groups: P-256; signature algorithms: ECDSA with SHA-256.
    extensions = struct.pack("!HHHH", 10, 4, 2, 23) + struct.pack("!HHHH", 13, 4, 2, 0x0403)
    body = (
        struct.pack("!H", 0xFEFD)
        + random
        + b"\0"  # no session
        + b"\0"  # no cookie
        + ciphers
        + b"\1\0"  # no compression
        + struct.pack("!H", len(extensions))
        + extensions
    )
    size = len(body).to_bytes(3, "big")
    message = b"\1" + size + b"\0\0" + b"\0\0\0" + size + body
    return struct.pack("!BHHHIH", 22, 0xFEFF, 0, 0, 0, len(message)) + message
