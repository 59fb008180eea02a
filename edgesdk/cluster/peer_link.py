"""The session with one peer, and the thread that opens it and sends over it.

Opening a session and sending over a link that is full both wait, and only calls to that peer may
feel it.
"""

from __future__ import annotations

import logging
import threading
import time
from collections import Counter, deque
from typing import TYPE_CHECKING, Literal

from edgesdk.cluster import zenoh_sessions
from edgesdk.cluster.alarms import Alarms
from edgesdk.cluster.deliveries import Delivery, Failure, Reason, Reply
from edgesdk.cluster.groups import MAX_REPLY_BYTES, pack_envelope, unpack_refusal, unpack_reply
from edgesdk.cluster.receiving import CANCELS, GROUPS
from edgesdk.cluster.tls_cause import Cause, find_cause
from edgesdk.errors import EdgeError, WireError

if TYPE_CHECKING:
    import zenoh

    from edgesdk.cluster.identity import Identity

__all__ = ["PeerLink"]

log = logging.getLogger(__name__)

_MAX_QUEUED = 64
_MAX_QUEUED_BYTES = 24 << 20
_IDLE_SECONDS = 60.0
_PROBE_SECONDS = 1.0
_SHORTEST_PROBE_SECONDS = 0.25  # a call in a hurry must not give the peer up for others
# After a failed attempt others fail with its cause, so that a dead peer costs one attempt a period.
_RETRY_NS = 100_000_000
_PEERS = {"busy", "token", "late", "failed", "unsendable", "malformed", "closed"}


