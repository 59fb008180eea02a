"""The executor's side of the data plane: groups come in, bounded, and each is answered once.

zenoh's own queue in front of a Python callback has no bound (132 MB in 4 s of flood), so the
callback runs on zenoh's thread, looks at the header only, and either puts the group into a queue of
bounded bytes or refuses it at once. Nothing here ever waits on that thread.
"""

from __future__ import annotations

import logging
import threading
import time
from collections import Counter, deque
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from edgesdk.cluster import zenoh_sessions
from edgesdk.cluster.alarms import Alarms
from edgesdk.cluster.groups import (
    MAX_HEADER_BYTES,
    MAX_REPLY_BYTES,
    TOKEN_BYTES,
    GroupHeader,
    pack_refusal,
    pack_reply,
    split,
    unpack_envelope,
)
from edgesdk.errors import WireError

if TYPE_CHECKING:
    import zenoh

    from edgesdk.cluster.groups import Envelope
    from edgesdk.cluster.identity import Identity

__all__ = ["Arrival", "Receiver"]

log = logging.getLogger(__name__)

GROUPS = f"{zenoh_sessions.KEYS}/groups"
CANCELS = f"{zenoh_sessions.KEYS}/cancels"

_MAX_HELD = 64
# With one more group on its way in, a flood stays under 20 MB.
_MAX_HELD_BYTES = 8 << 20
_LONGEST_NS = 60_000_000_000
# A cancel goes before the groups that wait to be sent, so it may be here before its own.
_REMEMBERED = 256
_SWEEP_NS = 20_000_000


class Arrival:
    """A frame group that a peer sent; it ends by :meth:`reply`, :meth:`fail`, or its deadline.

    *origin* is the sender's number as it claims: the token, which only an accepted offer gave it,
    proves it. *parts* are read-only views of the pictures' bytes, valid as long as they are held
    and let go of here at the end; *deadline_ns* is on this node's ``time.monotonic_ns()``.
    Thread-safe.
    """

    def __init__(
        self, receiver: Receiver, query: zenoh.Query, envelope: Envelope, payload_bytes: int
    ) -> None:
        self.token: bytes = envelope.token
        self.origin: int = envelope.origin
        self.header: GroupHeader = envelope.header
        self.payload_bytes = payload_bytes
        self.arrived_ns = time.monotonic_ns()
        self.deadline_ns = self.arrived_ns + min(envelope.time_left_us * 1000, _LONGEST_NS)
        self.parts: Sequence[memoryview] = ()
        self._receiver = receiver
        self._query: zenoh.Query | None = query
        self._lock = threading.Lock()
        self._cancelled = False
        self._when_cancelled: Callable[[], object] | None = None

    @property
    def time_left_ns(self) -> int:
        """Negative once the sender has given it up."""
        return self.deadline_ns - time.monotonic_ns()

    @property
    def cancelled(self) -> bool:
        """Whether nobody waits for an answer any more: cancelled by the sender, or too late."""
        return self._cancelled

    def when_cancelled(self, call: Callable[[], object]) -> None:
        """*call* is called once, from a thread of the data plane, if it is cancelled before its
        end; at once if it is already."""
        with self._lock:
            if not self._cancelled:
                self._when_cancelled = call
                return
        call()

    def reply(self, body: bytes, provenance: bytes = b"") -> bool:
        """Answers with packed values, at most 8 MiB of them; False if it had ended before.

        *provenance*: what produced them, at most 4 KiB, for the origin's own records.
        """
        if len(body) > MAX_REPLY_BYTES or len(provenance) > 4 << 10:
            return self.fail("failed", f"an answer of {len(body)} bytes is too large")
        query = self._end("answered")
        if query is None:
            return False
        attachment = pack_reply(time.monotonic_ns() - self.arrived_ns, provenance)
        self._send(lambda: query.reply(GROUPS, body, attachment=attachment), query)
        return True

    def fail(self, reason: str, message: str = "") -> bool:
        """Refuses: ``token`` unknown, ``busy``, ``failed``...; False if it had ended before."""
        return self._fail(reason, message, f"refused:{reason}")

    def _fail(self, reason: str, message: str, how: str) -> bool:
        query = self._end(how)
        if query is None:
            return False
        self._send(lambda: query.reply_err(pack_refusal(reason, message)), query)
        return True

    def cancel(self) -> None:
        """The sender does not wait any more."""
        self._give_up("cancelled")

    def expire(self) -> None:
        """Its time is up."""
        self._give_up("late")

    def load(self) -> bool:
        """Takes the pictures out of zenoh's buffers; False if it ended while it waited."""
        with self._lock:
            if self._query is None:
                return False
            payload = self._query.payload
            assert payload is not None
            self.parts = split(payload.to_bytes(), self.header.sizes)
            return True

    def _give_up(self, reason: str) -> None:
        with self._lock:
            if self._query is None:
                return
            self._cancelled = True
            call, self._when_cancelled = self._when_cancelled, None
        self._fail(reason, "", reason)
        if call is not None:
            call()

    def _end(self, how: str) -> zenoh.Query | None:
        with self._lock:
            query, self._query = self._query, None
            self.parts = ()
        if query is not None:
            self._receiver.ended(self, how)
        return query

    @staticmethod
    def _send(answer: Callable[[], object], query: zenoh.Query) -> None:
        try:
            answer()
            _finish(query)
        except Exception as error:  # the sender has gone, or the session is closed
            log.debug("an answer could not be sent: %s", error)


