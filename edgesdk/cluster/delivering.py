"""The origin's side of the data plane: groups go out, and each call ends exactly once.

One zenoh session and one thread a peer in use: opening a session and sending over a link that is
full both wait, and only calls to that peer may feel it.
"""

from __future__ import annotations

import logging
import threading
import time
from collections import Counter, OrderedDict, deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, Protocol

from edgesdk.cluster import zenoh_sessions
from edgesdk.cluster.alarms import Alarms
from edgesdk.cluster.groups import (
    MAX_GROUP_BYTES,
    MAX_REPLY_BYTES,
    TOKEN_BYTES,
    GroupHeader,
    pack_envelope,
    unpack_refusal,
    unpack_reply,
)
from edgesdk.cluster.receiving import CANCELS, GROUPS
from edgesdk.cluster.tls_cause import find_cause
from edgesdk.errors import EdgeError, WireError

if TYPE_CHECKING:
    import zenoh

    from edgesdk.cluster.identity import Identity

__all__ = ["Addressee", "Deliverer", "Delivery", "Failure", "Reply"]

log = logging.getLogger(__name__)

_SESSIONS = 16  # kept open; more only while more peers have calls in flight
_MAX_SESSIONS = 48
_MAX_QUEUED = 64
_MAX_QUEUED_BYTES = 24 << 20
_PROBE_SECONDS = 1.0
# After a failed attempt others fail with its cause, so that a dead peer costs one attempt a period.
_RETRY_NS = 100_000_000

Reason = Literal[
    "cancelled",  # by the caller
    "deadline",  # the time left ran out before an answer
    "unreachable",  # no connection to the peer's address
    "certificate",  # TLS failed; the message says whose certificate and why
    "identity",  # another node answers at the peer's address
    "lost",  # the connection broke with the call in flight
    "overflow",  # too much waits to be sent to this peer, or to too many peers
    "busy",  # the peer holds too much
    "token",  # the peer knows of no such accept
    "late",  # the peer dropped it: its time was up
    "failed",  # the peer could not run it
    "malformed",  # the peer could not read it, or its answer cannot be read
    "closed",  # this data plane, or the peer's, is closing
]
_PEERS = {"busy", "token", "late", "failed", "malformed", "closed"}


class Addressee(Protocol):
    """A peer as the data plane needs it (:class:`edgesdk.cluster.control.Peer` is one)."""

    @property
    def node_id(self) -> str: ...
    @property
    def data_address(self) -> tuple[str, int]: ...


@dataclass(frozen=True, slots=True)
class Reply:
    """A peer's answer. *wire_ns*: between handing over and the answer, less what the peer says
    that it held the group: queues, link and coding of both ways."""

    body: bytes
    provenance: bytes
    wire_ns: int
    held_ns: int


@dataclass(frozen=True, slots=True)
class Failure:
    """Why there is no answer. *sent*: whether the peer may have got the group, and run it."""

    reason: Reason
    message: str
    sent: bool


class Delivery:
    """A call in flight; :meth:`cancel` ends it as ``cancelled`` and tells the peer."""

    def __init__(
        self,
        link: _Link,
        token: bytes,
        header: GroupHeader,
        parts: Sequence[bytes],
        time_left_ns: int,
        done: Callable[[Reply | Failure], None],
    ) -> None:
        self.handed_ns = time.monotonic_ns()
        self.deadline_ns = self.handed_ns + time_left_ns
        self.token = token
        self.header = header
        self.parts: Sequence[bytes] = parts
        self.payload_bytes = sum(map(len, parts))
        self.sent = False
        self.over = False
        self._link = link
        self._done = done
        self._lock = threading.Lock()

    def cancel(self) -> None:
        """Nobody waits for the answer any more; *done* is told from the data plane's own thread.
        Any thread; does nothing after the end."""
        self.fail("cancelled", "cancelled", later=True)

    def expire(self) -> None:
        """Its time is up."""
        if not self.over:
            self.fail("deadline", f"no answer from {self._link.node_id} in the time left")

    def fail(self, reason: Reason, message: str, *, later: bool = False) -> None:
        failure = Failure(reason, message, self.sent)
        if later:
            self._link.alarms.at(0, lambda: self.end(failure))
        else:
            self.end(failure)

    def end(self, outcome: Reply | Failure) -> None:
        """Ends the call, once."""
        with self._lock:
            if self.over:
                return
            self.over = True
            self.parts = ()
        self._link.ended(self, outcome)
        try:
            self._done(outcome)
        except Exception:
            log.exception("what became of a group could not be told")