class PeerLink:
    """Calls to one peer. Thread-safe; its thread starts with the first call."""

    def __init__(
        self,
        identity: Identity,
        node_id: str,
        address: tuple[str, int],
        alarms: Alarms,
        source: str | None = None,
    ) -> None:
        self.node_id = node_id
        self.address = address
        self.alarms = alarms
        self._counts: Counter[str] = Counter()
        self._identity = identity
        self._source = source
        self._wake = threading.Condition()
        self._queue: deque[Delivery] = deque()
        self._queued_bytes = 0
        self._calls: set[Delivery] = set()
        self._session: zenoh.Session | None = None
        self._closing = False
        self._started = False
        self._early = False
        self._failed: tuple[int, Reason, str] = (0, "unreachable", "")
        self._thread = threading.Thread(target=self._run, name=f"to-{self.node_id}", daemon=True)

    @property
    def idle(self) -> bool:
        return not self._calls

    @property
    def over(self) -> bool:
        """Whether it was closed, and its thread and all calls have ended."""
        return self._closing and not self._calls and not self._thread.is_alive()

    def counters(self) -> Counter[str]:
        with self._wake:
            return Counter(self._counts)

    def submit(self, delivery: Delivery) -> bool:
        """Queues *delivery*; False: there is no room."""
        with self._wake:
            room = len(self._queue) < _MAX_QUEUED and (
                not self._queue or self._queued_bytes + delivery.payload_bytes <= _MAX_QUEUED_BYTES
            )
            if self._closing or not room:
                return False
            self._calls.add(delivery)
            self._queue.append(delivery)
            self._queued_bytes += delivery.payload_bytes
            if not self._started:
                self._started = True
                self._thread.start()
            self._wake.notify()
        self.alarms.at(delivery.deadline_ns, delivery.expire)
        return True

    def prepare(self) -> None:
        """Opens the session before the first call needs it; that it cannot be is no error."""
        with self._wake:
            if self._closing or self._session is not None or self._calls:
                return
            self._early = True
            if not self._started:
                self._started = True
                self._thread.start()
            self._wake.notify()

    def ended(self, delivery: Delivery, outcome: Reply | Failure) -> None:
        """Called by a delivery at its end."""
        with self._wake:
            self._calls.discard(delivery)
            if delivery in self._queue:
                self._queue.remove(delivery)
                self._queued_bytes -= delivery.payload_bytes
            self._counts["answered" if isinstance(outcome, Reply) else outcome.reason] += 1
        if (
            isinstance(outcome, Failure)
            and delivery.sent
            and outcome.reason in ("cancelled", "deadline")
        ):
            self.alarms.at(0, lambda: self._tell_cancelled(delivery.token))

    def close(self) -> None:
        """Ends the thread and its session; calls that have not ended fail as ``closed``."""
        for call in self._end():
            call.fail("closed", "the data plane is closing")

    def give_up(self, why: str) -> None:
        """Likewise, soon: calls fail as ``lost`` from the data plane's own thread. The link's own
        may be sending to a peer that takes nothing, for some seconds yet."""
        for call in self._end():
            call.fail("lost", why, later=True)

    def _end(self) -> list[Delivery]:
        with self._wake:
            self._closing = True
            self._wake.notify()
            return list(self._calls)

    def join(self, timeout: float) -> None:
        if self._started and self._thread is not threading.current_thread():
            self._thread.join(timeout)

    def _run(self) -> None:
        while True:
            with self._wake:
                idle = False
                while not (self._queue or self._early or self._closing or idle):
                    # without a session there is nothing to be given up
                    woken = self._wake.wait(_IDLE_SECONDS if self._session else None)
                    idle = not woken and not self._calls
                early, self._early = self._early, False
                delivery = self._take()
            if idle or self._closing:
                self._drop_session()
            if self._closing:
                return
            if early and self._session is None:
                try:
                    self._connect(time.monotonic_ns() + int(_PROBE_SECONDS * 1e9))
                except Exception as error:
                    log.warning("no session with %s yet: %s", self.node_id, error)
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
        if session is None:
            return
        if left_ns <= 0:
            delivery.expire()
            return
        attachment = pack_envelope(delivery.token, self._identity.number, left_ns, delivery.header)
        parts = delivery.begin()
        if parts is None:
            return
        with self._wake:
            self._counts["sent"] += 1
            self._counts["bytes"] += delivery.payload_bytes + len(attachment)

        def reply_came(reply: zenoh.Reply) -> None:
            _take_reply(delivery, reply, self.node_id)

        session.get(
            GROUPS,
            Callback(reply_came, lambda: _take_end(delivery, self.node_id), indirect=False),
            payload=parts[0] if len(parts) == 1 else b"".join(parts),
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
        if not self._connect(delivery.deadline_ns):
            delivery.fail(self._failed[1], self._failed[2])
        return self._session

    def _connect(self, deadline_ns: int) -> bool:
        """Opens a session, unless that has just failed; the cause is then in ``_failed``."""
        if time.monotonic_ns() < self._failed[0]:
            return False
        reason, message = self._open(deadline_ns)
        if reason:
            self._failed = (time.monotonic_ns() + _RETRY_NS, reason, message)
        return not reason

    def _open(self, deadline_ns: int) -> tuple[Reason, str] | tuple[Literal[""], str]:
        left = (deadline_ns - time.monotonic_ns()) / 1e9
        patience = min(_PROBE_SECONDS, max(left, _SHORTEST_PROBE_SECONDS))
        cause = self._find_cause(patience, patient=False)
        if cause is not None:
            return cause
        try:
            session = zenoh_sessions.open_session(self._identity, *self.address, self._source)
        except EdgeError as error:
            return self._find_cause(_PROBE_SECONDS, patient=True) or ("unreachable", str(error))
        there = zenoh_sessions.peer_of(session)
        if there != self.node_id:
            zenoh_sessions.close(session)
            where = f"{self.address[0]}:{self.address[1]}"
            return "identity", f"{where} is {there!r} now, not {self.node_id!r}"
        with self._wake:
            self._counts["sessions"] += 1
        self._session = session
        return "", ""

    def _find_cause(self, timeout: float, *, patient: bool) -> Cause | None:
        return find_cause(
            self._identity,
            self.node_id,
            self.address,
            timeout,
            patient=patient,
            source=self._source,
        )

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
