"""Tables of associations with a wire between them that a test may tamper with; no sockets."""

from __future__ import annotations

import time
from collections.abc import Callable

from edgesdk.cluster.greetings import Hello
from edgesdk.cluster.happenings import Event, Limits
from edgesdk.cluster.identity import Identity
from edgesdk.cluster.links import Links

__all__ = ["MS", "Wire"]

MS = 1_000_000


class Wire:
    """*ends* are at 10.0.0.1, 10.0.0.2, ...; ``now`` is theirs. OpenSSL's own timers are real."""

    def __init__(self, *identities: Identity) -> None:
        self.now = 1_000 * MS
        self.ends = [
            Links(identity, Hello(), Limits(), self.now, utc_ns=time.time_ns)
            for identity in identities
        ]
        self.crossed = 0

    @staticmethod
    def address(index: int) -> tuple[str, int]:
        return f"10.0.0.{index + 1}", 7440

    def dial(self, here: int, there: int) -> None:
        self.ends[here].handshakes.dial(self.address(there), self.now)

    def run(self, lost: Callable[[int, bytes], bool] = lambda number, datagram: False) -> None:
        """Carries datagrams until none is left, but for those *lost*, by number and bytes, and
        those to strangers."""
        addresses = [self.address(index) for index in range(len(self.ends))]
        while any(end.out.outgoing for end in self.ends):
            for index, end in enumerate(self.ends):
                outgoing, end.out.outgoing = end.out.outgoing, []
                for address, datagram in outgoing:
                    self.crossed += 1
                    if address in addresses and not lost(self.crossed, datagram):
                        to = addresses.index(address)
                        self.ends[to].received(self.address(index), datagram, self.now)

    def wait(self, milliseconds: int) -> None:
        """Time passes, and what it brings is carried."""
        for _ in range(milliseconds // 10):
            self.now += 10 * MS
            for end in self.ends:
                end.tick(self.now)
            self.run()

    def names(self, index: int) -> set[str]:
        return {peer.node_id for peer in self.ends[index].peers()}

    def events(self, index: int, kind: type[Event]) -> list[Event]:
        """Those of *kind* since the last time; all others are forgotten."""
        events, self.ends[index].out.events = self.ends[index].out.events, []
        return [event for event in events if isinstance(event, kind)]