class _Link:
    """The session with one peer, and the thread that opens it and sends over it."""

    def __init__(self, identity: Identity, peer: Addressee, alarms: Alarms) -> None:
        self.node_id = peer.node_id
        self.address = peer.data_address
        self.alarms = alarms
        self._counts: Counter[str] = Counter()
        self._identity = identity
        self._wake = threading.Condition()
        self._queue: deque[Delivery] = deque()
        self._queued_bytes = 0
        self._calls: set[Delivery] = set()
        self._session: zenoh.Session | None = None
        self._broken = False
        self._closing = False
        self._failed: tuple[int, Reason, str] = (0, "unreachable", "")
        self._thread = threading.Thread(target=self._run, name=f"to-{self.node_id}", daemon=True)
        self._thread.start()

    @property
    def idle(self) -> bool:
        return not self._calls

    def counters(self) -> Counter[str]:
        with self._wake:
            return Counter(self._counts)

    def submit(self, delivery: Delivery, address: tuple[str, int]) -> bool:
        """Queues *delivery*; False: there is no room."""
        with self._wake:
            room = len(self._queue) < _MAX_QUEUED and (
                not self._queue or self._queued_bytes + delivery.payload_bytes <= _MAX_QUEUED_BYTES
            )
            if self._closing or not room:
                return False
            if address != self.address:
                self.address, self._broken = address, True
                self._failed = (0, "unreachable", "")
            self._calls.add(delivery)
            self._queue.append(delivery)
            self._queued_bytes += delivery.payload_bytes
            self._wake.notify()
        self.alarms.at(delivery.deadline_ns, delivery.expire)
        return True

    def ended(self, delivery: Delivery, outcome: Reply | Failure) -> None:
        """Called by a delivery at its end."""
        with self._wake:
            self._calls.discard(delivery)
            if delivery in self._queue:
                self._queue.remove(delivery)
                self._queued_bytes -= delivery.payload_bytes
            self._counts["answered" if isinstance(outcome, Reply) else outcome.reason] += 1
            if isinstance(outcome, Failure) and outcome.reason == "lost":
                self._broken = True
        if (
            isinstance(outcome, Failure)
            and outcome.sent
            and outcome.reason in ("cancelled", "deadline")
        ):
            self.alarms.at(0, lambda: self._tell_cancelled(delivery.token))

    def forget(self) -> None:
        """Closes the session; calls in flight are lost, a later one opens another."""
        with self._wake:
            self._broken = True
            self._wake.notify()

    def close(self) -> None:
        """Ends the thread and its session; calls that have not ended fail as ``closed``."""
        with self._wake:
            self._closing = True
            calls = list(self._calls)
            self._wake.notify()
        for call in calls:
            call.fail("closed", "the data plane is closing")

    def join(self, timeout: float) -> None:
        if self._thread is not threading.current_thread():
            self._thread.join(timeout)

    def _run(self) -> None:
        while True:
            with self._wake:
                while not (self._queue or self._broken or self._closing):
                    self._wake.wait()
                broken, self._broken = self._broken, False
                delivery = self._take()
            if broken or self._closing:
                self._drop_session()
            if self._closing:
                return
            if delivery is not None:
                try:
                    self._send(delivery)
                except Exception as error:
                    log.warning("a group could not be sent to %s: %s", self.node_id, error)
                    delivery.fail("lost", f"the session with {self.node_id} failed: {error}")

    def _take(self) -> Delivery | None:
        if not self._queue or self._closing:
            return None
        delivery = self._queue.popleft()
        self._queued_bytes -= delivery.payload_bytes
        return delivery

    def _send(self, delivery: Delivery) -> None:
        from zenoh import CongestionControl, ConsolidationMode
        from zenoh.handlers import Callback

        session = self._connected(delivery)
        left_ns = delivery.deadline_ns - time.monotonic_ns()
        parts = delivery.parts
        if session is None or delivery.over:
            return
        if left_ns <= 0:
            delivery.expire()
            return
        attachment = pack_envelope(delivery.token, self._identity.number, left_ns, delivery.header)
        delivery.sent = True
        with self._wake:
            self._counts["sent"] += 1
            self._counts["bytes"] += delivery.payload_bytes + len(attachment)
        session.get(
            GROUPS,
            Callback(
                lambda reply: _take_reply(delivery, reply, self.node_id),
                lambda: _take_end(delivery, self.node_id),
                indirect=False,
            ),
            payload=b"".join(parts),
            attachment=attachment,
            timeout=left_ns / 1e9 + 0.05,
            consolidation=ConsolidationMode.NONE,
            congestion_control=CongestionControl.BLOCK,
        )

    def _connected(self, delivery: Delivery) -> zenoh.Session | None:
        """A session whose other end is the node that is meant; else *delivery* has failed."""
        if self._session is not None:
            there = zenoh_sessions.peer_of(self._session)
            if there == self.node_id:
                return self._session
            self._drop_session()
        if time.monotonic_ns() >= self._failed[0]:
            reason, message = self._open(delivery)
            if not reason:
                return self._session
            self._failed = (time.monotonic_ns() + _RETRY_NS, reason, message)
        delivery.fail(self._failed[1], self._failed[2])
        return None

    def _open(self, delivery: Delivery) -> tuple[Reason, str] | tuple[Literal[""], str]:
        left = (delivery.deadline_ns - time.monotonic_ns()) / 1e9
        patience = min(_PROBE_SECONDS, max(left, 0.02))
        cause = find_cause(self._identity, self.node_id, self.address, patience, patient=False)
        if cause is not None:
            return cause
        try:
            session = zenoh_sessions.open_session(self._identity, *self.address)
        except EdgeError as error:
            cause = find_cause(self._identity, self.node_id, self.address, _PROBE_SECONDS)
            return cause or ("unreachable", str(error))
        there = zenoh_sessions.peer_of(session)
        if there != self.node_id:
            zenoh_sessions.close(session)
            where = f"{self.address[0]}:{self.address[1]}"
            return "identity", f"{where} is {there!r} now, not {self.node_id!r}"
        with self._wake:
            self._counts["sessions"] += 1
        self._session = session
        return "", ""

    def _drop_session(self) -> None:
        session, self._session = self._session, None
        if session is not None:
            zenoh_sessions.close(session)

    def _tell_cancelled(self, token: bytes) -> None:
        from zenoh import CongestionControl, Priority
        from zenoh.handlers import Callback

        session = self._session
        if session is None:
            return
        try:
            session.get(
                CANCELS,
                Callback(lambda reply: None, indirect=False),
                attachment=token,
                timeout=1.0,
                priority=Priority.REAL_TIME,  # before the groups that wait to be sent
                congestion_control=CongestionControl.DROP,
            )
        except Exception as error:
            log.debug("%s could not be told of a cancelled group: %s", self.node_id, error)