class Receiver:
    """Listens, and hands each group that comes to *arrived*, from its own thread(s).

    *known*, where given, is asked first, on zenoh's thread: whether that origin was given that
    token; it must be quick. *held_bytes* bounds what waits and what is being worked on.
    """

    def __init__(
        self,
        identity: Identity,
        listen: tuple[str, int],
        alarms: Alarms,
        *,
        arrived: Callable[[Arrival], None],
        known: Callable[[int, bytes], bool] | None = None,
        workers: int = 1,
        held_bytes: int = _MAX_HELD_BYTES,
    ) -> None:
        self._identity = identity
        self._listen = listen
        self._alarms = alarms
        self._arrived = arrived
        self._known = known
        self._held_limit = held_bytes
        self._wake = threading.Condition()
        self._waiting: deque[Arrival] = deque()
        self._held: dict[bytes, Arrival] = {}
        self._held_bytes = 0
        self._unwanted: deque[bytes] = deque(maxlen=_REMEMBERED)
        self._counts: Counter[str] = Counter()
        self._sweeping = False
        self._stopping = False
        self._session: zenoh.Session | None = None
        self._queryables: list[Any] = []
        self._threads = [
            threading.Thread(target=self._serve, name=f"groups-{i}", daemon=True)
            for i in range(workers)
        ]

    def start(self) -> zenoh.Session:
        """The session that listens, which stays this object's. :raises EdgeError: it cannot."""
        from zenoh.handlers import Callback

        for thread in self._threads:
            thread.start()
        session = self._session = zenoh_sessions.open_listener(self._identity, *self._listen)
        for key, take in ((GROUPS, self._take), (CANCELS, self._take_cancel)):
            handler = Callback(take, indirect=False)
            self._queryables.append(session.declare_queryable(key, handler))
        return session

    def close(self) -> None:
        """Stops listening; what was held ends as refused. Idempotent."""
        with self._wake:
            self._stopping = True
            held = list(self._held.values())
            self._wake.notify_all()
        for arrival in held:
            arrival.fail("closed")
        session, self._session = self._session, None
        if session is not None:
            zenoh_sessions.close(session)
        for thread in self._threads:
            if thread.is_alive() and thread is not threading.current_thread():
                thread.join(2.0)

    def counters(self) -> Mapping[str, int]:
        """How many groups ended how: ``answered``, ``refused:busy``, ``malformed``..."""
        with self._wake:
            return dict(self._counts)

    def held(self) -> tuple[int, int]:
        """Groups that have not ended, and their bytes."""
        with self._wake:
            return len(self._held), self._held_bytes

    def ended(self, arrival: Arrival, how: str) -> None:
        """Called by an arrival at its end."""
        with self._wake:
            self._counts[how] += 1
            if self._held.get(arrival.token) is arrival:
                del self._held[arrival.token]
                self._held_bytes -= arrival.payload_bytes
                with suppress(ValueError):
                    self._waiting.remove(arrival)

    def _take(self, query: zenoh.Query) -> None:
        """On zenoh's thread: into the queue, or refused, without waiting for anything."""
        try:
            attachment, payload = query.attachment, query.payload
            if attachment is None or payload is None or len(attachment) > MAX_HEADER_BYTES:
                raise WireError("a query that is no group")
            envelope = unpack_envelope(attachment.to_bytes(), len(payload))
        except WireError as error:
            self._refuse(query, "malformed", str(error))
            return
        if self._known is not None and not self._known(envelope.origin, envelope.token):
            self._refuse(query, "token", "")
            return
        arrival = Arrival(self, query, envelope, len(payload))
        reason = self._admit(arrival)
        if reason:
            self._refuse(query, reason, "")

    def _admit(self, arrival: Arrival) -> str:
        """Queues *arrival*; or the reason why not."""
        with self._wake:
            if self._stopping:
                return "closed"
            if arrival.token in self._held:
                return "token"
            if arrival.token in self._unwanted:
                return "cancelled"
            size = arrival.payload_bytes
            if len(self._held) >= _MAX_HELD or (
                self._held and self._held_bytes + size > self._held_limit
            ):
                return "busy"
            self._held[arrival.token] = arrival
            self._held_bytes += size
            self._waiting.append(arrival)
            self._wake.notify()
            if not self._sweeping:
                self._sweeping = True
                self._alarms.at(time.monotonic_ns() + _SWEEP_NS, self._sweep)
        return ""

    def _sweep(self) -> None:
        """Ends what is late; one alarm for all, since a peer could make any number of them."""
        now = time.monotonic_ns()
        with self._wake:
            late = [a for a in self._held.values() if a.deadline_ns <= now]
            self._sweeping = len(self._held) > len(late)
            if self._sweeping:
                self._alarms.at(now + _SWEEP_NS, self._sweep)
        for arrival in late:
            arrival.expire()

    def _refuse(self, query: zenoh.Query, reason: str, message: str) -> None:
        with self._wake:
            self._counts[reason if reason == "malformed" else f"refused:{reason}"] += 1
        try:
            query.reply_err(pack_refusal(reason, message))
            _finish(query)
        except Exception as error:
            log.debug("a refusal could not be sent: %s", error)

    def _take_cancel(self, query: zenoh.Query) -> None:
        attachment = query.attachment
        if attachment is not None and len(attachment) == TOKEN_BYTES:
            token = attachment.to_bytes()
            with self._wake:
                arrival = self._held.get(token)
                if arrival is None:
                    self._unwanted.append(token)
            if arrival is not None:
                self._alarms.at(0, arrival.cancel)
        _finish(query)

    def _serve(self) -> None:
        while (arrival := self._next()) is not None:
            if arrival.time_left_ns <= 0:
                arrival.expire()
                continue
            try:
                if arrival.load():
                    self._arrived(arrival)
            except Exception:
                log.exception("a group from node %d could not be taken", arrival.origin)
                arrival.fail("failed", "the peer could not take it")

    def _next(self) -> Arrival | None:
        with self._wake:
            while not self._waiting and not self._stopping:
                self._wake.wait()
            return None if self._stopping else self._waiting.popleft()


def _finish(query: Any) -> None:
    """No more answers to *query* come (its type does not tell what ``drop`` returns)."""
    query.drop()
