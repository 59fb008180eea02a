"""The part that all sinks share: take, keep, deliver, try again, account.

A :class:`Sink` has an outbox and a thread that hands what waits there to its :class:`Receiver`,
oldest first. Delivery is at least once: a record leaves the outbox when the receiver has
acknowledged it, so a crash between the two delivers it again, under the same id.
"""

from __future__ import annotations

import logging
import random
import threading
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

from edgesdk.records import ResultRecord, SinkState, SinkStats, encode, record_id
from edgesdk.redaction import redact
from edgesdk.store.outbox import Entry, Outbox

__all__ = ["Delivery", "Receiver", "ReceiverAway", "Record", "Sink", "close_all"]

Record = ResultRecord | Mapping[str, Any]

_log = logging.getLogger("edgesdk.sinks")

THREAD_NAME = "sink "  # followed by the sink's own
_BACKOFF_FIRST_S = 0.25
_IDLE_S = 60.0
_QUIET_S = 10.0


class ReceiverAway(Exception):
    """Nothing more can be delivered for now; *retry_after* seconds is what the receiver asked."""

    def __init__(self, message: str, retry_after: float = 0.0) -> None:
        super().__init__(message)
        self.retry_after = retry_after


@dataclass
class Delivery:
    """What became of a batch: sequences done with, and those refused for good, with the reason.

    What is in neither is tried again, after a pause that *away* explains.
    """

    done: list[int] = field(default_factory=list)
    refused: dict[int, str] = field(default_factory=dict)
    away: ReceiverAway | None = None


class Receiver(Protocol):
    """Where records go. One thread calls it, except for :meth:`abort`."""

    kind: str
    target: str  # without credentials
    secrets: frozenset[str]  # to be hidden in messages of libraries
    batch_records: int
    batch_bytes: int
    longest_pause_s: float  # between two tries

    def open(self) -> None:
        """Look at once whether this can ever work; raises SinkError or UsageError if not."""

    def route(self, record: Mapping[str, Any] | ResultRecord) -> str:
        """What the receiver needs to know of a record beside its bytes, such as a topic."""

    def deliver(self, entries: Sequence[Entry]) -> Delivery:
        """Deliver what it can, bounded in time; any exception means: none, try again."""

    def abort(self) -> None:
        """Make a :meth:`deliver` in progress end soon; called from another thread."""

    def close(self) -> None:
        """Release what it holds; idempotent."""


