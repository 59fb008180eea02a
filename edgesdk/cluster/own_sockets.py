"""This process's own TCP sockets, where the library that made them keeps them to itself."""

from __future__ import annotations

import contextlib
import os
import socket
from collections.abc import Iterator

__all__ = ["connections_at", "listener_at"]


def listener_at(address: tuple[str, int]) -> socket.socket | None:
    """A duplicate of this process's listening socket at *address*, which the caller closes."""
    found = None
    for one in _sockets():
        if found is None and _listens(one) and one.getsockname()[:2] == address:
            found = one
        else:
            one.close()
    return found


def connections_at(port: int, peer: tuple[str, int]) -> list[socket.socket]:
    """Duplicates of what was accepted at the local *port* from *peer*; the caller closes them."""
    found = []
    for one in _sockets():
        try:
            if one.getpeername()[:2] == peer and one.getsockname()[1] == port:
                found.append(one)
                continue
        except OSError:
            pass
        one.close()
    return found


def _sockets() -> Iterator[socket.socket]:
    for name in os.listdir("/proc/self/fd"):
        with contextlib.suppress(OSError):
            if not os.readlink(f"/proc/self/fd/{name}").startswith("socket:"):
                continue
            one = socket.socket(fileno=os.dup(int(name)))
            if one.type == socket.SOCK_STREAM and one.family in (socket.AF_INET, socket.AF_INET6):
                yield one
            else:
                one.close()


def _listens(one: socket.socket) -> bool:
    return one.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN) == 1
