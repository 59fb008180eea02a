"""A real RTSP server that is stopped, frozen, and restarted with another resolution."""

from __future__ import annotations

import shutil
import socket
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from edgesdk.capture.synthetic import read_index

from .conftest import Cameras, Server


@pytest.fixture
def uri(rtsp: Server, videos: dict[str, Path], tmp_path: Path) -> str:
    shutil.copy(videos["h264"], tmp_path / "stream.mp4")
    return f"rtsp://admin:s3cret-word@127.0.0.1:{rtsp.port}/stream.mp4?play_count=0&edge.timeout=1s"


@pytest.mark.parametrize("kind", ["h264", "h265"])
def test_frames_of_an_rtsp_camera_arrive_in_order(
    kind: str,
    rtsp: Server,
    videos: dict[str, Path],
    cameras: Cameras,
    tmp_path: Path,
) -> None:
    shutil.copy(videos[kind], tmp_path / "stream.mp4")
    rtsp.start()
    name = cameras.add(f"rtsp://127.0.0.1:{rtsp.port}/stream.mp4?play_count=0")
    seen = cameras.read(name, count=20, visit=lambda f: (read_index(f.pixels()), f.properties))
    indices = [index for index, _ in seen]
    assert indices == sorted(indices)
    captured = [properties.capture_mono_ns for _, properties in seen]
    assert captured == sorted(captured)
    assert abs(captured[-1] - time.monotonic_ns()) < 2e9
    status = cameras.wait_state(name, "streaming")
    assert (status.codec, status.width, status.height) == (
        {"h265": "hevc"}.get(kind, kind),
        320,
        240,
    )


def test_a_camera_that_restarts_with_another_resolution_comes_back(
    rtsp: Server,
    uri: str,
    cameras: Cameras,
    make_video: Callable[..., Path],
    tmp_path: Path,
) -> None:
    rtsp.start()
    name = cameras.add(uri)
    before = cameras.read(name, count=5, visit=lambda f: (f.pixels().shape[0], f.epoch))
    assert before[-1][0] == 240
    stopped = time.monotonic()
    rtsp.kill()
    gone = cameras.wait_state(name, "reconnecting", since=stopped)
    assert "next try in" in (gone.reason or "")
    assert "s3cret-word" not in repr(cameras.history)
    make_video(tmp_path / "stream.mp4", "libx264", width=640, height=480)
    rtsp.start()
    seen = cameras.read(
        name,
        until=lambda frame: frame.properties.height == 480,
        visit=lambda frame: (frame.sequence, frame.epoch),
    )
    assert seen[-1][1] > before[-1][1], "a new connection is a new incarnation"
    sequences = [sequence for sequence, _ in seen]
    assert sequences == sorted(set(sequences))
    status = cameras.wait(name, lambda s: s.height == 480 and s.state.value == "streaming")
    assert status.restarts == 0, "the worker itself reconnects"


def test_a_frozen_camera_is_stalled_then_reconnected_and_no_other_camera_notices(
    rtsp: Server, uri: str, cameras: Cameras
) -> None:
    rtsp.start()
    other = cameras.add("synthetic:?fps=50")
    name = cameras.add(uri)
    cameras.read(name, count=5)
    frozen = time.monotonic()
    rtsp.freeze()
    stalled = cameras.wait_state(name, "stalled", since=frozen)
    assert stalled.reason == "no frame for 1 s"
    gone = cameras.wait_state(name, "reconnecting", since=frozen)
    assert "silent for" in (gone.reason or "")
    assert time.monotonic() - frozen < 4
    rtsp.thaw()
    cameras.wait_state(name, "streaming", since=time.monotonic())
    before = cameras.supervisor.status(other).sequence
    sequences = cameras.read(other, count=20)
    assert sequences[-1] > before
    assert {status.state.value for n, _, status in cameras.history if n == other} <= {
        "connecting",
        "streaming",
    }
    assert cameras.supervisor.status(other).fps > 40


@pytest.mark.parametrize(
    ("path", "said"),
    [
        ("none.mp4", "no such stream (404)"),
        ("stream.mp4?edge.transport=udp", "Protocol not supported"),
        ("stream.mp4?play_count=1", "the server ended the stream"),
    ],
)
def test_what_the_server_refuses_or_ends_is_said_and_tried_again(
    path: str, said: str, rtsp: Server, uri: str, cameras: Cameras
) -> None:
    rtsp.start()
    name = cameras.add(f"rtsp://admin:s3cret-word@127.0.0.1:{rtsp.port}/{path}")
    status = cameras.wait_state(name, "reconnecting")
    assert said in (status.reason or "")
    assert "s3cret-word" not in (status.reason or "")
    cameras.wait_state(name, "reconnecting", since=time.monotonic())


def test_a_camera_that_is_not_there_yet_is_waited_for(
    rtsp: Server, uri: str, cameras: Cameras
) -> None:
    name = cameras.add(uri)
    status = cameras.wait_state(name, "reconnecting")
    assert "refused" in (status.reason or "")
    rtsp.start()
    assert cameras.read(name, count=3)


def test_a_server_that_accepts_and_never_answers_is_said_to_be_silent(cameras: Cameras) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        name = cameras.add(f"rtsp://127.0.0.1:{port}/x?edge.timeout=0.5s")
        status = cameras.wait_state(name, "reconnecting")
    assert "no RTSP answer within 0.5 s" in (status.reason or "")
