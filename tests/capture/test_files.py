"""Files through a worker, a ring and a reader."""

from __future__ import annotations

import shutil
import threading
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from edgesdk.capture.synthetic import read_index, scene
from edgesdk.core.ring import ColourRange, ColourSpace, Frame, PixelFormat

from .conftest import Cameras

FRAMES = 40


def index_of(frame: Frame) -> int:
    return read_index(frame.pixels())


@pytest.mark.parametrize("kind", ["h264", "h265", "mjpeg", "raw264", "raw265"])
def test_every_frame_of_a_file_arrives_once_and_in_order(
    kind: str, videos: dict[str, Path], cameras: Cameras
) -> None:
    name = cameras.add(f"{videos[kind]}?pace=fast")
    assert cameras.read(name, visit=index_of) == list(range(FRAMES))
    status = cameras.wait_state(name, "ended")
    assert (status.reason, status.failed, status.frames) == ("end of file", False, FRAMES)


def test_a_slow_reader_loses_nothing_of_a_fast_file(
    videos: dict[str, Path], cameras: Cameras
) -> None:
    name = cameras.add(f"{videos['h264']}?pace=fast", slots=3)

    def slowly(frame: Frame) -> int:
        threading.Event().wait(0.02)
        return frame.sequence

    assert cameras.read(name, visit=slowly) == list(range(1, FRAMES + 1))
