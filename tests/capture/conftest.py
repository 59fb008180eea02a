"""Real videos, real servers, and a supervisor whose states can be waited for."""

from __future__ import annotations

import contextlib
import itertools
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest

from edgesdk.capture import CameraStatus, CaptureSupervisor, parse_source
from edgesdk.capture.synthetic import scene
from edgesdk.core.ring import Frame, RingMissing, RingReader
from edgesdk.errors import RingStale

HERE = Path(__file__).parent
_numbers = itertools.count()


def write_video(
    path: Path,
    codec: str,
    *,
    width: int = 320,
    height: int = 240,
    frames: int = 40,
    rate: int = 25,
    form: str | None = None,
    options: dict[str, str] | None = None,
) -> Path:
    """Encodes frames 0, 1, ... of the synthetic scene of this size."""
    drawn = scene(1, width, height)
    image = np.empty((height, width, 3), np.uint8)
    with av.open(str(path), "w", format=form) as container:
        stream = container.add_stream(codec, rate=rate, options=options or {})
        stream.width, stream.height = width, height
        stream.pix_fmt = "yuvj420p" if codec == "mjpeg" else "yuv420p"
        for index in range(frames):
            drawn.draw(index, image)
            container.mux(stream.encode(av.VideoFrame.from_ndarray(image, "bgr24")))
        container.mux(stream.encode(None))
    return path


QUIET_X265 = {"x265-params": "log-level=none"}


@pytest.fixture(scope="session")
def videos(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    folder = tmp_path_factory.mktemp("videos")
    return {
        "h264": write_video(folder / "h264.mp4", "libx264"),
        "h265": write_video(folder / "h265.mp4", "libx265", options=QUIET_X265),
        "mjpeg": write_video(folder / "mjpeg.avi", "mjpeg"),
        "raw264": write_video(folder / "raw.264", "libx264", form="h264"),
        "raw265": write_video(folder / "raw.265", "libx265", form="hevc", options=QUIET_X265),
    }


@pytest.fixture(scope="session")
def make_video() -> Callable[..., Path]:
    return write_video


class Cameras:
    """A supervisor, the states that its cameras went through, and readers of their rings."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self.history: list[tuple[str, float, CameraStatus]] = []
        self.supervisor = CaptureSupervisor(on_state=self._note)

    def _note(self, name: str, status: CameraStatus) -> None:
        with self._changed:
            self.history.append((name, time.monotonic(), status))
            self._changed.notify_all()

    def add(self, uri: str, **options: Any) -> str:
        name = f"test-{os.getpid()}-{next(_numbers)}"
        self.supervisor.add(name, parse_source(uri), ring=name, **options)
        return name

    def wait(
        self,
        name: str,
        condition: Callable[[CameraStatus], bool],
        timeout: float = 10.0,
        since: float = 0.0,
    ) -> CameraStatus:
        """The first status of camera *name*, not older than *since*, that meets *condition*."""

        def found() -> CameraStatus | None:
            return next(
                (s for n, at, s in self.history if n == name and at >= since and condition(s)),
                None,
            )

        with self._changed:
            self._changed.wait_for(lambda: found() is not None, timeout)
            status = found()
        states = [(s.state.value, s.reason) for n, _, s in self.history if n == name]
        assert status is not None, f"{name} never got there within {timeout} s: {states}"
        return status

    def wait_state(self, name: str, state: str, **options: Any) -> CameraStatus:
        return self.wait(name, lambda status: status.state.value == state, **options)

    def open(self, name: str, timeout: float = 10.0) -> RingReader:
        deadline = time.monotonic() + timeout
        while True:
            with contextlib.suppress(RingMissing):
                return RingReader(self.supervisor.ring_name(name))
            assert time.monotonic() < deadline, self.supervisor.status(name)
            threading.Event().wait(0.005)

    def read(
        self,
        name: str,
        *,
        count: int | None = None,
        timeout: float = 10.0,
        until: Callable[[Frame], bool] | None = None,
        visit: Callable[[Frame], object] = lambda frame: frame.sequence,
    ) -> list[Any]:
        """*visit* of each frame, until there were *count*, one is *until*, or the stream ended."""
        deadline = time.monotonic() + timeout
        reader, seen = self.open(name, timeout), []
        try:
            while time.monotonic() < deadline:
                try:
                    if not reader.wait(0.1) and reader.ended:
                        return seen
                    frames = reader.take(1)
                except RingStale:
                    reader.reopen(timeout)
                    continue
                for frame in frames:
                    self.supervisor.acknowledge(name, frame.sequence)
                    seen.append(visit(frame))
                    done = until is not None and until(frame)
                    frame.release()
                    if done or len(seen) == count:
                        return seen
        finally:
            reader.close()
        if count is None and until is None:
            pytest.fail(f"the stream of {name} did not end: {self.supervisor.status(name)}")
        pytest.fail(f"only {len(seen)} frames of {name}: {self.supervisor.status(name)}")


@pytest.fixture
def cameras() -> Iterator[Cameras]:
    group = Cameras()
    yield group
    group.supervisor.close()
    left = [name for name in os.listdir("/dev/shm") if f"test-{os.getpid()}-" in name]
    assert left == [], "rings were left behind"


class Server:
    """A server in a process of its own, on a port that outlives it."""

    def __init__(self, command: Callable[[int], list[str]]) -> None:
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.port: int = probe.getsockname()[1]
        self._command = command
        self._process: subprocess.Popen[bytes] | None = None

    def start(self, *extra: str) -> Server:
        self._process = subprocess.Popen(
            [*self._command(self.port), *extra],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        deadline = time.monotonic() + 15
        while True:
            with contextlib.suppress(OSError):
                socket.create_connection(("127.0.0.1", self.port), 1).close()
                return self
            assert self._process.poll() is None, "the server did not start"
            assert time.monotonic() < deadline, "the server does not listen"
            threading.Event().wait(0.02)

    def kill(self) -> None:
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process = None

    def freeze(self) -> None:
        """Keeps its connections, and says nothing on them."""
        assert self._process is not None
        self._process.send_signal(signal.SIGSTOP)

    def thaw(self) -> None:
        assert self._process is not None
        self._process.send_signal(signal.SIGCONT)


@pytest.fixture
def rtsp(tmp_path: Path) -> Iterator[Server]:
    """Serves the videos of ``tmp_path``, each at ``/FILE?play_count=0``, for ever."""
    program = str(Path(sys.executable).with_name("rtsp-server"))
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        control = str(probe.getsockname()[1])
    server = Server(
        lambda port: [
            *(program, "-d", str(tmp_path), "-H", "127.0.0.1"),
            *("-p", str(port), "-cp", control),
        ]
    )
    yield server
    server.kill()


def _http_camera() -> Server:
    return Server(lambda port: [sys.executable, str(HERE / "camera_server.py"), str(port)])


@pytest.fixture
def camera_server() -> Iterator[Server]:
    """MJPEG at ``/stream``, snapshots at ``/shot``; see camera_server.py for the rest."""
    server = _http_camera()
    yield server
    server.kill()


@pytest.fixture(scope="module")
def lasting_server() -> Iterator[Server]:
    """The same, started, for tests that leave it as it is."""
    server = _http_camera().start()
    yield server
    server.kill()


@pytest.fixture
def other_server() -> Iterator[Server]:
    server = _http_camera()
    yield server
    server.kill()
