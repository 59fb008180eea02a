"""Places the media time of a file on the clock. Pure: the clock is passed in."""

from __future__ import annotations

__all__ = ["Pace"]

SECOND = 1_000_000_000


class Pace:
    """When each frame of a file was "captured", and how long to wait until then.

    The first frame is captured now and each later one by the difference of media times after it,
    so that equal sampling rates pick equal frames however busy the machine is.

    *real*: a frame that is more than *max_lag_ns* overdue (the decoder is too slow, or the
    process was stopped) moves all that follow, since a camera does not deliver the past.
    Otherwise (``pace=fast``) nothing waits and capture times run ahead of the clock.
    """

    def __init__(self, *, real: bool, max_lag_ns: int = SECOND // 2) -> None:
        self._real = real
        self._max_lag_ns = max_lag_ns
        self._offset: int | None = None
        self._first = 0
        self.slips = 0

    @property
    def origin_ns(self) -> int:
        """Where the first frame lies on the clock, seen from those that follow; 0 before it."""
        return 0 if self._offset is None else self._first + self._offset

    def shift(self, waited_ns: int) -> None:
        """All that follows comes so much later."""
        if self._offset is not None:
            self._offset += waited_ns

    def place(self, media_ns: int, now_ns: int) -> tuple[int, int]:
        """(capture time on the clock of *now_ns*, nanoseconds to wait from now, >= 0)."""
        if self._offset is None:
            self._offset = now_ns - media_ns
            self._first = media_ns
        lag = now_ns - (media_ns + self._offset)
        if self._real and lag > self._max_lag_ns:
            self._offset += lag
            self.slips += 1
        capture_ns = media_ns + self._offset
        return capture_ns, max(0, capture_ns - now_ns) if self._real else 0
