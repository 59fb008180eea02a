"""The thread that makes pictures small and codes them: what is wanted at once goes first."""

from __future__ import annotations

import heapq
import logging
import threading
from collections.abc import Callable
from enum import IntEnum
from itertools import count

__all__ = ["Haste", "Workbench"]

log = logging.getLogger(__name__)


class Haste(IntEnum):
    """In which order work is taken; of equals, the older first."""

    SEND = 0  # a peer has reserved time for it
    SHRINK = 1  # a slot of the ring is held until then
    AHEAD = 2  # nobody waits for it yet


class Workbench:
    """One thread, which starts with the first work. Thread-safe."""

    def __init__(self, name: str) -> None:
        self._name = name
        self._wake = threading.Condition()
        self._work: list[tuple[Haste, int, Callable[[], object]]] = []
        self._numbers = count()
        self._started = False
        self._closed = False

    def do(self, haste: Haste, work: Callable[[], object]) -> None:
        """Has *work* called soon, on the thread; not at all once this is closed."""
        with self._wake:
            if self._closed:
                return
            heapq.heappush(self._work, (haste, next(self._numbers), work))
            if not self._started:
                self._started = True
                threading.Thread(target=self._run, name=self._name, daemon=True).start()
            self._wake.notify()

    def close(self) -> None:
        """Nothing that has not begun is done any more. Does not wait. Idempotent."""
        with self._wake:
            self._closed = True
            self._work.clear()
            self._wake.notify()

    def _run(self) -> None:
        while True:
            with self._wake:
                while not (self._work or self._closed):
                    self._wake.wait()
                if self._closed:
                    return
                *_, work = heapq.heappop(self._work)
            try:
                work()
            except Exception:
                log.exception("pictures could not be made ready")
            del work  # what it refers to must not be kept while this waits
