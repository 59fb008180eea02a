"""The origin's side of the data plane: groups to peers, a session and a thread for each in use."""

from __future__ import annotations

import threading
import time
from collections import Counter, OrderedDict
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Protocol

from edgesdk.cluster.alarms import Alarms
from edgesdk.cluster.deliveries import Delivery, Failure, Reply
from edgesdk.cluster.groups import MAX_GROUP_BYTES, TOKEN_BYTES, GroupHeader
from edgesdk.cluster.peer_link import PeerLink

if TYPE_CHECKING:
    from edgesdk.cluster.identity import Identity

__all__ = ["Addressee", "Deliverer"]

_SESSIONS = 16  # kept open; more only while more peers have calls in flight
_MAX_SESSIONS = 48


class Addressee(Protocol):
    """A peer as the data plane needs it (:class:`edgesdk.cluster.control.Peer` is one)."""

    @property
    def node_id(self) -> str: ...
    @property
    def data_address(self) -> tuple[str, int]: ...


class Deliverer:
    """Groups to peers: a session each, the least recently used closed beyond 16."""

    def __init__(self, identity: Identity, alarms: Alarms, source: str | None = None) -> None:
        self._source = source
        self._identity = identity
        self._alarms = alarms
        self._lock = threading.Lock()
        self._links: OrderedDict[str, PeerLink] = OrderedDict()
        self._retired: list[PeerLink] = []  # whose threads or calls may not have ended
        self._counts: Counter[str] = Counter()
        self._closed = False

    def deliver(
        self,
        peer: Addressee,
        token: bytes,
        header: GroupHeader,
        parts: Sequence[bytes],
        *,
        time_left_ns: int,
        done: Callable[[Reply | Failure], None],
    ) -> Delivery:
        """See :meth:`edgesdk.cluster.data.DataPlane.deliver`."""
        if len(token) != TOKEN_BYTES:
            raise ValueError(f"a token has {TOKEN_BYTES} bytes, not {len(token)}")
        if [len(part) for part in parts] != header.sizes:
            raise ValueError("the parts are not as long as the header says")
        size = sum(map(len, parts))
        with self._lock:
            link = self._link_to(peer)
            delivery = Delivery(link, token, header, parts, time_left_ns, done)
            if self._closed:
                delivery.fail("closed", "the data plane is closed", later=True)
            elif size > MAX_GROUP_BYTES:
                told = f"a group of {size} bytes; at most {MAX_GROUP_BYTES} travel"
                delivery.fail("overflow", told, later=True)
            elif len(self._links) > _MAX_SESSIONS:
                told = f"calls to {_MAX_SESSIONS} other nodes are in flight"
                delivery.fail("overflow", told, later=True)
            elif not link.submit(delivery):
                told = f"too much waits to be sent to {peer.node_id}"
                delivery.fail("overflow", told, later=True)
        return delivery

    def prepare(self, peer: Addressee) -> None:
        """Opens a session with *peer* soon, unless there are as many as are kept open."""
        with self._lock:
            if not self._closed and (peer.node_id in self._links or len(self._links) < _SESSIONS):
                self._link_to(peer).prepare()

    def forget(self, node_id: str) -> None:
        """Closes the session with a node, if there is one: it was removed, or is gone."""
        with self._lock:
            self._retire(node_id, "it is gone")

    def close(self) -> None:
        """Ends all calls and closes all sessions; calls fail as ``closed``."""
        with self._lock:
            self._closed = True
            links = [*self._links.values(), *self._retired]
            self._links.clear()
            self._retired.clear()
        for link in links:
            link.close()
        end = time.monotonic() + 2.0
        for link in links:
            link.join(max(0.0, end - time.monotonic()))
        with self._lock:
            for link in links:
                self._counts.update(link.counters())

    def counters(self) -> Mapping[str, int]:
        """Groups sent and how they ended, bytes sent, sessions opened."""
        with self._lock:
            total = Counter(self._counts)
            for link in (*self._links.values(), *self._retired):
                total.update(link.counters())
        return total

    def sessions(self) -> Sequence[str]:
        """Node ids of the peers in use, least recently used first."""
        with self._lock:
            return list(self._links)

    def _link_to(self, peer: Addressee) -> PeerLink:
        link = self._links.get(peer.node_id)
        if link is not None and link.address != peer.data_address:
            self._retire(peer.node_id, "it has moved")
            link = None
        if link is None:
            link = PeerLink(
                self._identity, peer.node_id, peer.data_address, self._alarms, self._source
            )
            if self._closed:
                return link
            self._links[peer.node_id] = link
        self._links.move_to_end(peer.node_id)
        for node_id in list(self._links)[:-1]:
            if len(self._links) <= _SESSIONS:
                break
            if self._links[node_id].idle:
                self._retire(node_id, "others are used more")
        return link

    def _retire(self, node_id: str, why: str) -> None:
        """Holds the lock."""
        link = self._links.pop(node_id, None)
        if link is None:
            return
        link.give_up(f"the session with {node_id} was closed: {why}")
        for old in [old for old in self._retired if old.over]:
            self._retired.remove(old)
            self._counts.update(old.counters())
        self._retired.append(link)
