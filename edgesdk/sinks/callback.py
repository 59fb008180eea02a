"""Records handed to a Python function, off the hot path."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import msgspec

from edgesdk.records import ResultRecord
from edgesdk.sinks.sink import Delivery, ReceiverAway, Sink
from edgesdk.store.outbox import Entry, Limits, MemoryOutbox

__all__ = ["CallbackSink"]

_ATTEMPTS = 3


class CallbackSink(Sink):
    """Calls *function* with each record, a dict as in the contract, in a thread of its own.

    A function that raises is called with the same record again, three times in all; then the
    record is discarded and counted. One that is slow holds up nothing: records wait, bounded by
    *limits*, and the oldest are discarded. Each call gets a dict of its own.
    """

    def __init__(
        self,
        function: Callable[[dict[str, Any]], object],
        *,
        name: str | None = None,
        limits: Limits | None = None,
    ) -> None:
        receiver = _Function(function)
        outbox = MemoryOutbox(limits or Limits(records=10_000))
        super().__init__(name or f"callback:{receiver.target}", receiver, outbox)


class _Function:
    kind = "callback"
    secrets: frozenset[str] = frozenset()
    batch_records = 1
    batch_bytes = 1 << 30
    longest_pause_s = 2.0

    def __init__(self, function: Callable[[dict[str, Any]], object]) -> None:
        self.target = getattr(function, "__qualname__", None) or type(function).__name__
        self._function = function
        self._attempts: tuple[int, int] = (0, 0)

    def open(self) -> None:
        pass

    def route(self, record: Mapping[str, Any] | ResultRecord) -> str:
        return ""

    def deliver(self, entries: Sequence[Entry]) -> Delivery:
        (entry,) = entries
        sequence, attempts = self._attempts
        attempts = attempts + 1 if sequence == entry.sequence else 1
        self._attempts = (entry.sequence, attempts)
        try:
            self._function(msgspec.json.decode(entry.payload))
        except Exception as error:
            text = f"{self.target} raised {type(error).__name__}: {error}"
            if attempts >= _ATTEMPTS:
                return Delivery(refused={entry.sequence: f"{text} (record {entry.id})"})
            raise ReceiverAway(text) from error
        return Delivery(done=[entry.sequence])

    def abort(self) -> None:
        pass

    def close(self) -> None:
        pass
