"""The state of a camera whose frames another process publishes in a ring."""

from __future__ import annotations

import contextlib

import msgspec

from edgesdk.capture.status import CameraState, CameraStatus
from edgesdk.core.ring import RingMissing, RingReader, unlink
from edgesdk.errors import RingError

__all__ = ["RingWatch", "remove_orphan"]

RATE_SECONDS = 2.0


class RingWatch:
    """Looks at a ring from outside, taking no frame. For one thread.

    It occupies one of the ring's 32 readers' places.
    """

    def __init__(self, ring: str, timeout: float) -> None:
        self._ring, self._timeout = ring, timeout
        self._reader: RingReader | None = None
        self._sequence = 0
        self._counted = 0
        self._changed_at: float | None = None
        self._rate_at, self._rate_from = 0.0, 0

    def look(self, now: float, status: CameraStatus) -> CameraStatus:
        """The status at *now* (monotonic seconds), given the one before."""
        try:
            return self._look(now, status)
        except RingMissing:
            self.close()
            return self._away(status, f"no ring {self._ring!r}; waiting for its writer")
        except RingError as error:
            self.close()
            return self._away(status, str(error))

    def _look(self, now: float, status: CameraStatus) -> CameraStatus:
        reader = self._reader
        if reader is None or reader.stale:
            self.close()
            reader = self._reader = RingReader(self._ring)
        newest = reader.sequence
        if newest != self._sequence:
            # A writer that had to begin anew numbers from 1.
            self._counted += newest - self._sequence if newest > self._sequence else newest
            self._sequence, self._changed_at = newest, now
        if now - self._rate_at >= RATE_SECONDS:
            rate = (self._counted - self._rate_from) / (now - self._rate_at)
            status = msgspec.structs.replace(status, fps=round(rate, 2) if self._rate_at else 0.0)
            self._rate_at, self._rate_from = now, self._counted
        status = msgspec.structs.replace(
            status, frames=self._counted, sequence=newest or -1, incarnation=reader.epoch
        )
        if reader.ended:
            return msgspec.structs.replace(
                status, state=CameraState.ENDED, reason="its writer ended the stream"
            )
        if not reader.writer_alive:
            return self._away(status, f"the writer of ring {self._ring!r} is gone; waiting for it")
        if self._changed_at is None or newest == 0:
            return self._away(status, f"ring {self._ring!r} has no frame yet")
        if now - self._changed_at > self._timeout:
            return msgspec.structs.replace(
                status, state=CameraState.STALLED, reason=f"no frame for {self._timeout:g} s"
            )
        return msgspec.structs.replace(status, state=CameraState.STREAMING, reason=None)

    def _away(self, status: CameraStatus, reason: str) -> CameraStatus:
        first = self._changed_at is None
        state = CameraState.CONNECTING if first else CameraState.RECONNECTING
        return msgspec.structs.replace(status, state=state, reason=reason, fps=0.0)

    def close(self) -> None:
        if self._reader is not None:
            self._reader.close()
            self._reader = None


def remove_orphan(ring: str) -> None:
    """Remove a ring whose writer is dead; one that lives, or none, is left as it is."""
    with contextlib.suppress(RingError):
        unlink(ring)
