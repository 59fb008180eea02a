"""A group on its way to a peer: a call that ends exactly once."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal, Protocol

from edgesdk.cluster.alarms import Alarms
from edgesdk.cluster.groups import GroupHeader

__all__ = ["Delivery", "Failure", "Reason", "Reply"]

log = logging.getLogger(__name__)

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
    "unsendable",  # the peer ran it, and its values cannot travel
    "malformed",  # the peer could not read it, or its answer cannot be read
    "closed",  # this data plane, or the peer's, is closing
]


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


class Way(Protocol):
    """What a delivery tells of its end."""

    @property
    def node_id(self) -> str: ...
    @property
    def alarms(self) -> Alarms: ...
    def ended(self, delivery: Delivery, outcome: Reply | Failure) -> None: ...


class Delivery:
    """A call in flight; :meth:`cancel` ends it as ``cancelled`` and tells the peer."""

    def __init__(
        self,
        link: Way,
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
        """Ends it so, *later* from the data plane's own thread."""
        if later:
            self._link.alarms.at(0, lambda: self.fail(reason, message))
        else:
            self.end(Failure(reason, message, self.sent))

    def begin(self) -> Sequence[bytes] | None:
        """The parts, for they are being sent now; None if it has ended."""
        with self._lock:
            self.sent = self.sent or not self.over
            return None if self.over else self.parts

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
