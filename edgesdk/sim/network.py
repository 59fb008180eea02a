"""Links in virtual time: each serves transfers in order, at its rate, and nothing is lost.

A transfer passes the links of its way in series and begins on the next while it is still on the
one before (packets, not parcels): alone it takes its size over the slowest rate, plus the latency.
Each link is busy for the size over its own rate.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from typing import Any

from edgesdk.sim.engine import Engine
from edgesdk.sim.parameters import Parameters

__all__ = ["Link", "Network", "Transfer"]


class Link:
    """One queue and one rate. A shared radio cell is one link for all of its nodes."""

    __slots__ = ("busy_ns", "free_at", "ns_per_byte", "queue", "queued")

    def __init__(self, mbps: float) -> None:
        self.ns_per_byte = 8000 / mbps
        self.free_at = 0
        self.busy_ns = 0
        self.queue: deque[Transfer] = deque()
        self.queued = 0
        """Bytes in the queue, the cancelled ones left out."""

    def waiting_ns(self, now: int) -> int:
        """What a transfer that joins now would wait."""
        return max(self.free_at - now, 0) + round(self.queued * self.ns_per_byte)


class Transfer:
    """Bytes on their way; *arrived* is called with *arguments* when the last one is there."""

    __slots__ = ("arguments", "arrived", "begun", "cancelled", "ends", "hop", "size", "way")

    def __init__(
        self, size: int, way: list[Link], arrived: Callable[..., None], arguments: tuple[Any, ...]
    ) -> None:
        self.size = size
        self.way = way
        self.arrived = arrived
        self.arguments = arguments
        self.hop = 0
        self.ends = 0
        self.begun = False
        self.cancelled = False

    def cancel(self) -> bool:
        """Takes it out of its first queue; False if bytes have already left."""
        if self.begun or self.cancelled:
            return False
        self.cancelled = True
        self.way[0].queued -= self.size
        return True


class Network:
    """The LAN of a cluster: NICs or radio cells, and uplinks between regions."""

    def __init__(self, engine: Engine, parameters: Parameters, regions: list[int]) -> None:
        self._engine = engine
        self._regions = regions
        self.latency_ns = round(parameters.latency_ms * 1e6)
        self._behind_data = parameters.behind_data
        count = max(regions) + 1
        self._cells: list[Link] = []
        if parameters.radio_mbps:
            self._cells = [Link(parameters.radio_mbps) for _ in range(count)]
            self.out = [self._cells[region] for region in regions]
            self.into = self.out
        else:
            self.out = [Link(parameters.nic_mbps) for _ in regions]
            self.into = [Link(parameters.nic_mbps) for _ in regions]
        uplink = parameters.uplink_mbps
        self.up = [Link(uplink) for _ in range(count)] if uplink else []
        self.down = [Link(uplink) for _ in range(count)] if uplink else []

    def way(self, source: int, target: int) -> list[Link]:
        """The links from node to node. In a cell the access point repeats everything: frames
        between two of its nodes take its air twice."""
        here, there = self._regions[source], self._regions[target]
        if self.up and here != there:
            return [self.out[source], self.up[here], self.down[there], self.into[target]]
        return [self.out[source], self.into[target]]

    def send(
        self, source: int, target: int, size: int, arrived: Callable[..., None], *arguments: Any
    ) -> Transfer:
        transfer = Transfer(size, self.way(source, target), arrived, arguments)
        self._join(transfer, transfer.way[0])
        return transfer

    def message(
        self, source: int, target: int, size: int, arrived: Callable[..., None], *arguments: Any
    ) -> None:
        """A datagram or a result: ahead of frames where queues are fair, else behind them."""
        if self._behind_data:
            self.send(source, target, size, arrived, *arguments)
        else:
            takes = round(size * self.out[source].ns_per_byte) + self.latency_ns
            self._engine.at(self._engine.now + takes, arrived, *arguments)

    def _join(self, transfer: Transfer, link: Link) -> None:
        if link.queue or link.free_at > self._engine.now:
            link.queue.append(transfer)
            link.queued += transfer.size
            if len(link.queue) == 1:
                self._engine.at(link.free_at, self._serve, link)
        else:
            self._start(transfer, link)

    def _serve(self, link: Link) -> None:
        while link.queue:
            transfer = link.queue.popleft()
            if not transfer.cancelled:
                link.queued -= transfer.size
                self._start(transfer, link)
                break
        if link.queue:
            self._engine.at(link.free_at, self._serve, link)

    def _start(self, transfer: Transfer, link: Link) -> None:
        now = self._engine.now
        takes = round(transfer.size * link.ns_per_byte)
        link.free_at = now + takes
        link.busy_ns += takes
        transfer.begun = True
        transfer.ends = max(now + takes, transfer.ends)
        transfer.hop += 1
        if transfer.hop < len(transfer.way):
            if transfer.hop == 1:  # all of the latency at once, behind the first link
                transfer.ends += self.latency_ns
                now += self.latency_ns
            self._engine.at(now, self._join, transfer, transfer.way[transfer.hop])
        else:
            self._engine.at(transfer.ends, transfer.arrived, *transfer.arguments)
