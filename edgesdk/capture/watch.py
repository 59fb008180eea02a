"""The state of a camera whose frames another process publishes in a ring."""

from __future__ import annotations

import contextlib

import msgspec

from edgesdk.capture.status import CameraState, CameraStatus
from edgesdk.core.ring import RingMissing, RingReader, unlink
from edgesdk.errors import RingError

__all__ = ["RingWatch", "remove_orphan"]

# To open a ring of 25 MB takes milliseconds: seldom, once all is well.
LOOK_SECONDS = 0.2
LOOK_SECONDS_STREAMING = 1.0
RATE_SECONDS = 2.0


class RingWatch:
    """Looks at a ring from outside, now and then. For one thread.

    It opens the ring for each look and closes it again: a reader that stayed would be one of 32,
    and a writer that waits until its frames are taken would wait for it.
    """

    def __init__(self, ring: str, timeout: float) -> None:
        self._ring, self._timeout = ring, timeout
        self._sequence = 0
        self._frames = 0
        self._changed_at: float | None = None
        self._rate_at, self._rate_from = 0.0, 0
        self._next_look = 0.0

    def look(self, now: float, status: CameraStatus) -> CameraStatus:
        """The status at *now* (monotonic seconds), given the one before."""
        if now < self._next_look:
            return status
        well = status.state is CameraState.STREAMING
        pause = min(LOOK_SECONDS_STREAMING, self._timeout / 2) if well else LOOK_SECONDS
        self._next_look = now + pause
        try:
            with RingReader(self._ring) as reader:
                return self._look(reader, now, status)
        except RingMissing:
            return self._away(status, f"no ring {self._ring!r}; waiting for its writer")
        except RingError as error:
            return self._away(status, str(error))

    def _look(self, reader: RingReader, now: float, status: CameraStatus) -> CameraStatus:
        newest, quiet = reader.sequence, True
        if newest != self._sequence:
            # A writer that had to begin anew numbers from 1.
            self._frames += newest - self._sequence if newest > self._sequence else newest
            self._sequence, self._changed_at, quiet = newest, now, False
        if now - self._rate_at >= RATE_SECONDS:
            rate = (self._frames - self._rate_from) / (now - self._rate_at)
            status = msgspec.structs.replace(status, fps=round(rate, 2) if self._rate_at else 0.0)
            self._rate_at, self._rate_from = now, self._frames
        status = msgspec.structs.replace(
            status, frames=self._frames, sequence=newest or -1, incarnation=reader.epoch
        )
        if quiet and _ended(reader):
            return msgspec.structs.replace(
                status, state=CameraState.ENDED, reason="its writer ended the stream", fps=0.0
            )
        if not reader.writer_alive:
            return self._away(status, f"the writer of ring {self._ring!r} is gone; waiting for it")
        if self._changed_at is None:
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


def _ended(reader: RingReader) -> bool:
    # A ring has ended for those who have seen its last frame.
    reader.take(1, latest=True)
    return reader.ended


def remove_orphan(ring: str) -> None:
    """Remove a ring whose writer is dead; one that lives, or none, is left as it is."""
    with contextlib.suppress(RingError):
        unlink(ring)
