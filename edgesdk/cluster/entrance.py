"""Whose addresses the data port is open to: members', as the control plane authenticated them."""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from edgesdk.cluster.administration import Caller
    from edgesdk.cluster.control import Peer

__all__ = ["Entrance"]

_GUEST_NS = 120_000_000_000


class Entrance:
    """Tells *admit* the addresses whenever they change. Thread-safe.

    peers: the members that are reachable. is_out: whether the member of that number is left out; an
    address that it has for itself alone is then closed.
    """

    def __init__(
        self,
        admit: Callable[[Collection[str]], object],
        *,
        peers: Callable[[], Sequence[Peer]],
        is_out: Callable[[int], bool],
    ) -> None:
        self._admit, self._peers, self._is_out = admit, peers, is_out
        self._guests: dict[str, int] = {}  # addresses, and until when they may come

    def look(self) -> None:
        """The members are others than before."""
        now = time.monotonic_ns()
        self._guests = {host: until for host, until in list(self._guests.items()) if until > now}
        members = {p.address[0] for p in self._peers() if not self._is_out(p.number)}
        self._admit({*self._guests, *members})

    def met(self, caller: Caller) -> None:
        """On a thread of the administration: a doctor, say, who looks at the data port next."""
        now = time.monotonic_ns()
        if self._guests.get(caller.address[0], 0) < now + _GUEST_NS // 2:
            self._guests[caller.address[0]] = now + _GUEST_NS
            self.look()
