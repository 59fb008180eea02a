"""One worker process, seen from the supervisor's thread."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import threading
import time
from typing import IO

import msgspec

from edgesdk.capture.control import WorkerConfig
from edgesdk.capture.source import Source
from edgesdk.capture.status import CameraStatus

__all__ = ["WorkerProcess"]

# A line of status has some 300 bytes. A worker ruled by hostile bytes may write anything.
LINE_BYTES_MAX = 64 * 1024
LAST_WORDS = 2048

# `-m` would put the working directory first in the path, and with it a checkout of edgesdk, or
# whatever else lies there by the name of a module.
_START = (
    "import sys; sys.path = [p for p in sys.path if p];"
    "from edgesdk.capture.worker import main; sys.exit(main())"
)


class WorkerProcess:
    """Spawned (never forked without exec); ``order`` may be called from any thread.

    Raises:
        OSError: the process cannot be started.
    """

    def __init__(
        self, name: str, source: Source, ring: str, slots: int, *, base: int, resume: bool
    ) -> None:
        self._conceal = source.conceal
        self._lock = threading.Lock()
        self._pending = b""
        self._last_words = b""
        self._verdict: str | None = None
        self.acknowledged = 0
        self.heard_at = time.monotonic()
        self._process = subprocess.Popen(
            [sys.executable, "-c", _START, name],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            bufsize=0,
            # Ctrl-C in a terminal goes to the agent, which then stops its workers in order.
            start_new_session=True,
            env={**os.environ, "OPENBLAS_NUM_THREADS": "1", "OMP_NUM_THREADS": "1"},
        )
        stdin, stdout, stderr = self._pipes()
        self.pid = self._process.pid
        self._orders = stdin.fileno()
        self.report = stdout.fileno()
        self.words = stderr.fileno()
        for descriptor in (self._orders, self.report, self.words):
            os.set_blocking(descriptor, False)
        config = WorkerConfig(
            name=name,
            source=source,
            ring=ring,
            slots=slots,
            agent=os.getpid(),
            base=base,
            resume=resume,
        )
        self.order(msgspec.json.encode(config) + b"\n")

    def order(self, line: bytes) -> bool:
        """Write an order; False if the pipe is full or the worker is gone."""
        with self._lock:
            try:
                os.write(self._orders, line)
            except OSError:
                return False
            if line.startswith(b"ack "):
                self.acknowledged = max(self.acknowledged, int(line[4:]))
        return True

    def hear_report(self) -> tuple[list[CameraStatus], bool]:
        """Statuses that arrived, and whether the worker still lives."""
        try:
            chunk = os.read(self.report, LINE_BYTES_MAX)
        except BlockingIOError:
            return [], True
        if not chunk:
            return [], False
        self.heard_at = time.monotonic()
        *lines, self._pending = (self._pending + chunk).split(b"\n")
        try:
            if len(self._pending) > LINE_BYTES_MAX:
                raise msgspec.DecodeError("a line without end")
            return [msgspec.json.decode(line, type=CameraStatus) for line in lines], True
        except (msgspec.DecodeError, UnicodeDecodeError):
            self.kill("the worker wrote nonsense and was killed")
            return [], True

    def hear_words(self) -> bool:
        """Keeps the last of what the worker wrote to standard error; False at its end."""
        try:
            chunk = os.read(self.words, 65536)
        except BlockingIOError:
            return True
        self._last_words = (self._last_words + chunk)[-LAST_WORDS:]
        return bool(chunk)

    def kill(self, why: str) -> None:
        self._verdict = self._verdict or why
        self._process.kill()

    def bury(self) -> str:
        """Reap the dead process; why it died, for people."""
        self.hear_words()
        try:
            code = self._process.wait(0.5)
        except subprocess.TimeoutExpired:
            self._process.kill()
            code = self._process.wait()
        self._close()
        return self._verdict or self._cause(code)

    def _cause(self, code: int) -> str:
        if code < 0:
            with contextlib.suppress(ValueError):
                return f"the worker died of {signal.Signals(-code).name}"
        lines = self._conceal(self._last_words.decode(errors="replace")).strip().splitlines()
        return f"the worker ended with code {code}" + (f" ({lines[-1][:200]})" if lines else "")

    def end(self, deadline: float) -> None:
        """Wait for a worker that was told to stop, until *deadline* (monotonic); then kill it."""
        try:
            self._process.wait(max(0.0, deadline - time.monotonic()))
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._close()

    def _close(self) -> None:
        with self._lock:
            self._orders = -1
            for pipe in self._pipes():
                with contextlib.suppress(OSError):
                    pipe.close()

    def _pipes(self) -> tuple[IO[bytes], IO[bytes], IO[bytes]]:
        process = self._process
        assert process.stdin is not None
        assert process.stdout is not None
        assert process.stderr is not None
        return process.stdin, process.stdout, process.stderr
