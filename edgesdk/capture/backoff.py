"""How long to wait before the next try. Pure: randomness is passed in."""

from __future__ import annotations

from collections.abc import Callable

__all__ = ["Backoff"]


class Backoff:
    """Doubles from *first* to *cap* seconds, each time shortened at random by up to *jitter*.

    The jitter keeps fifty cameras behind one switch from coming back in the same instant.
    """

    def __init__(
        self,
        random: Callable[[], float],
        *,
        first: float = 0.25,
        cap: float = 15.0,
        jitter: float = 0.3,
    ) -> None:
        self._random = random
        self._first = first
        self._cap = cap
        self._jitter = jitter
        self.failures = 0

    def next(self) -> float:
        """Seconds to wait after one more failure."""
        wait = min(self._cap, self._first * 2.0 ** min(self.failures, 30))
        self.failures += 1
        return wait * (1.0 - self._jitter * self._random())

    def reset(self) -> None:
        """The source works again."""
        self.failures = 0
