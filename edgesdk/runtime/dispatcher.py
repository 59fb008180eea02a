"""The one thread that owns every frame's fate: it waits on one bell for all rings.

Frames of all cameras come in, outcomes of executors come back, and everything in between
(selectors, ledger, sequence order, stateful operators) happens here, without locks. A camera that
misbehaves costs its own flow an exception and no other camera anything.
"""

from __future__ import annotations

import logging
import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from typing import Protocol

from edgesdk.core.ring import Bell, RingReader

__all__ = ["Dispatcher", "Feed"]

log = logging.getLogger(__name__)

# Feeds whose ring rang, or whose frames moved on, are polled at once; all of them so often, for
# what has no bell: deadlines, ends, rings that are not there yet.
_SWEEP_NS = 20_000_000
_HURRIED_SWEEP_NS = 4_000_000


class Feed(Protocol):
    """A camera as the dispatcher sees it."""

    name: str

    @property
    def reader(self) -> RingReader | None: ...

    @property
    def touched(self) -> bool:
        """Whether something happened since the last poll that may make room for frames."""
        ...

    @property
    def hurried(self) -> bool:
        """Whether it waits for something that no bell tells of."""
        ...

    def poll(self, now_ns: int) -> None:
        """Takes what its ring has, and does what is due."""
        ...

    def broken(self, error: Exception) -> None:
        """Something of this camera's raised; it must not happen again at once."""
        ...


class Dispatcher:
    """Runs feeds until :meth:`stop`; *bell*, from here its own, rings when there is work."""

    def __init__(self, bell: Bell, feeds: Sequence[Feed]) -> None:
        self._bell = bell
        self._feeds = feeds
        self._inbox: deque[Callable[[], None]] = deque()
        self._sweep_at_ns = 0
        self._stopping = False
        # The bell is memory that other threads ring: it goes when none of them is in it.
        self._lock = threading.Lock()
        self._closed = False
        self._thread = threading.Thread(target=self._run, name="dispatcher", daemon=True)
        self.failure: BaseException | None = None

    def start(self) -> None:
        self._thread.start()

    def follow(self, feeds: Sequence[Feed]) -> None:
        """Runs *feeds* instead of those before. On the dispatcher."""
        self._feeds = feeds
        self._sweep_at_ns = 0

    @property
    def running(self) -> bool:
        return self._thread.is_alive()

    def post(self, calls: Sequence[Callable[[], None]]) -> None:
        """Runs *calls* on the dispatcher, in order; not at all once it is closed. Any thread."""
        with self._lock:
            if not self._closed:
                self._inbox.extend(calls)
                self._bell.ring()

    def stop(self, timeout: float) -> bool:
        """Ends the thread after what is in its inbox; False if it did not in *timeout* seconds."""
        self._stopping = True
        self.post(())
        if self._thread.is_alive():
            self._thread.join(timeout)
        return not self._thread.is_alive()

    def close(self) -> None:
        """Closes the bell; who is late with a result posts it in vain. Idempotent."""
        with self._lock:
            self._closed = True
            self._bell.close()

    def _run(self) -> None:
        try:
            rung: set[int] = set()
            while not self._stopping:
                self._drain()
                self._poll_due(rung)
                rung = set()
                if not self._inbox and not any(feed.touched for feed in self._feeds):
                    left = self._sweep_at_ns - time.monotonic_ns()
                    if self._bell.wait(max(0.0, left / 1e9)):
                        rung = {id(reader) for reader in self._bell.rung()}
            self._drain()
        except BaseException as error:
            self.failure = error
            log.critical("the dispatcher died", exc_info=True)

    def _poll_due(self, rung: set[int]) -> None:
        now = time.monotonic_ns()
        if now < self._sweep_at_ns:
            for feed in self._feeds:
                if feed.touched or id(feed.reader) in rung:
                    self._poll(feed, now)
            return
        for feed in self._feeds:
            self._poll(feed, now)
        hurried = any(feed.hurried for feed in self._feeds)
        self._sweep_at_ns = now + (_HURRIED_SWEEP_NS if hurried else _SWEEP_NS)

    @staticmethod
    def _poll(feed: Feed, now_ns: int) -> None:
        try:
            feed.poll(now_ns)
        except Exception as error:
            feed.broken(error)

    def _drain(self) -> None:
        while self._inbox:
            call = self._inbox.popleft()
            try:
                call()
            except Exception:
                log.exception("a result could not be handled")
