"""Keeps one worker process a camera alive, and knows what each is doing."""

from __future__ import annotations

import contextlib
import logging
import os
import random
import selectors
import threading
import time
from collections.abc import Callable

import msgspec

from edgesdk.capture.backoff import Backoff
from edgesdk.capture.process import WorkerProcess
from edgesdk.capture.source import Kind, Source
from edgesdk.capture.status import CameraState, CameraStatus
from edgesdk.capture.watch import RingWatch, remove_orphan
from edgesdk.errors import UsageError

__all__ = ["CaptureSupervisor"]

log = logging.getLogger("edgesdk.capture")

TICK = 0.1
# A worker that did not even send its heartbeat for so long holds the GIL in a library: kill it.
SILENT_WORKER = 8.0
# A file whose worker dies this often without one more frame has a picture that kills the decoder.
FUTILE_DEATHS = 3
STOP_SECONDS = 0.6


class _Camera:
    """What the supervisor knows of one camera.

    Only its thread changes it, but for ``acknowledged``, which is the reader's.
    """

    def __init__(self, name: str, source: Source, ring: str, slots: int) -> None:
        self.name, self.source, self.ring, self.slots = name, source, ring, slots
        self.status = CameraStatus()
        self.worker: WorkerProcess | None = None
        self.watch = RingWatch(ring, source.timeout) if source.kind is Kind.RING else None
        self.backoff = Backoff(random.random)
        self.start_at = 0.0
        # The counts when the present worker was started, which counts from zero.
        self.frames_before = 0
        self.errors_before = 0
        self.dropped_before = 0
        # The ring's number before the first frame of this camera; None before that frame.
        self.base: int | None = None
        self.acknowledged = 0

    @property
    def ended(self) -> bool:
        return self.status.state is CameraState.ENDED