class Sink:
    """Where an application's records go; safe to use from several threads.

    ``start`` raises :class:`~edgesdk.errors.SinkError` where it can never work. ``put`` never
    blocks and never raises. What was not delivered when it closes stays in the outbox, if that is
    on disk.
    """

    def __init__(self, name: str, receiver: Receiver, outbox: Outbox) -> None:
        self.name = name
        self.kind = receiver.kind
        self.target = receiver.target
        self._receiver = receiver
        self._outbox = outbox
        self._state: SinkState = "starting"
        self._lock = threading.Lock()
        self._delivered = 0
        self._refused = 0
        self._unwritable = 0
        self._retries = 0
        self._last_error: str | None = None
        self._quiet_until = 0.0
        self._discards_told = 0
        self._closing = threading.Event()
        self._try_now = threading.Event()
        self._empty = threading.Condition(self._lock)
        self._thread = threading.Thread(target=self._run, name=f"{THREAD_NAME}{name}", daemon=True)

    def start(self) -> None:
        """Begins to deliver, on a thread of its own. Raises SinkError or UsageError where it
        never can.
        """
        self._receiver.open()
        self._thread.start()

    def put(self, record: Record) -> None:
        """Takes a record on its way; never blocks, never raises. Any thread."""
        try:
            self._outbox.put(record_id(record), self._receiver.route(record), encode(record))
        except Exception as error:
            with self._lock:
                self._unwritable += 1
            self._tell(f"a record that cannot be written is discarded: {error}")

    def flush(self, timeout: float) -> bool:
        """Wait until all put so far was delivered or discarded; False if time ran out first."""
        deadline = time.monotonic() + timeout
        self._try_now.set()
        with self._empty:
            while self._outbox.counts().pending:
                left = deadline - time.monotonic()
                if left <= 0 or not self._thread.is_alive():
                    return False
                self._empty.wait(min(left, 0.05))
        return True

    def close(self, timeout: float = 1.0) -> None:
        """Stop within about *timeout* seconds, half of which a receiver that answers may use.

        Idempotent.
        """
        deadline = time.monotonic() + timeout
        if self._state == "delivering" or not self._retries:
            self.flush(timeout / 2)
        self._closing.set()
        self._try_now.set()
        self._outbox.wake()
        if self._thread.is_alive():
            self._receiver.abort()
            self._thread.join(max(0.0, deadline - time.monotonic()))
        self._outbox.close(max(0.1, deadline - time.monotonic()))
        with self._lock:
            self._state = "closed"

    def stats(self) -> SinkStats:
        """Where it stands now. Any thread."""
        counts = self._outbox.counts()
        with self._lock:
            return SinkStats(
                name=self.name,
                kind=self.kind,
                target=self.target,
                state=self._state,
                delivered=self._delivered,
                pending=counts.pending,
                discarded=counts.discarded + self._refused + self._unwritable,
                retries=self._retries,
                undurable=counts.undurable,
                last_error=counts.error or self._last_error,
            )

    def _run(self) -> None:
        failures = 0
        while not self._closing.is_set():
            if self._outbox.wait(_IDLE_S):
                self._tell_discards()
                away, moved = self._deliver_some()
                failures = 0 if away is None else 1 if moved else failures + 1
                if away is not None:
                    self._pause(failures, away)
        self._receiver.close()

    def _deliver_some(self) -> tuple[ReceiverAway | None, bool]:
        """Deliver the oldest; returns why a pause is due, and whether anything went."""
        entries = self._outbox.peek(self._receiver.batch_records, self._receiver.batch_bytes)
        if not entries:
            # It said that something waits: the disk will not show it, and must not be asked in a
            # tight loop.
            error = self._outbox.counts().error
            return (None if error is None else ReceiverAway(error)), False
        delivery = self._deliver(entries)
        self._account(delivery)
        return delivery.away, bool(delivery.done or delivery.refused)

    def _deliver(self, entries: list[Entry]) -> Delivery:
        try:
            delivery = self._receiver.deliver(entries)
        except ReceiverAway as away:
            return Delivery(away=away)
        except Exception as error:
            return Delivery(away=ReceiverAway(f"{type(error).__name__}: {error}"))
        if len(delivery.done) + len(delivery.refused) < len(entries) and delivery.away is None:
            delivery.away = ReceiverAway("the receiver did not acknowledge every record")
        return delivery

    def _account(self, delivery: Delivery) -> None:
        delivered = self._outbox.remove(delivery.done)
        refused = self._outbox.remove(delivery.refused) if delivery.refused else 0
        with self._empty:
            self._delivered += delivered
            self._refused += refused
            if delivery.away is None:
                self._state = "delivering"
            elif not self._closing.is_set():
                self._state = "retrying"
                self._retries += 1
            if delivered and delivery.away is None and not delivery.refused:
                self._last_error = None
            self._empty.notify_all()
        for reason in set(delivery.refused.values()):
            self._tell(f"refused for good, and discarded: {reason}")

    def _pause(self, failures: int, away: ReceiverAway) -> None:
        if self._closing.is_set():
            return
        if failures == 1:
            self._tell(str(away))
        else:
            self._remember(str(away))
        pause = min(self._receiver.longest_pause_s, _BACKOFF_FIRST_S * 2.0 ** min(failures - 1, 20))
        pause *= random.uniform(0.8, 1.2)  # noqa: S311  # spreads the nodes, hides nothing
        self._try_now.wait(max(pause, away.retry_after))
        self._try_now.clear()

    def _tell_discards(self) -> None:
        discarded = self._outbox.counts().discarded
        if discarded > self._discards_told:
            more = discarded - self._discards_told
            if self._say(f"the outbox is full: {more} of the oldest records were discarded"):
                self._discards_told = discarded

    def _remember(self, text: str) -> str:
        text = redact(text, self._receiver.secrets)
        with self._lock:
            self._last_error = text
        return text

    def _tell(self, text: str) -> None:
        self._say(self._remember(text))

    def _say(self, text: str) -> bool:
        """Log *text*, unless something was logged a moment ago: one line, not one a record."""
        now = time.monotonic()
        with self._lock:
            if now < self._quiet_until:
                return False
            self._quiet_until = now + _QUIET_S
        _log.warning("sink %s: %s", self.name, text)
        return True


def close_all(sinks: Iterable[Sink], timeout: float) -> None:
    """Flush and close *sinks*, all at once, within about *timeout* seconds."""
    closers = [
        threading.Thread(target=sink.close, args=(timeout,), name="sink close", daemon=True)
        for sink in sinks
    ]
    deadline = time.monotonic() + timeout
    for thread in closers:
        thread.start()
    for thread in closers:
        thread.join(max(0.0, deadline - time.monotonic()))
