"""How many connections a server has at once, and whose go where there is no room."""

from __future__ import annotations

import socket
import threading
from collections import Counter
from contextlib import suppress

__all__ = ["Connections"]


class Connections:
    """*most* at once, *of_one_host* of one address. Thread-safe.

    Those that have proved who they are stay. Where there is no room the oldest stranger goes, of
    the host that has most of them: who holds connections open without a word keeps nobody out.
    """

    def __init__(self, most: int, of_one_host: int) -> None:
        self._most, self._of_one_host = most, of_one_host
        self._lock = threading.Lock()
        self._strangers: dict[socket.socket, str] = {}
        self._known: dict[socket.socket, str] = {}
        self.crowded = 0
        """How often there was no room."""

    def open(self, connection: socket.socket, host: str) -> bool:
        """Takes one more in; False: there is no room. One whose end that is has been shut down,
        and is its thread's to close."""
        with self._lock:
            hosts = Counter([*self._strangers.values(), *self._known.values()])
            if hosts[host] >= self._of_one_host:
                full: str | None = host
            elif hosts.total() >= self._most:
                strangers = Counter(self._strangers.values()).most_common(1)
                full = strangers[0][0] if strangers else host
            else:
                full = None
            if full is not None:
                self.crowded += 1
                if not self._end_one(full):
                    return False
            self._strangers[connection] = host
        return True

    def known(self, connection: socket.socket) -> None:
        """It is a member's, or the operator's."""
        with self._lock:
            host = self._strangers.pop(connection, None)
            if host is not None:
                self._known[connection] = host

    def closed(self, connection: socket.socket) -> None:
        """It has ended."""
        with self._lock:
            self._strangers.pop(connection, None)
            self._known.pop(connection, None)

    def _end_one(self, host: str) -> bool:
        victim = next((c for c, h in self._strangers.items() if h == host), None)
        if victim is None:
            return False
        del self._strangers[victim]
        with suppress(OSError):
            victim.shutdown(socket.SHUT_RDWR)
        return True
