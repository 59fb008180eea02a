"""``ring:NAME``: frames that another process publishes, which comes and goes as it likes."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator

import pytest

from edgesdk.capture.synthetic import read_index
from edgesdk.core.ring import RingMissing, unlink

from .conftest import Cameras

FIRMWARE = """
import sys, time
import numpy as np
from edgesdk.capture.synthetic import scene
from edgesdk.core.ring import FrameProperties, PixelFormat, RingWriter
name, width, height, frames = sys.argv[1], *map(int, sys.argv[2:])
drawn, image = scene(1, width, height), np.empty((height, width, 3), np.uint8)
writer = RingWriter(name, slot_bytes=image.nbytes)
for index in range(frames):
    drawn.draw(index, image)
    writer.publish(image, FrameProperties(
        width, height, PixelFormat.BGR, width * 3, time.monotonic_ns(), time.time_ns()))
    time.sleep(0.02)
writer.end()
writer.close(unlink=False)
"""


class Firmware:
    """A camera's own program, which knows nothing of the agent."""

    def __init__(self, ring: str) -> None:
        self.ring = ring
        self._process: subprocess.Popen[bytes] | None = None

    def start(self, width: int = 320, height: int = 240, frames: int = 10**6) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-c", FIRMWARE, self.ring, str(width), str(height), str(frames)]
        )

    def signal(self, number: signal.Signals) -> None:
        assert self._process is not None
        self._process.send_signal(number)
        if number is signal.SIGKILL:
            self._process.wait()

    def stop(self) -> None:
        if self._process is not None:
            self._process.kill()
            self._process.wait()


@pytest.fixture
def firmware(cameras: Cameras) -> Iterator[Firmware]:
    program = Firmware(f"test-{os.getpid()}-firmware")
    yield program
    program.stop()
    with contextlib.suppress(RingMissing):
        unlink(program.ring)


def test_frames_of_another_process_are_read_from_its_ring_while_it_comes_and_goes(
    firmware: Firmware, cameras: Cameras
) -> None:
    name = cameras.add(f"ring:{firmware.ring}?timeout=500ms")
    assert cameras.supervisor.ring_name(name) == firmware.ring
    waiting = cameras.wait(name, lambda s: s.reason is not None)
    assert (waiting.state.value, waiting.pid) == ("connecting", 0)
    assert firmware.ring in (waiting.reason or "")

    firmware.start()
    assert cameras.read(name, count=10, visit=lambda f: read_index(f.pixels())) == list(range(10))
    cameras.wait_state(name, "streaming")

    frozen = time.monotonic()
    firmware.signal(signal.SIGSTOP)
    cameras.wait_state(name, "stalled", since=frozen)
    thawed = time.monotonic()
    firmware.signal(signal.SIGCONT)
    cameras.wait_state(name, "streaming", since=thawed)

    killed = time.monotonic()
    firmware.signal(signal.SIGKILL)
    gone = cameras.wait_state(name, "reconnecting", since=killed)
    assert "is gone" in (gone.reason or "")

    restarted = time.monotonic()
    firmware.start(640, 480)
    cameras.wait_state(name, "streaming", since=restarted)
    seen = cameras.read(
        name, until=lambda f: f.properties.width == 640, visit=lambda f: (f.sequence, f.epoch)
    )
    assert seen[-1][0] > 10
    assert seen[-1][1] == 2
    status = cameras.wait(name, lambda s: s.incarnation == 2, since=restarted)
    assert status.frames > 10


def test_a_ring_that_its_writer_ended_is_ended_and_left_where_it_is(
    firmware: Firmware, cameras: Cameras
) -> None:
    firmware.start(frames=10)
    name = cameras.add(f"ring:{firmware.ring}")
    status = cameras.wait_state(name, "ended")
    assert not status.failed
    assert status.frames == 10
    cameras.supervisor.remove(name)
    assert [ring for ring in os.listdir("/dev/shm") if firmware.ring in ring]
