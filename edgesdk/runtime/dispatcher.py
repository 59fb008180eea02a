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

from edgesdk.core.ring import Bell

__all__ = ["Dispatcher", "Feed"]

log = logging.getLogger(__name__)

# How long nothing may happen before cameras are looked at all the same: rings that came or moved.
_IDLE_S = 0.1


class Feed(Protocol):
    """A camera as the dispatcher sees it."""

    name: str

    def poll(self, now_ns: int) -> bool:
        """Takes what its ring has; True if there may be more at once."""
        ...

    def wake_ns(self) -> int | None: ...

    def broken(self, error: Exception) -> None:
        """Something of this camera's raised; it must not happen again at once."""
        ...


class Dispatcher:
    """Runs feeds until :meth:`stop`; *bell*, from here its own, rings when there is work."""

    def __init__(self, bell: Bell, feeds: Sequence[Feed]) -> None:
        self._bell = bell
        self._feeds = feeds
        self._inbox: deque[Callable[[], None]] = deque()
        self._stopping = False
        # The bell is memory that other threads ring: it goes when none of them is in it.
        self._lock = threading.Lock()
        self._closed = False
        self._thread = threading.Thread(target=self._run, name="dispatcher", daemon=True)
        self.failure: BaseException | None = None

    def start(self) -> None:
        self._thread.start()

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
            while not self._stopping:
                more = self._turn()
                if not more and not self._inbox and not self._stopping:
                    self._bell.wait(self._patience())
            self._drain()
        except BaseException as error:
            self.failure = error
            log.critical("the dispatcher died", exc_info=True)

    def _turn(self) -> bool:
        more = False
        self._drain()
        now = time.monotonic_ns()
        for feed in self._feeds:
            more = self._poll(feed, now) or more
        return more

    @staticmethod
    def _poll(feed: Feed, now_ns: int) -> bool:
        try:
            return feed.poll(now_ns)
        except Exception as error:
            feed.broken(error)
            return False

    def _drain(self) -> None:
        while self._inbox:
            call = self._inbox.popleft()
            try:
                call()
            except Exception:
                log.exception("a result could not be handled")

    def _patience(self) -> float:
        wakes = [wake for feed in self._feeds if (wake := feed.wake_ns()) is not None]
        if not wakes:
            return _IDLE_S
        return min(_IDLE_S, max(0.0, (min(wakes) - time.monotonic_ns()) / 1e9))
