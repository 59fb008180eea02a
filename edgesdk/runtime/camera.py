"""One camera's ring, as the dispatcher reads it."""

from __future__ import annotations

import contextlib
import logging
import time
from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from edgesdk.capture import CameraState, CameraStatus, CaptureSupervisor, Source
from edgesdk.capture.jpeg import read_header
from edgesdk.core.ring import Bell, Frame, PixelFormat, RingMissing, RingReader
from edgesdk.errors import CaptureError, RingError, RingStale, UsageError
from edgesdk.graph.frames import FrameInfo, FrameView
from edgesdk.runtime.flow import CameraFlow

__all__ = ["LOSSLESS_OPEN", "CameraFeed", "slots_needed"]

log = logging.getLogger(__name__)

_TAKE = 4
# A ring that nobody reads keeps its newest frame or two only, so a new one is found quickly; a
# camera that has been away for long is looked for at leisure.
_IMPATIENT_NS = 10_000_000_000
_AT_LEISURE_NS = 50_000_000
_AFTER_ERROR_NS = 1_000_000_000
_LOOK_AT_STATUS_NS = 50_000_000
# Frames of a source that waits for us which are on their way together: enough to overlap.
LOSSLESS_OPEN = 4
_MOST_SLOTS = 64


class CameraFeed:
    """Takes frames in order, tells the flow of each and of those it lost, and of the end.

    *first_incarnation* is added to the ring's epochs, so that numbers go on over restarts.
    *frames* is how many to take at most. All methods run on the dispatcher, but for properties.
    Until *waits_until_ns* frames pass unseen, and count nowhere: what is known of the camera is on
    its way from another node (see :meth:`claim`).
    """

    def __init__(
        self,
        name: str,
        source: Source,
        flow: CameraFlow,
        supervisor: CaptureSupervisor,
        bell: Bell,
        *,
        incarnations_before: int = 0,
        frames: int | None = None,
        on_incarnation: Callable[[str, int], None] = lambda camera, number: None,
        waits_until_ns: int = 0,
    ) -> None:
        self.name = name
        self.source = source
        self.flow = flow
        self.frames = 0
        self.incarnation = 0
        self.incarnations = 0
        self.done = False
        self.error = ""
        self._supervisor = supervisor
        self._bell = bell
        self._before = incarnations_before
        self._limit = frames
        self._on_incarnation = on_incarnation
        self._reader: RingReader | None = None
        self._waits_until_ns = waits_until_ns
        unknown = source.kind == "ring" or waits_until_ns > 0
        self._last: tuple[int, int] | None = None if unknown else (0, 0)
        self._origin_ns: int | None = None
        self._look_again_ns = 0
        self._missing_since_ns = 0
        self._more = False
        self._status_at_ns = 0
        self._full = 0
        self.status = CameraStatus()

    @property
    def reader(self) -> RingReader | None:
        return self._reader

    @property
    def touched(self) -> bool:
        return self._more or self.flow.touched

    @property
    def hurried(self) -> bool:
        return not self.done and self._reader is None and not self._patient

    def poll(self, now_ns: int) -> None:
        self._more = self.flow.touched = False
        self.flow.tick(now_ns)
        if self.done or now_ns < self._look_again_ns:
            return
        if self._reader is None and not self._open(now_ns):
            return
        assert self._reader is not None
        waiting = now_ns < self._waits_until_ns
        room = 0 if waiting and self.flow.lossless else _TAKE
        if self.flow.lossless:
            room = min(room, LOSSLESS_OPEN - self.flow.open_tasks)
        if self._limit is not None:
            room = min(room, self._limit - self.frames)
        taken: list[Frame] = []
        if room > 0:
            try:
                taken = self._reader.take(room)
            except RingStale:
                self._reopen(now_ns)
                return
        for frame in taken:
            if waiting:
                self._pass_over(frame)
            else:
                self._take(frame)
        self._more = len(taken) == room > 0 and not self.flow.lossless
        if now_ns - self._status_at_ns > _LOOK_AT_STATUS_NS:
            self._status_at_ns = now_ns
            self._look_at_status(empty=room > 0 and not taken)

    def claim(self, until_ns: int) -> bool:
        """Waits until then if it is waiting at all: somebody is just giving the operators what they
        waited for. False: they began without."""
        if self.done or time.monotonic_ns() >= self._waits_until_ns:
            return False
        self._waits_until_ns = until_ns
        return True

    def broken(self, error: Exception) -> None:
        self.error = str(error)
        log.warning("camera %s: %s", self.name, error, exc_info=not isinstance(error, RingError))
        self._close()
        self._look_again_ns = time.monotonic_ns() + _AFTER_ERROR_NS

    def finish(self) -> None:
        """Takes no more frames."""
        if not self.done:
            self.done = True
            self._read_status()
        self._close()

    def _open(self, now_ns: int) -> bool:
        try:
            self._reader = RingReader(self._supervisor.ring_name(self.name), bell=self._bell)
        except RingMissing:
            self._ring_is_missing(now_ns)
            return False
        self._missing_since_ns = 0
        return True

    @property
    def _patient(self) -> bool:
        since = self._missing_since_ns
        return since > 0 and time.monotonic_ns() - since > _IMPATIENT_NS

    def _ring_is_missing(self, now_ns: int) -> None:
        self._missing_since_ns = self._missing_since_ns or now_ns
        if self._patient:
            self._look_again_ns = now_ns + _AT_LEISURE_NS
        if now_ns - self._status_at_ns > _LOOK_AT_STATUS_NS:
            self._status_at_ns = now_ns
            self._look_at_status(empty=True)

    def _reopen(self, now_ns: int) -> None:
        assert self._reader is not None
        try:
            self._reader.reopen(timeout=0)
        except RingMissing:
            # The name is just being moved, or gone for good: the status will tell.
            self._ring_is_missing(now_ns)

    def _close(self) -> None:
        if self._reader is not None:
            self._reader.close()
            self._reader = None

    def epoch_of(self, incarnation: int) -> int:
        """The ring's number of what the results call *incarnation*."""
        return incarnation - self._before

    def _take(self, frame: Frame) -> None:
        self._note_losses(frame)
        self.frames += 1
        properties = frame.properties
        if not self.source.live:
            told = self._read_status().origin_ns
            if told or self._origin_ns is None:
                self._origin_ns = told or properties.capture_mono_ns
        info = FrameInfo(
            sequence=frame.sequence,
            incarnation=self.incarnation,
            capture_mono_ns=properties.capture_mono_ns,
            capture_utc_ns=properties.capture_utc_ns,
            width=properties.width,
            height=properties.height,
            frame_rate=properties.frame_rate,
            origin_ns=self._origin_ns or 0,
        )
        now = time.monotonic_ns()
        try:
            view = _view(frame, self.source.max_pixels)
        except (RingError, CaptureError) as error:
            self.flow.reject(info, f"{self.source.redacted}: {error}")
        else:
            self.flow.frame(info, view, now)
        with contextlib.suppress(UsageError):  # the supervisor is closing
            self._supervisor.acknowledge(self.name, frame.sequence)

    def _pass_over(self, frame: Frame) -> None:
        self._last = (frame.epoch, frame.sequence)
        with contextlib.suppress(UsageError):  # the supervisor is closing
            self._supervisor.acknowledge(self.name, frame.sequence)

    def _note_losses(self, frame: Frame) -> None:
        incarnation = self._before + frame.epoch
        if self._last is not None:
            lost = frame.sequence - self._last[1] - 1
            if lost < 0:
                # A ring that counts from one again: a new one, whatever its epoch says.
                self._before += self._last[0] - frame.epoch + 1
                incarnation = self._before + frame.epoch
                lost = frame.sequence - 1
            if lost:
                self.frames += lost
                self.flow.lost(lost)
        self._last = (frame.epoch, frame.sequence)
        if incarnation != self.incarnation:
            self.incarnation = incarnation
            self.incarnations += 1
            self._on_incarnation(self.name, incarnation)

    def _look_at_status(self, *, empty: bool) -> None:
        status = self._read_status()
        if status.dropped_full > self._full:
            full, self._full = status.dropped_full - self._full, status.dropped_full
            self.frames += full
            self.flow.lost(full)
        ended = empty and status.state is CameraState.ENDED and self._seen_all()
        if ended or (self._limit is not None and self.frames >= self._limit):
            self.finish()

    def _read_status(self) -> CameraStatus:
        with contextlib.suppress(UsageError):  # the supervisor is closing
            self.status = self._supervisor.status(self.name)
        return self.status

    def _seen_all(self) -> bool:
        return self._reader is None or self._reader.sequence <= (self._last or (0, 0))[1]


