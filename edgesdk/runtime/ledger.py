"""Every frame ends exactly once, and the counters add up at every moment.

The unit is (application, camera, incarnation, sequence). A :class:`Channel` keeps the books of one
application on one camera; :class:`Ledger` holds all of a node's channels. Pure: no clock, no
thread, no file. The owner of the ledger is one thread; counters may be read from others (each
read is of one integer).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, fields
from enum import Enum
from typing import Protocol

__all__ = ["Channel", "Counts", "End", "Entry", "Journal", "Ledger", "State"]


class State(str, Enum):
    """How an opened frame ends."""

    OK = "ok"
    LATE = "late"
    DROPPED = "dropped"
    FAILED = "failed"


@dataclass(frozen=True, slots=True)
class End:
    """The end of one entry; *reason* is given for ``dropped`` and ``failed``, and only for them."""

    state: State
    reason: str | None = None

    def __post_init__(self) -> None:
        needs_reason = self.state in (State.DROPPED, State.FAILED)
        if needs_reason != (self.reason is not None):
            raise ValueError(f"{self.state.value} with reason {self.reason!r}")


@dataclass(frozen=True, slots=True)
class Entry:
    """One opened frame, with what is needed to report its end after a crash."""

    incarnation: int
    sequence: int
    capture_utc_ns: int = 0
    capture_mono_ns: int = 0
    width: int = 0
    height: int = 0


@dataclass(slots=True)
class Counts:
    """Frames of one application on one camera.

    At every moment ``captured = skipped_sample + held + passed`` and
    ``passed = ok + late + dropped + failed + open``. ``duplicate`` counts results that came after
    another one of the same work, and is part of no sum.
    """

    captured: int = 0
    skipped_sample: int = 0
    held: int = 0
    passed: int = 0
    ok: int = 0
    late: int = 0
    dropped: int = 0
    failed: int = 0
    open: int = 0
    duplicate: int = 0

    def add(self, other: Counts) -> None:
        for field in fields(self):
            setattr(self, field.name, getattr(self, field.name) + getattr(other, field.name))

    def balanced(self) -> bool:
        """Whether the two sums hold. They always do; tests and ``/health`` look."""
        return (
            self.captured == self.skipped_sample + self.held + self.passed
            and self.passed == self.ok + self.late + self.dropped + self.failed + self.open
        )


class Journal(Protocol):
    """Where open entries are written down, so that a later process finds them after a crash."""

    def opened(self, channel: int, entry: Entry) -> int:
        """Returns a token for :meth:`closed`, or -1 when there is no room to write it down."""
        ...

    def closed(self, token: int) -> None: ...


class Channel:
    """The books of one application on one camera."""

    def __init__(self, app: str, camera: str, index: int = 0, journal: Journal | None = None):
        self.app = app
        self.camera = camera
        self.counts = Counts()
        self.dropped_by_reason: Counter[str] = Counter()
        self.failed_by_reason: Counter[str] = Counter()
        self._index = index
        self._journal = journal
        self._open: dict[tuple[int, int], tuple[Entry, int]] = {}
        self._seen = (0, -1)

    def skip(self, incarnation: int, sequence: int) -> None:
        """The sampler did not choose this frame."""
        self._advance(incarnation, sequence)
        self.counts.captured += 1
        self.counts.skipped_sample += 1

    def hold(self, incarnation: int, sequence: int) -> None:
        """The gate held this frame."""
        self._advance(incarnation, sequence)
        self.counts.captured += 1
        self.counts.held += 1

    def open(self, entry: Entry) -> None:
        """This frame passed the selectors; it must be closed once."""
        self._advance(entry.incarnation, entry.sequence)
        token = -1 if self._journal is None else self._journal.opened(self._index, entry)
        self._open[entry.incarnation, entry.sequence] = (entry, token)
        self.counts.captured += 1
        self.counts.passed += 1
        self.counts.open += 1

    def lose(self, frames: int, reason: str) -> None:
        """*frames* were captured and gone before any selector saw them."""
        self.counts.captured += frames
        self.counts.passed += frames
        self.counts.dropped += frames
        self.dropped_by_reason[reason] += frames

    def close(self, incarnation: int, sequence: int, end: End) -> bool:
        """Compare-and-set from open to *end*; False, and a ``duplicate``, if it is not open.

        The journal keeps the entry until :meth:`delivered`, so that a crash between the end and
        its record shows as a failure and not as silence.
        """
        found = self._open.get((incarnation, sequence))
        if found is None or found[0] is _CLOSED:
            self.counts.duplicate += 1
            return False
        self._open[incarnation, sequence] = (_CLOSED, found[1])
        self.counts.open -= 1
        self._count(end)
        return True

    def repeat(self) -> None:
        """A result came for a frame that had it already; it went nowhere."""
        self.counts.duplicate += 1

    def delivered(self, incarnation: int, sequence: int) -> None:
        """The record of a closed entry has reached its sinks: nothing is left to remember."""
        entry, token = self._open.pop((incarnation, sequence))
        assert entry is _CLOSED, "delivered before its end"
        if token >= 0 and self._journal is not None:
            self._journal.closed(token)

    def _advance(self, incarnation: int, sequence: int) -> None:
        if (incarnation, sequence) <= self._seen:
            raise ValueError(
                f"{self.app}/{self.camera}: frame {incarnation}:{sequence} after "
                f"{self._seen[0]}:{self._seen[1]}"
            )
        self._seen = (incarnation, sequence)

    def _count(self, end: End) -> None:
        counts = self.counts
        if end.state is State.OK:
            counts.ok += 1
        elif end.state is State.LATE:
            counts.late += 1
        elif end.state is State.DROPPED:
            counts.dropped += 1
            self.dropped_by_reason[end.reason or ""] += 1
        else:
            counts.failed += 1
            self._count_failure(end.reason or "")

    def _count_failure(self, reason: str) -> None:
        # Reasons hold a runtime's own words, so their number is bounded here.
        known = reason in self.failed_by_reason or len(self.failed_by_reason) < _MAX_REASONS
        self.failed_by_reason[reason if known else "other"] += 1


_CLOSED = Entry(-1, -1)
_MAX_REASONS = 32


class Ledger:
    """All channels of a node."""

    def __init__(self, journal: Journal | None = None) -> None:
        self._journal = journal
        self._channels: dict[tuple[str, str], Channel] = {}

    def channel(self, app: str, camera: str) -> Channel:
        """The channel of *app* on *camera*, made at the first call."""
        key = (app, camera)
        if key not in self._channels:
            self._channels[key] = Channel(app, camera, len(self._channels), self._journal)
        return self._channels[key]

    def repeated(self, apps: Iterable[str], camera: str) -> None:
        """A second result came of work for *apps* on *camera*."""
        for app in apps:
            found = self._channels.get((app, camera))
            if found is not None:
                found.repeat()

    def channels(self) -> list[Channel]:
        return list(self._channels.values())

    def total(self) -> Counts:
        total = Counts()
        for channel in self.channels():
            total.add(channel.counts)
        return total