class Deliverer:
    """Groups to peers: a session each, the least recently used closed beyond 16."""

    def __init__(self, identity: Identity, alarms: Alarms) -> None:
        self._identity = identity
        self._alarms = alarms
        self._lock = threading.Lock()
        self._links: OrderedDict[str, _Link] = OrderedDict()
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
        if [len(part) for part in parts] != [picture.size for picture in header.pictures]:
            raise ValueError("the parts are not as long as the header says")
        link = self._link_to(peer)
        delivery = Delivery(link, token, header, parts, time_left_ns, done)
        if delivery.payload_bytes > MAX_GROUP_BYTES:
            delivery.fail(
                "overflow",
                f"a group of {delivery.payload_bytes} bytes; at most {MAX_GROUP_BYTES} travel",
                later=True,
            )
        elif self._closed:
            delivery.fail("closed", "the data plane is closed", later=True)
        elif not link.submit(delivery, peer.data_address):
            delivery.fail("overflow", f"too much waits to be sent to {peer.node_id}", later=True)
        return delivery

    def forget(self, node_id: str) -> None:
        """Closes the session with a node, if there is one: it was removed, or is gone."""
        with self._lock:
            link = self._links.get(node_id)
        if link is not None:
            link.forget()

    def close(self) -> None:
        """Ends all calls and closes all sessions; calls fail as ``closed``."""
        with self._lock:
            self._closed = True
            links = list(self._links.values())
            self._links.clear()
        for link in links:
            link.close()
        end = time.monotonic() + 2.0
        for link in links:
            link.join(max(0.0, end - time.monotonic()))
        self._add_up(links)

    def counters(self) -> Mapping[str, int]:
        """Groups sent and how they ended, bytes sent, sessions opened."""
        with self._lock:
            total = Counter(self._counts)
            for link in self._links.values():
                total.update(link.counters())
        return total

    def sessions(self) -> Sequence[str]:
        """Node ids of the peers in use, least recently used first."""
        with self._lock:
            return list(self._links)

    def _link_to(self, peer: Addressee) -> _Link:
        surplus: list[_Link] = []
        with self._lock:
            link = self._links.get(peer.node_id)
            if link is None:
                link = self._links[peer.node_id] = _Link(self._identity, peer, self._alarms)
            self._links.move_to_end(peer.node_id)
            for node_id in list(self._links)[:-1]:
                if len(self._links) <= _SESSIONS:
                    break
                if self._links[node_id].idle:
                    surplus.append(self._links.pop(node_id))
        for old in surplus:
            old.close()
        self._add_up(surplus)
        return link

    def _add_up(self, links: Sequence[_Link]) -> None:
        with self._lock:
            for link in links:
                self._counts.update(link.counters())


