"""One thread that calls what is due: deadlines of calls, without a thread for each."""

from __future__ import annotations

import heapq
import logging
import threading
import time
from collections.abc import Callable

__all__ = ["Alarms"]

log = logging.getLogger(__name__)


class Alarms:
    """Calls functions at instants of ``time.monotonic_ns()``, late by a scheduler's whim only.

    Thread-safe. An alarm cannot be taken back: what it calls looks whether it still matters. The
    functions must be quick.
    """

    def __init__(self, name: str) -> None:
        self._heap: list[tuple[int, int, Callable[[], object]]] = []
        self._wake = threading.Condition()
        self._count = 0
        self._stopping = False
        self._ended = False
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)

    def start(self) -> None:
        self._thread.start()

    def at(self, when_ns: int, call: Callable[[], object]) -> None:
        """Calls *call* once it is *when_ns*; at once where that is past. Any thread.

        After :meth:`close` only what is due at once is called.
        """
        with self._wake:
            if self._ended:
                if when_ns <= time.monotonic_ns():
                    threading.Thread(target=_called, args=(call,), daemon=True).start()
                return
            self._count += 1
            heapq.heappush(self._heap, (when_ns, self._count, call))
            if self._heap[0][2] is call:
                self._wake.notify()

    def close(self) -> None:
        """Ends the thread after what is due; what is not due yet is not called."""
        with self._wake:
            self._stopping = True
            self._wake.notify()
        if self._thread.is_alive() and self._thread is not threading.current_thread():
            self._thread.join(2.0)

    def _run(self) -> None:
        while (call := self._next()) is not None:
            _called(call)

    def _next(self) -> Callable[[], object] | None:
        with self._wake:
            while True:
                wait = (self._heap[0][0] - time.monotonic_ns()) / 1e9 if self._heap else None
                if wait is not None and wait <= 0:
                    return heapq.heappop(self._heap)[2]
                if self._stopping:
                    self._ended = True
                    self._heap.clear()
                    return None
                self._wake.wait(wait)


def _called(call: Callable[[], object]) -> None:
    try:
        call()
    except Exception:
        log.exception("what was due failed")