class CaptureSupervisor:
    """Owns the capture workers of an agent; one thread for all of them.

    A source that fails or hangs, and a decoder that crashes, costs its own camera about a second
    and no other anything. All methods may be called from any thread, but not from ``on_state``,
    which is called by the supervisor's thread with the camera's name whenever state, reason,
    incarnation or size change: it must be quick, and what it raises is logged.

    **Lossless sources** (``Source.lossless``, i.e. ``pace=fast``): the worker commits a frame only
    after the one before was acknowledged. Whoever reads the ring calls :meth:`acknowledge` as soon
    as it took a frame, and simply stops taking when it is full: every frame is then seen exactly
    once, and none before there is a reader. A file at its own pace waits up to a second for its
    first frame to be acknowledged, so that none is missed at the start; live sources wait for
    nobody, and acknowledging their frames costs nothing.
    """

    def __init__(self, *, on_state: Callable[[str, CameraStatus], None] | None = None) -> None:
        self._on_state = on_state
        self._lock = threading.Lock()
        self._cameras: dict[str, _Camera] = {}
        self._selector = selectors.DefaultSelector()
        self._wake_read, self._wake_write = os.pipe2(os.O_CLOEXEC | os.O_NONBLOCK)
        self._selector.register(self._wake_read, selectors.EVENT_READ, None)
        self._orders: list[Callable[[], None]] = []
        self._tended_at = time.monotonic()
        self._closing = False
        # Workers are started by this thread alone: the kernel ends them with the *thread* that
        # started them.
        self._thread = threading.Thread(target=self._run, name="capture", daemon=True)
        self._thread.start()

    def add(self, name: str, source: Source, *, ring: str, slots: int = 4) -> None:
        """Start reading *source* into ring *ring*; returns at once.

        A ring of that name whose writer is dead, left by a killed agent, is removed first. For a
        ``ring:`` source nothing is started: its frames are watched, and :meth:`ring_name` is its
        own name.

        Raises:
            UsageError: a camera of this name is there already, or the supervisor is closed.
        """
        ring = source.location if source.kind is Kind.RING else ring
        camera = _Camera(name, source, ring, slots)
        with self._lock:
            if self._closing:
                raise UsageError(f"camera {name!r}: the capture supervisor is closed")
            if name in self._cameras:
                raise UsageError(f"camera {name!r} is there already")
            self._cameras[name] = camera
        self._call(lambda: self._begin(camera))

    def status(self, name: str) -> CameraStatus:
        """The camera's status, at most half a second old. Raises UsageError for an unknown name."""
        return self._get(name).status

    def ring_name(self, name: str) -> str:
        """The ring to read the camera's frames from. Raises UsageError for an unknown name."""
        return self._get(name).ring

    def acknowledge(self, name: str, sequence: int) -> None:
        """The reader took all frames up to *sequence*. Never blocks; cheap when not lossless."""
        camera = self._get(name)
        first_of_file = not camera.source.live and not camera.acknowledged
        if sequence <= camera.acknowledged or not (camera.source.lossless or first_of_file):
            return
        camera.acknowledged = sequence
        worker = camera.worker
        # A full pipe needs no more care: the supervisor's thread repeats the newest number.
        if worker is not None:
            worker.order(b"ack %d\n" % sequence)

    def remove(self, name: str) -> None:
        """Stop the camera's worker and remove its ring; returns when both are done, within 1 s."""
        camera = self._get(name)
        done = threading.Event()

        def order() -> None:
            self._stop([camera])
            done.set()

        with self._lock:
            if self._cameras.pop(name, None) is None:
                return
        self._call(order)
        done.wait(2.0)

    def close(self) -> None:
        """Stop all workers and remove their rings, within 1 s. Idempotent."""
        with self._lock:
            self._closing = True
        self._wake()
        self._thread.join()

    def __enter__(self) -> CaptureSupervisor:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _get(self, name: str) -> _Camera:
        with self._lock:
            camera = self._cameras.get(name)
        if camera is None:
            raise UsageError(f"camera {name!r} is not known")
        return camera

    def _call(self, order: Callable[[], None]) -> None:
        with self._lock:
            self._orders.append(order)
        self._wake()

    def _wake(self) -> None:
        with self._lock, contextlib.suppress(OSError):
            os.write(self._wake_write, b"\0")

    def _run(self) -> None:
        while not self._closing:
            self._turn()
        with self._lock:
            cameras, self._cameras = list(self._cameras.values()), {}
        self._stop(cameras)
        self._selector.close()
        with self._lock:
            os.close(self._wake_read)
            os.close(self._wake_write)
            self._wake_write = -1

    def _turn(self) -> None:
        try:
            for key, _ in self._selector.select(TICK):
                if key.data is None:
                    with contextlib.suppress(BlockingIOError):
                        os.read(self._wake_read, 4096)
                else:
                    self._hear(*key.data)
            with self._lock:
                orders, self._orders = self._orders, []
            for order in orders:
                order()
            self._tend()
        except Exception:
            # Whatever one camera's worker brought about shall not end the care for the others.
            log.exception("the capture supervisor stumbled")
            time.sleep(TICK)

    def _begin(self, camera: _Camera) -> None:
        if camera.watch is None:
            remove_orphan(camera.ring)
            self._start(camera)

    def _start(self, camera: _Camera) -> None:
        try:
            worker = WorkerProcess(
                camera.name,
                camera.source,
                camera.ring,
                camera.slots,
                base=camera.base or 0,
                resume=camera.base is not None,
            )
        except OSError as error:
            self._retry(camera, f"no worker can be started: {error.strerror}")
            return
        camera.worker = worker
        self._selector.register(worker.report, selectors.EVENT_READ, (camera, worker.report))
        self._selector.register(worker.words, selectors.EVENT_READ, (camera, worker.words))
        worker.order(b"ack %d\n" % camera.acknowledged)
        self._set(camera, msgspec.structs.replace(camera.status, pid=worker.pid))

    def _hear(self, camera: _Camera, descriptor: int) -> None:
        worker = camera.worker
        if worker is None:
            return
        if descriptor == worker.words:
            if not worker.hear_words():
                self._selector.unregister(descriptor)
            return
        statuses, alive = worker.hear_report()
        for status in statuses:
            self._take(camera, status)
        if not alive:
            self._bury(camera, worker)

    def _take(self, camera: _Camera, said: CameraStatus) -> None:
        before = camera.status
        if said.frames and (camera.base is None or said.sequence < before.sequence):
            # The first frames, or a ring that had to begin its numbers anew.
            camera.base = said.sequence - said.frames - before.frames
        if said.state is CameraState.CONNECTING and before.state is CameraState.RECONNECTING:
            said = msgspec.structs.replace(said, state=before.state, reason=before.reason)
        self._set(
            camera,
            msgspec.structs.replace(
                said,
                # By the ring's numbers: what a worker wrote in its last half second counts too.
                frames=before.frames if said.frames == 0 else said.sequence - (camera.base or 0),
                decode_errors=camera.errors_before + said.decode_errors,
                dropped_full=camera.dropped_before + said.dropped_full,
                restarts=before.restarts,
                incarnation=said.incarnation or before.incarnation,
                sequence=said.sequence if said.sequence > 0 else before.sequence,
            ),
        )

    def _bury(self, camera: _Camera, worker: WorkerProcess) -> None:
        """The worker is dead: if its source has not ended, another takes its place."""
        self._selector.unregister(worker.report)
        with contextlib.suppress(KeyError):
            self._selector.unregister(worker.words)
        cause = worker.bury()
        camera.worker = None
        status = msgspec.structs.replace(camera.status, pid=0, fps=0.0)
        progressed = status.frames > camera.frames_before
        camera.frames_before = status.frames
        camera.errors_before, camera.dropped_before = status.decode_errors, status.dropped_full
        if camera.ended:
            self._set(camera, status)
            return
        self._set(camera, msgspec.structs.replace(status, restarts=status.restarts + 1))
        if progressed:
            camera.backoff.reset()
        self._retry(camera, cause)

    def _retry(self, camera: _Camera, cause: str) -> None:
        wait, deaths = camera.backoff.next(), camera.backoff.failures
        if not camera.source.live and deaths >= FUTILE_DEATHS:
            reason = f"{cause}, {deaths} times at the same frame; the file was given up"
            ended = msgspec.structs.replace(
                camera.status, state=CameraState.ENDED, failed=True, reason=reason
            )
            self._set(camera, ended)
            return
        if deaths == 1:
            # At once: a decoder that crashed shall cost a second and not more.
            wait = 0.0
        camera.start_at = time.monotonic() + wait
        reason = f"{cause}; another is started" + (f" in {wait:.1f} s" if wait else "")
        self._set(
            camera,
            msgspec.structs.replace(camera.status, state=CameraState.RECONNECTING, reason=reason),
        )

    def _tend(self) -> None:
        """What is done by the clock: restarts, silent workers, repeated acknowledgements."""
        now = time.monotonic()
        # Who was frozen or starved itself has not listened: that nobody spoke is not known.
        away = max(0.0, now - self._tended_at - 2 * TICK)
        self._tended_at = now
        with self._lock:
            cameras = list(self._cameras.values())
        for camera in cameras:
            worker = camera.worker
            if worker is not None:
                worker.heard_at += away
            if camera.watch is not None:
                self._set(camera, camera.watch.look(now, camera.status))
            elif worker is None:
                if camera.start_at and now >= camera.start_at and not camera.ended:
                    camera.start_at = 0.0
                    self._start(camera)
            elif now - worker.heard_at > SILENT_WORKER:
                worker.kill(f"the worker was silent for {SILENT_WORKER:g} s and was killed")
            elif camera.acknowledged > worker.acknowledged:
                worker.order(b"ack %d\n" % camera.acknowledged)

    def _set(self, camera: _Camera, status: CameraStatus) -> None:
        before, camera.status = camera.status, status
        if _what_matters(before) == _what_matters(status):
            return
        trouble = status.failed or status.state is CameraState.RECONNECTING
        level = logging.WARNING if trouble else logging.INFO
        if (before.state, before.reason) != (status.state, status.reason):
            log.log(level, "camera %s: %s (%s)", camera.name, status.state.value, status.reason)
        if self._on_state is None:
            return
        try:
            self._on_state(camera.name, status)
        except Exception:
            log.exception("camera %s: the callback for its state failed", camera.name)

    def _stop(self, cameras: list[_Camera]) -> None:
        workers = [camera.worker for camera in cameras if camera.worker is not None]
        for worker in workers:
            for descriptor in (worker.report, worker.words):
                with contextlib.suppress(KeyError):
                    self._selector.unregister(descriptor)
            worker.order(b"stop\n")
        deadline = time.monotonic() + STOP_SECONDS
        for worker in workers:
            worker.end(deadline)
        for camera in cameras:
            camera.worker = None
            if camera.watch is None:
                remove_orphan(camera.ring)


def _what_matters(status: CameraStatus) -> tuple[object, ...]:
    return (
        *(status.state, status.reason, status.failed, status.incarnation, status.restarts),
        *(status.width, status.height, status.codec, status.pid),
    )