def _take_reply(delivery: Delivery, reply: zenoh.Reply, node_id: str) -> None:
    """On zenoh's thread."""
    if delivery.over:
        return
    now = time.monotonic_ns()
    try:
        if reply.ok is not None:
            attachment, payload = reply.ok.attachment, reply.ok.payload
            if attachment is None or len(payload) > MAX_REPLY_BYTES:
                raise WireError(f"an answer of {len(payload)} bytes, or without its header")
            header = unpack_reply(attachment.to_bytes())
            wire_ns = max(0, now - delivery.handed_ns - header.held_ns)
            delivery.end(Reply(payload.to_bytes(), header.provenance, wire_ns, header.held_ns))
        elif reply.err is not None:
            _take_refusal(delivery, reply.err.payload, node_id)
    except WireError as error:
        delivery.fail("malformed", f"{node_id}: {error}")


def _take_refusal(delivery: Delivery, payload: zenoh.ZBytes, node_id: str) -> None:
    if len(payload) > 4 << 10:
        raise WireError(f"a refusal of {len(payload)} bytes")
    data = payload.to_bytes()
    if data == b"Timeout":  # zenoh's own word
        delivery.expire()
        return
    refusal = unpack_refusal(data)
    reason = refusal.reason if refusal.reason in _PEERS else "failed"
    message = f"{node_id}: {refusal.message or refusal.reason}"
    delivery.fail(reason, message)  # type: ignore[arg-type]


def _take_end(delivery: Delivery, node_id: str) -> None:
    """On zenoh's thread, when no reply can come any more."""
    if not delivery.over:
        delivery.fail("lost", f"the connection with {node_id} broke")
