"""Who may stay connected to the data port: so many sessions a member, none of who is no member.

zenoh bounds its sessions in all, not those of one member. It tells of each, with the name in the
certificate that it checked; what is too much is ended by shutting its socket down.
"""

from __future__ import annotations

import contextlib
import logging
import socket
import threading
import time
from collections import Counter, OrderedDict
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from edgesdk.cluster.alarms import Alarms
from edgesdk.cluster.own_sockets import connections_at

if TYPE_CHECKING:
    import zenoh

__all__ = ["SESSIONS_A_PEER", "Doorkeeper"]

log = logging.getLogger(__name__)

SESSIONS_A_PEER = 4
"""A node needs one; those of its process before a restart may linger for a lease."""

# A newcomer may be here before its greeting has come round on the control plane.
_GRACE_NS = 2_000_000_000

Address = tuple[str, int]


class Doorkeeper:
    """Watches the sessions of one listener. Thread-safe; close it before the listener.

    member: whether a node of that id is one now. greedy: told, on a thread of this object, of each
    session that was one too many, with the node id. Neither may call this object.
    """

    def __init__(
        self,
        listener: zenoh.Session,
        port: int,
        alarms: Alarms,
        *,
        member: Callable[[str], bool],
        greedy: Callable[[str], object],
    ) -> None:
        self._port, self._alarms = port, alarms
        self._member, self._greedy = member, greedy
        self._lock = threading.Lock()
        # In the order in which they came; by the address that they came from.
        self._open: OrderedDict[Address, str] = OrderedDict()
        self._counts: Counter[str] = Counter()
        self._listening: Any = listener.info.declare_link_events_listener(
            self._happened, history=True
        )

    def close(self) -> None:
        """Watches no more; sessions that are open stay. Idempotent."""
        listening, self._listening = self._listening, None
        if listening is not None:
            with contextlib.suppress(Exception):
                listening.undeclare()

    def dismiss(self, node_id: str) -> None:
        """Its sessions end now. It is no member any more, so later ones end too, though not at
        once: whoever connects again at each end would keep both busy."""
        with self._lock:
            theirs = [address for address, name in self._open.items() if name == node_id]
        for address in theirs:
            self._end(address, "dismissed")

    def counters(self) -> Mapping[str, int]:
        """Sessions ended here: ``excess``, ``dismissed``, ``unknown``; and how many are open."""
        with self._lock:
            return {**self._counts, "open": len(self._open)}

    def _happened(self, event: zenoh.LinkEvent) -> None:
        """On a thread of the listener's that only tells of links."""
        from zenoh import SampleKind

        try:
            address = _parse(event.link.dst)
            if event.kind == SampleKind.DELETE:
                with self._lock:
                    self._open.pop(address, None)
            else:
                self._came(address, str(event.link.auth_identifier or ""))
        except Exception:
            log.exception("a session of the data port could not be looked at")

    def _came(self, address: Address, name: str) -> None:
        with self._lock:
            self._open[address] = name
            theirs = [a for a, n in self._open.items() if n == name and a[0] == address[0]]
        if len(theirs) > SESSIONS_A_PEER:
            # The oldest: of a node that was restarted behind a dead link, the newest is the one.
            self._end(theirs[0], "excess")
            self._greedy(name)
        elif not self._member(name):
            self._alarms.at(time.monotonic_ns() + _GRACE_NS, lambda: self._look(address, name))

    def _look(self, address: Address, name: str) -> None:
        with self._lock:
            here = self._open.get(address) == name
        if here and not self._member(name):
            self._end(address, "unknown")

    def _end(self, address: Address, why: str) -> None:
        with self._lock:
            if self._open.pop(address, None) is None:
                return
            self._counts[why] += 1
        for connection in connections_at(self._port, address):
            with connection, contextlib.suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)


def _parse(locator: str) -> Address:
    """Host and port of ``tls/10.0.0.2:40000``."""
    host, _, port = locator.partition("/")[2].partition("?")[0].rpartition(":")
    return host.strip("[]"), int(port)
