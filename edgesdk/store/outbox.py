"""What waits to be delivered: bounded, the oldest given up first.

:class:`MemoryOutbox` is for receivers on this machine and ends with the process;
:class:`edgesdk.store.disk_outbox.DiskOutbox` survives it.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Collection
from dataclasses import dataclass
from typing import Protocol

__all__ = ["Entry", "EntryQueue", "Limits", "MemoryOutbox", "Outbox", "OutboxCounts"]


@dataclass(frozen=True)
class Entry:
    """One record on its way: *sequence* orders the outbox, *route* is for its receiver to use."""

    sequence: int
    id: str
    route: str
    payload: bytes


@dataclass(frozen=True)
class Limits:
    """How much an outbox keeps: records, and bytes of their payloads."""

    records: int = 100_000
    bytes: int = 64 << 20


@dataclass(frozen=True)
class OutboxCounts:
    """*pending* includes *undurable*: those that are in memory only, though a disk is wanted."""

    pending: int
    undurable: int
    discarded: int
    error: str | None


class Outbox(Protocol):
    """All methods are thread-safe; one thread takes, any may put."""

    def put(self, id: str, route: str, payload: bytes) -> None:
        """Keep a record, without waiting for a disk; what no longer fits is discarded, counted."""

    def peek(self, records: int, size: int) -> list[Entry]:
        """The oldest, at most *records* and *size* bytes of payload, at least one if any waits."""

    def remove(self, sequences: Collection[int]) -> int:
        """Forget these; returns how many were still there."""

    def wait(self, timeout: float) -> bool:
        """Wait until :meth:`peek` may have something, or :meth:`wake` is called."""

    def wake(self) -> None:
        """End a :meth:`wait`."""

    def counts(self) -> OutboxCounts:
        """What it holds and has discarded, now."""
        ...

    def close(self, timeout: float) -> None:
        """Write what is in memory to the disk, if there is one. Puts are discarded from now on."""


class EntryQueue:
    """Entries in memory within limits. Not thread-safe."""

    def __init__(self, limits: Limits) -> None:
        self._limits = limits
        self._entries: deque[Entry] = deque()
        self._bytes = 0

    def __len__(self) -> int:
        return len(self._entries)

    def append(self, entry: Entry) -> int:
        """Returns how many were given up: the oldest, to make room; or this one, if too large."""
        if len(entry.payload) > self._limits.bytes:
            return 1
        self._entries.append(entry)
        self._bytes += len(entry.payload)
        given_up = 0
        while len(self._entries) > self._limits.records or self._bytes > self._limits.bytes:
            self._bytes -= len(self._entries.popleft().payload)
            given_up += 1
        return given_up

    def head(self, records: int, size: int) -> list[Entry]:
        found: list[Entry] = []
        for entry in self._entries:
            size -= len(entry.payload)
            if len(found) == records or (found and size < 0):
                break
            found.append(entry)
        return found

    def clear(self) -> int:
        """Give up everything; returns how many."""
        given_up = len(self._entries)
        self._entries.clear()
        self._bytes = 0
        return given_up

    def remove(self, sequences: Collection[int]) -> int:
        before = len(self._entries)
        gone = set(sequences)
        while self._entries and self._entries[0].sequence in gone:
            self._bytes -= len(self._entries.popleft().payload)
        if any(entry.sequence in gone for entry in self._entries):
            self._entries = deque(e for e in self._entries if e.sequence not in gone)
            self._bytes = sum(len(e.payload) for e in self._entries)
        return before - len(self._entries)


class MemoryOutbox:
    """An :class:`Outbox` that ends with the process."""

    def __init__(self, limits: Limits) -> None:
        self._queue = EntryQueue(limits)
        self._condition = threading.Condition()
        self._sequence = 0
        self._discarded = 0
        self._woken = False
        self._closed = False

    def put(self, id: str, route: str, payload: bytes) -> None:
        with self._condition:
            if self._closed:
                self._discarded += 1
                return
            self._sequence += 1
            self._discarded += self._queue.append(Entry(self._sequence, id, route, payload))
            self._condition.notify()

    def peek(self, records: int, size: int) -> list[Entry]:
        with self._condition:
            return self._queue.head(records, size)

    def remove(self, sequences: Collection[int]) -> int:
        with self._condition:
            return self._queue.remove(sequences)

    def wait(self, timeout: float) -> bool:
        with self._condition:
            found = self._condition.wait_for(lambda: self._woken or len(self._queue) > 0, timeout)
            self._woken = False
            return found

    def wake(self) -> None:
        with self._condition:
            self._woken = True
            self._condition.notify()

    def counts(self) -> OutboxCounts:
        with self._condition:
            return OutboxCounts(len(self._queue), 0, self._discarded, None)

    def close(self, timeout: float) -> None:
        with self._condition:
            self._closed = True
