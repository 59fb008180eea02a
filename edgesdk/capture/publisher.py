"""From pictures to a ring: what a worker does with each picture that its reader yields."""

from __future__ import annotations

import contextlib
import time
from collections import deque

import numpy as np
from numpy.typing import NDArray

from edgesdk.capture.control import Control, WorkerConfig
from edgesdk.capture.pace import Pace
from edgesdk.capture.picture import SPARE_BYTES, Picture, row_bytes
from edgesdk.capture.status import CameraState
from edgesdk.core.ring import FrameProperties, PixelFormat, RingReader, RingWriter
from edgesdk.errors import CaptureError, RingBusy, RingError

__all__ = ["Publisher", "newest_sequence"]

SECOND = 1_000_000_000
# Frames over which the rate is measured, and the time that they may span.
RATE_FRAMES = 32
RATE_SPAN_NS = 5 * SECOND
FIRST_READER_SECONDS = 1.0


class Publisher:
    """Writes pictures into the ring of one camera; one writer of it per connection.

    In lossless mode (``pace=fast``) a frame is committed only when the one before it was
    acknowledged: a reader may then hold all but two slots and still no frame is lost, since one
    is the newest, which a ring never overwrites, and one is being filled meanwhile.
    """

    def __init__(self, config: WorkerConfig, control: Control) -> None:
        self._config, self._control = config, control
        self._source = config.source
        self._writer: RingWriter | None = None
        self._pace = Pace(real=self._source.pace == "real")
        self._sequence = 0
        self._attended = self._source.live or self._source.lossless or config.resume
        self._committed: deque[int] = deque(maxlen=RATE_FRAMES)

    @property
    def frames(self) -> int:
        return self._control.status.frames

    def disconnect(self) -> None:
        """Let go of the ring; it stays for its readers, and the next connection continues it."""
        if self._writer is not None:
            self._writer.close(unlink=False)
            self._writer = None

    def resume(self, sequence: int) -> None:
        """A worker before this one wrote up to *sequence*, which may not be taken yet."""
        self._sequence = sequence

    def publish(self, picture: Picture) -> None:
        """Place *picture* in time, wait for that time or for the reader, and commit it."""
        control = self._control
        control.check()
        control.progress()
        capture_ns = self._due(picture)
        stride = row_bytes(picture.width)
        size = picture.height * stride
        writer = self._writer or self._open(size + SPARE_BYTES)
        slot = self._begin(writer, size + SPARE_BYTES)
        if slot is None:
            control.set(dropped_full=control.status.dropped_full + 1)
            return
        try:
            picture.write(slot, stride)
            if self._source.lossless and self._sequence:
                control.wait_acknowledged(self._sequence)
        except BaseException:
            writer.abort()
            raise
        self._sequence = writer.commit(
            FrameProperties(
                width=picture.width,
                height=picture.height,
                format=PixelFormat.BGR,
                stride=stride,
                capture_mono_ns=capture_ns,
                capture_utc_ns=capture_ns + time.time_ns() - time.monotonic_ns(),
                colour_space=picture.colour_space,
                colour_range=picture.colour_range,
                frame_rate=picture.frame_rate or self._rate(),
                qp=picture.qp,
            ),
            size,
        )
        self._tell(writer, picture)
        if not self._attended:
            self._wait_for_reader()

    def _wait_for_reader(self) -> None:
        """Give whoever is about to read a file or scene the time to see its first frame.

        Without a reader a ring keeps but its two newest frames.
        """
        self._attended = True
        began = time.monotonic_ns()
        self._control.wait_acknowledged(self._sequence, FIRST_READER_SECONDS)
        self._pace.shift(time.monotonic_ns() - began)
        self._tell_origin()

    def _due(self, picture: Picture) -> int:
        if picture.media_ns is None:
            return picture.taken_ns or time.monotonic_ns()
        capture_ns, wait_ns = self._pace.place(picture.media_ns, time.monotonic_ns())
        self._tell_origin()
        if wait_ns:
            self._control.sleep(wait_ns / SECOND)
        return capture_ns

    def _tell_origin(self) -> None:
        """Before the frames that it is about. A worker that goes on in the middle of a file does
        not know where that began."""
        origin_ns = self._pace.origin_ns
        if not self._config.resume and origin_ns != self._control.status.origin_ns:
            self._control.set(origin_ns=origin_ns)

    def _open(self, size: int) -> RingWriter:
        try:
            self._writer = RingWriter(self._config.ring, slot_bytes=size, slots=self._config.slots)
        except RingError as error:
            raise CaptureError(f"ring {self._config.ring}: {error}") from error
        return self._writer

    def _begin(self, writer: RingWriter, size: int) -> NDArray[np.uint8] | None:
        """A slot, or None if readers hold them all and the source cannot wait."""
        while True:
            with contextlib.suppress(RingBusy):
                return writer.begin(size)
            if not self._source.lossless:
                return None
            self._control.sleep(0.001)

    def _tell(self, writer: RingWriter, picture: Picture) -> None:
        now = time.monotonic_ns()
        self._committed.append(now)
        while self._committed[0] < now - RATE_SPAN_NS:
            self._committed.popleft()
        self._control.set(
            state=CameraState.STREAMING,
            reason=None,
            frames=self.frames + 1,
            sequence=self._sequence,
            incarnation=writer.epoch,
            width=picture.width,
            height=picture.height,
            fps=round(self._rate(), 2),
        )

    def _rate(self) -> float:
        if len(self._committed) < 2:
            return 0.0
        span = self._committed[-1] - self._committed[0]
        return (len(self._committed) - 1) * SECOND / span if span else 0.0

    def end(self) -> None:
        """No frame will follow: readers get what is left, and then the end."""
        if self._writer is None:
            return
        if self._source.lossless and self._sequence:
            self._control.wait_acknowledged(self._sequence)
        self._writer.end()
        self._writer.close(unlink=False)
        self._writer = None

    def abandon(self) -> None:
        """Take the ring away, as when the agent is gone."""
        if self._writer is not None:
            with contextlib.suppress(RingError):
                self._writer.close(unlink=True)
            self._writer = None


def newest_sequence(ring: str) -> int:
    """Sequence number of the newest frame in a ring, 0 if there is none to be seen."""
    try:
        with RingReader(ring) as reader:
            return reader.sequence
    except RingError:
        return 0
