"""GStreamer pipelines and V4L2 devices, as far as this machine has them."""

from __future__ import annotations

import importlib.util
import os
import sys
from pathlib import Path

import pytest

from .conftest import Cameras

DEBIAN = Path("/usr/lib/python3/dist-packages/gi")


@pytest.fixture
def gstreamer(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """PyGObject for the workers: this environment's, or Debian's where the versions match."""
    if importlib.util.find_spec("gi") is not None:
        return
    tag = f"cpython-{sys.version_info.major}{sys.version_info.minor}-"
    if not any(tag in path.name for path in DEBIAN.glob("_gi.*.so")):
        pytest.skip("PyGObject is not installed (Debian: python3-gi)")
    (tmp_path / "gi").symlink_to(DEBIAN)
    others = os.environ.get("PYTHONPATH", "")
    monkeypatch.setenv("PYTHONPATH", f"{tmp_path}:{others}" if others else str(tmp_path))


@pytest.mark.usefixtures("gstreamer")
def test_a_pipeline_is_read_and_its_end_and_its_mistakes_are_said(cameras: Cameras) -> None:
    caps = "video/x-raw,width=322,height=240,framerate=50/1"
    endless = cameras.add(f"gst:videotestsrc pattern=red is-live=true ! {caps}")
    ending = cameras.add(f"gst:videotestsrc num-buffers=5 ! {caps}")
    wrong = cameras.add("gst:nosuchsrc user-pw=s3cret-word")
    pixels = cameras.read(endless, count=10, visit=lambda frame: frame.pixels().copy())[-1]
    assert pixels.shape == (240, 322, 3)
    assert (pixels[..., 2] > 240).all()
    assert (pixels[..., :2] < 15).all()
    assert cameras.wait_state(endless, "streaming").codec == "gstreamer"
    assert "the pipeline ended" in (cameras.wait_state(ending, "reconnecting").reason or "")
    reason = cameras.wait_state(wrong, "reconnecting").reason or ""
    assert "nosuchsrc" in reason
    assert "s3cret-word" not in repr(cameras.history)


def test_a_pipeline_where_nothing_brings_gstreamer_says_what_to_install(cameras: Cameras) -> None:
    if importlib.util.find_spec("gi") is not None:
        pytest.skip("PyGObject is installed here")
    status = cameras.wait_state(cameras.add("gst:videotestsrc"), "reconnecting")
    assert "install PyGObject" in (status.reason or "")


def test_a_device_that_is_not_plugged_in_is_waited_for(cameras: Cameras) -> None:
    status = cameras.wait_state(cameras.add("v4l2:/dev/video77"), "reconnecting")
    assert "/dev/video77: No such file" in (status.reason or "")
    assert "next try in" in (status.reason or "")


def test_what_is_no_video_device_is_named(cameras: Cameras) -> None:
    status = cameras.wait_state(cameras.add("v4l2:/dev/null"), "reconnecting")
    assert "/dev/null" in (status.reason or "")