def slots_needed(
    flow: CameraFlow, wanted: int, queue: int, *, keeps_pixels: bool, spare: int = 0
) -> int:
    """Slots of a camera's ring: what may be held on the way, four that the writer moves in, and
    *spare*; a ring has 64 at most."""
    waiting = LOSSLESS_OPEN if flow.lossless else queue
    stages = max(1, len(flow.program.pixel_stages))
    return min(_MOST_SLOTS, max(wanted, 4 + waiting + stages + int(keeps_pixels)) + spare)


def _view(frame: Frame, max_pixels: int) -> FrameView:
    """The frame in one of the colours that operators know; converted only where it is another."""
    form = frame.properties.format
    pixels = frame.pixels()
    if form is PixelFormat.BGR:
        return FrameView(pixels, "BGR")
    if form is PixelFormat.RGB:
        return FrameView(pixels, "RGB")
    if form is PixelFormat.GRAY:
        return FrameView(pixels, "GRAY")
    return FrameView(_converted(pixels, form, max_pixels), "BGR")


def _converted(pixels: NDArray[np.uint8], form: PixelFormat, max_pixels: int) -> NDArray[np.uint8]:
    import cv2

    if form is PixelFormat.JPEG:
        header = read_header(pixels.tobytes())
        if header.width * header.height > max_pixels:
            raise CaptureError(f"a JPEG of {header.width}x{header.height} is larger than allowed")
        decoded = cv2.imdecode(pixels, cv2.IMREAD_COLOR)
        if decoded is None:
            raise CaptureError("a JPEG that cannot be decoded")
        return np.asarray(decoded, np.uint8)
    code = cv2.COLOR_YUV2BGR_NV12 if form is PixelFormat.NV12 else cv2.COLOR_YUV2BGR_I420
    return np.asarray(cv2.cvtColor(np.ascontiguousarray(pixels), code), np.uint8)
