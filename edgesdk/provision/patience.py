"""How long to wait where machines of a type cannot be had, before one is asked for again."""

from __future__ import annotations

import time
from collections.abc import Callable

__all__ = ["Patience"]

_MOST_S = 60.0


class Patience:
    """After a failure 1 s, after each that follows twice as long, 60 s at most; by type.

    *clock* gives seconds. Not thread-safe.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._failures: dict[str, int] = {}
        self._until: dict[str, float] = {}

    def waits(self, kind: str) -> bool:
        """Whether it is too early to ask for another of *kind*."""
        return self._clock() < self._until.get(kind, float("-inf"))

    def failed(self, kind: str) -> None:
        times = self._failures[kind] = self._failures.get(kind, 0) + 1
        self._until[kind] = self._clock() + min(_MOST_S, 2.0 ** min(times - 1, 10))

    def succeeded(self, kind: str) -> None:
        self._failures.pop(kind, None)
        self._until.pop(kind, None)
