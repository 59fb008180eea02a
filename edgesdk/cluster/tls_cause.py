"""Why there is no session with a peer: zenoh only says that there is none, and waits for it.

Asked before zenoh may try: its own attempt lasts as long as the kernel's and knows no revocation
list, and a listener pauses for 100 ms after a handshake that was broken off, though not after a
whole one.
"""

from __future__ import annotations

import socket
import ssl
import time
from typing import Literal

from edgesdk.cluster.identity import Identity
from edgesdk.cluster.tls import authenticated, client_context, explain
from edgesdk.errors import PeerError

__all__ = ["Cause", "find_cause"]

Cause = tuple[Literal["unreachable", "certificate", "identity"], str]

# A peer that refuses our certificate says so after the handshake, if it says so.
_WORD_SECONDS = 0.25
# A peer that has not met this node yet drops what knocks; the kernel knocks again after a second.
_KNOCK_SECONDS = 0.1
_NO_WAY = {"unreachable", "silent", "not listening", "protocol"}


def find_cause(
    identity: Identity,
    expected: str,
    address: tuple[str, int],
    timeout: float,
    *,
    patient: bool = True,
    source: str | None = None,
) -> Cause | None:
    """Shakes hands with *address* and says what is wrong with it; None: nothing that shows.

    expected: the node id that should answer there. timeout: in seconds, for each of connecting and
    the handshake. patient: wait a moment for the peer's word on this node's certificate, which in
    TLS 1.3 comes after the handshake. source: as for :func:`open_session`.
    """
    where = f"{address[0]}:{address[1]}"
    own = (source, 0) if source else None
    try:
        with _connected(address, timeout, own) as plain:
            context = client_context(identity)
            with context.wrap_socket(plain) as secured:
                found = authenticated(secured, identity)
                if found.node_id != expected:
                    return "identity", f"{where} is {found.node_id!r} now, not {expected!r}"
                if patient:
                    _listen(secured)
    except PeerError as error:
        return "certificate", f"{where}: {error}"
    except OSError as error:
        told = explain(error, where)
        return ("unreachable" if told.cause in _NO_WAY else "certificate"), str(told)
    return None


def _connected(
    address: tuple[str, int], timeout: float, source: tuple[str, int] | None
) -> socket.socket:
    end = time.monotonic() + timeout
    patience = _KNOCK_SECONDS
    while True:
        left = end - time.monotonic()
        try:
            plain = socket.create_connection(address, max(0.001, min(patience, left)), source)
        except TimeoutError:
            if left <= patience:
                raise
            patience *= 2
            continue
        plain.settimeout(timeout)
        return plain


def _listen(secured: ssl.SSLSocket) -> None:
    """Raises OSError if the peer breaks off instead of waiting for more."""
    secured.settimeout(_WORD_SECONDS)
    try:
        if not secured.recv(1):
            raise ConnectionResetError("closed")
    except TimeoutError:
        return
