"""The worker's side of the pipes to its supervisor: orders in, status out.

To the worker: one line of JSON (:class:`WorkerConfig`), then ``ack N`` and ``stop`` lines; the end
of the stream means that the agent is gone. From it: :class:`CameraStatus` as lines of JSON.
"""

from __future__ import annotations

import os
import select
import threading
import time
from collections.abc import Callable
from typing import Any

import msgspec

from edgesdk.capture.source import Source
from edgesdk.capture.status import CameraState, CameraStatus

__all__ = ["Control", "Stopped", "WorkerConfig"]

SECOND = 1_000_000_000
HEARTBEAT = 0.5
# A worker that was told to stop, and sits in a library call, is given this long.
STOP_GRACE = 0.3
# Beyond twice its timeout a source was given up; whoever sits in a call this much longer hangs.
HANG_GRACE = 10.0
HUNG = 70
REASON_MAX = 1000


class WorkerConfig(msgspec.Struct, frozen=True, kw_only=True):
    name: str
    source: Source
    ring: str
    slots: int = 4
    agent: int = 0
    """The supervisor's process id: the worker ends when it is not its parent any more."""
    base: int = 0
    """Sequence number before the first frame of this source; files resume behind it."""
    resume: bool = False
    """Whether a worker before this one died: a file goes on where the ring's newest frame is."""


class Stopped(BaseException):
    """The worker was told to stop. Not an Exception: no handler for errors shall catch it."""


class Control(threading.Thread):
    """Reads orders, sends status, and notices when the source falls silent.

    A thread of its own, since the main one sits in FFmpeg for seconds at a time. All methods may
    be called from any thread; those that wait raise :class:`Stopped`.
    """

    def __init__(self, orders: int, report: int, config: WorkerConfig, pending: bytes) -> None:
        super().__init__(name="control", daemon=True)
        self._orders, self._report = orders, report
        os.set_blocking(report, False)
        self._source = config.source
        self._pending = pending
        self._changed = threading.Condition()
        self._status = CameraStatus(pid=os.getpid())
        self._acknowledged = 0
        self._stopped = False
        # While True the worker itself waits (for its pace, a reader, the next try): no stall.
        self._idle = False
        self._progress_ns = time.monotonic_ns()
        self._agent = config.agent

    def set(self, **changes: Any) -> None:
        """Change the status; a new state or reason is sent at once, numbers with the heartbeat."""
        with self._changed:
            before = self._status
            if changes.get("reason"):
                changes["reason"] = changes["reason"][:REASON_MAX]
            self._status = msgspec.structs.replace(before, **changes)
            if _urgent(before) != _urgent(self._status):
                self._send()

    def count_errors(self, errors: int) -> None:
        if errors != self._status.decode_errors:
            self.set(decode_errors=errors)

    def progress(self) -> None:
        """A connection was begun, or a frame came."""
        self._progress_ns = time.monotonic_ns()

    def stalled(self) -> None:
        """The source is connected and silent."""
        with self._changed:
            if self._status.state is CameraState.STREAMING:
                reason = f"no frame for {self._source.timeout:g} s"
                self.set(state=CameraState.STALLED, reason=reason)

    @property
    def status(self) -> CameraStatus:
        return self._status

    def sleep(self, seconds: float) -> None:
        """Wait on purpose."""
        self._wait(lambda: False, seconds)

    def wait_acknowledged(self, sequence: int, timeout: float | None = None) -> None:
        """Wait until the agent's reader has taken frame *sequence*; without *timeout*, for ever."""
        self._wait(lambda: self._acknowledged >= sequence, timeout)

    def _wait(self, done: Callable[[], bool], timeout: float | None) -> None:
        with self._changed:
            self._idle = True
            self._changed.wait_for(lambda: self._stopped or done(), timeout)
            self._idle = False
            self.progress()
            self.check()

    def check(self) -> None:
        if self._stopped:
            raise Stopped

    def finish(self, **changes: Any) -> None:
        """Send the last status, even to an agent that is slow; nothing is sent after it."""
        with self._changed:
            os.set_blocking(self._report, True)
            self.set(**changes)
            os.close(self._report)
            self._report = -1

    def stop(self) -> None:
        with self._changed:
            self._stopped = True
            self._changed.notify_all()

    def run(self) -> None:
        poll = select.poll()
        poll.register(self._orders, select.POLLIN)
        beat = time.monotonic()
        self._obey()
        while True:
            if poll.poll(1000 * self._until(beat + HEARTBEAT)):
                chunk = os.read(self._orders, 65536)
                self._pending += chunk
                self._obey()
                if not chunk:
                    self.stop()
            if self._stopped:
                time.sleep(STOP_GRACE)
                os._exit(0)
            self._watch()
            if time.monotonic() >= beat + HEARTBEAT:
                beat = time.monotonic()
                with self._changed:
                    self._send()

    def _until(self, beat: float) -> float:
        """Seconds to the next thing to do: a heartbeat, or seeing that the source fell silent."""
        due = beat
        if self._status.state is CameraState.STREAMING and not self._idle:
            due = min(due, self._progress_ns / SECOND + self._source.timeout + 0.001)
        return max(0.001, due - time.monotonic())

    def _obey(self) -> None:
        *lines, self._pending = self._pending.split(b"\n")
        for line in lines:
            word, _, value = line.partition(b" ")
            if word == b"stop":
                self.stop()
            elif word == b"ack":
                with self._changed:
                    self._acknowledged = max(self._acknowledged, int(value))
                    self._changed.notify_all()

    def _watch(self) -> None:
        if self._agent and os.getppid() != self._agent:
            self.stop()
        silent = (time.monotonic_ns() - self._progress_ns) / SECOND
        if self._idle:
            return
        source = self._source
        if silent > source.timeout * 2 + HANG_GRACE:
            self.set(reason=f"hung for {silent:.0f} s in a library; the worker is replaced")
            os._exit(HUNG)
        if silent > source.timeout:
            self.stalled()

    def _send(self) -> None:
        if self._report < 0:
            return
        line = msgspec.json.encode(self._status) + b"\n"
        try:
            # Whole or not at all, as long as it is below the 4096 bytes of PIPE_BUF.
            os.write(self._report, line)
        except BlockingIOError:
            # The agent sleeps (a debugger, SIGSTOP): capture goes on, the next heartbeat says more.
            pass
        except OSError:
            self._stopped = True


def _urgent(status: CameraStatus) -> tuple[object, ...]:
    """What the agent wants to know at once."""
    shape = status.width, status.height, status.origin_ns
    return status.state, status.reason, status.incarnation, *shape
