"""When a live picture was taken, from when its packet arrived. Pure."""

from __future__ import annotations

__all__ = ["ArrivalClock"]

SECOND = 1_000_000_000
# No crystal is worse; a camera's clock that runs slower than ours is followed at this rate.
DRIFT = 0.001
# A step of the presentation times (the camera set its clock, or began anew).
STEP_NS = 2 * SECOND


class ArrivalClock:
    """Maps presentation times of one connection to the clock of arrivals.

    A picture cannot arrive before it was taken, so the packet that came with the least delay tells
    best how far the two clocks are apart. With that, network jitter and the burst at the start
    leave no mark on the capture times, nor does it matter that B-pictures arrive out of order.
    """

    def __init__(self) -> None:
        self._offset: int | None = None
        self._arrival = 0
        self._last = 0

    def arrived(self, presentation_ns: int, arrival_ns: int) -> None:
        """A packet came. Packets are told in the order of their arrival."""
        offset = arrival_ns - presentation_ns
        if self._offset is None or abs(offset - self._offset) > STEP_NS:
            self._offset = offset
        else:
            drift = round((arrival_ns - self._arrival) * DRIFT)
            self._offset = min(offset, self._offset + drift)
        self._arrival = arrival_ns

    def taken(self, presentation_ns: int | None, now_ns: int) -> int:
        """When the picture was taken: never later than *now_ns*, and later than the one before."""
        guess = now_ns
        if presentation_ns is not None and self._offset is not None:
            guess = min(now_ns, presentation_ns + self._offset)
        self._last = max(guess, self._last + 1)
        return self._last
