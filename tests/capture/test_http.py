"""A real HTTP camera, honest and hostile."""

from __future__ import annotations

import subprocess
import time
from pathlib import Path

import numpy as np
import pytest

from edgesdk.capture.synthetic import read_index
from edgesdk.core.ring import ColourRange, ColourSpace

from .conftest import Cameras, Server


def uri(server: Server, path: str, credentials: str = "") -> str:
    return f"http://{credentials}127.0.0.1:{server.port}/{path}"


@pytest.mark.parametrize("path", ["stream", "stream?bare", "chunked"])
def test_frames_of_an_mjpeg_camera_arrive_in_order(
    path: str, lasting_server: Server, cameras: Cameras
) -> None:
    name = cameras.add(uri(lasting_server, path))
    seen = cameras.read(name, count=20, visit=lambda f: (read_index(f.pixels()), f.properties))
    indices = [index for index, _ in seen]
    assert indices == list(range(indices[0], indices[0] + 20))
    properties = seen[-1][1]
    assert (properties.width, properties.height) == (320, 240)
    assert (properties.colour_space, properties.colour_range) == (
        ColourSpace.BT601,
        ColourRange.FULL,
    )
    assert 1 <= properties.qp <= 255
    assert 15 < properties.frame_rate < 35


def test_a_snapshot_is_fetched_at_each_interval(camera_server: Server, cameras: Cameras) -> None:
    camera_server.start()
    name = cameras.add(uri(camera_server, "shot?edge.interval=200ms"))
    seen = cameras.read(
        name, count=8, visit=lambda f: (read_index(f.pixels()), f.properties.capture_mono_ns)
    )
    assert [index for index, _ in seen] == list(range(8)), "one request a frame"
    gaps = np.diff([at for _, at in seen]) / 1e6
    assert abs(np.mean(gaps) - 200) < 15


@pytest.mark.parametrize("kind", ["basic", "digest"])
def test_a_password_opens_the_camera_and_a_wrong_one_is_said(
    kind: str, camera_server: Server, cameras: Cameras
) -> None:
    options = ["--user", "admin", "--password", "p@ss:word"]
    camera_server.start(*options, *(["--digest"] if kind == "digest" else []))
    right = cameras.add(uri(camera_server, "shot?edge.interval=50ms", "admin:p%40ss%3Aword@"))
    assert cameras.read(right, count=4, visit=lambda f: read_index(f.pixels())) == [0, 1, 2, 3]
    wrong = cameras.add(uri(camera_server, "stream", "admin:wr0ng-word@"))
    status = cameras.wait_state(wrong, "reconnecting")
    assert "user name or password is wrong" in (status.reason or "")
    assert "wr0ng-word" not in repr(cameras.history)


def test_a_camera_that_restarts_with_another_resolution_comes_back(
    camera_server: Server, cameras: Cameras
) -> None:
    camera_server.start()
    name = cameras.add(uri(camera_server, "stream?edge.timeout=1s"))
    before = cameras.read(name, count=3, visit=lambda f: (f.properties.width, f.epoch))
    assert before[-1][0] == 320
    stopped = time.monotonic()
    camera_server.kill()
    cameras.wait_state(name, "reconnecting", since=stopped)
    camera_server.start("--width", "640", "--height", "480")
    seen = cameras.read(
        name, until=lambda f: f.properties.width == 640, visit=lambda f: (f.sequence, f.epoch)
    )
    assert seen[-1][1] > before[-1][1]
    assert cameras.wait(name, lambda s: s.width == 640).restarts == 0


def test_a_frozen_camera_is_stalled_then_reconnected(
    camera_server: Server, cameras: Cameras
) -> None:
    camera_server.start()
    name = cameras.add(uri(camera_server, "stream?edge.timeout=500ms"))
    cameras.read(name, count=3)
    frozen = time.monotonic()
    camera_server.freeze()
    cameras.wait_state(name, "stalled", since=frozen)
    cameras.wait_state(name, "reconnecting", since=frozen)
    assert time.monotonic() - frozen < 3
    camera_server.thaw()
    cameras.wait_state(name, "streaming", since=time.monotonic())


@pytest.mark.parametrize(
    ("path", "said"),
    [
        ("bomb", "60000x60000 is over the limit"),
        ("garbage", "30 pictures in a row were unusable"),
        ("page", "'text/html'; expected multipart"),
        ("missing", "(404)"),
        ("huge-part", "over the limit"),
        ("silence", "silent for 0.5 s"),
        ("headers", "bytes of HTTP headers"),
        ("drip", "silent for 0.5 s"),
        ("half", "silent for 1 s"),
    ],
)
def test_a_hostile_server_is_left_with_a_reason_and_tried_again(
    path: str, said: str, lasting_server: Server, cameras: Cameras
) -> None:
    began = time.monotonic()
    name = cameras.add(uri(lasting_server, f"{path}?edge.timeout=500ms"))
    status = cameras.wait_state(name, "reconnecting")
    assert said in (status.reason or "")
    assert time.monotonic() - began < 4
    assert status.restarts == 0, "the worker lives on"


def test_nothing_that_listens_and_no_such_host_are_said(
    camera_server: Server, cameras: Cameras
) -> None:
    refused = cameras.add(uri(camera_server, "stream"))
    unknown = cameras.add("http://no-such-host.invalid/stream")
    assert "refused" in (cameras.wait_state(refused, "reconnecting").reason or "")
    assert "not known" in (cameras.wait_state(unknown, "reconnecting").reason or "")


def test_credentials_go_to_the_cameras_own_host_and_no_other(
    camera_server: Server, other_server: Server, cameras: Cameras
) -> None:
    other_server.start()
    away = f"http://localhost:{other_server.port}/stranger"
    camera_server.start("--user", "admin", "--password", "s3cret", "--away", away)
    strange = cameras.add(uri(camera_server, "away?edge.interval=50ms", "admin:s3cret@"))
    assert cameras.read(strange, count=2, visit=lambda f: f.properties.width) == [320, 320]
    camera_server.kill()
    own = f"http://127.0.0.1:{camera_server.port}/shot"
    camera_server.start("--user", "admin", "--password", "s3cret", "--away", own)
    home = cameras.add(uri(camera_server, "away?edge.interval=50ms", "admin:s3cret@"))
    assert cameras.read(home, count=2, visit=lambda f: f.properties.width) == [320, 320]


def test_a_certificate_that_nobody_vouches_for_is_refused_until_the_user_accepts_it(
    camera_server: Server, cameras: Cameras, tmp_path: Path
) -> None:
    pem = tmp_path / "camera.pem"
    subprocess.run(
        [
            "openssl",
            "req",
            "-x509",
            "-newkey",
            "ec",
            "-pkeyopt",
            "ec_paramgen_curve:prime256v1",
            "-nodes",
            "-keyout",
            str(pem),
            "-out",
            str(tmp_path / "cert"),
            "-subj",
            "/CN=camera",
        ],
        check=True,
        capture_output=True,
    )
    pem.write_text(pem.read_text() + (tmp_path / "cert").read_text())
    camera_server.start("--certificate", str(pem))
    secure = f"https://127.0.0.1:{camera_server.port}/stream"
    refused = cameras.wait_state(cameras.add(secure), "reconnecting")
    assert "edge.verify=0 accepts it" in (refused.reason or "")
    assert cameras.read(cameras.add(f"{secure}?edge.verify=0"), count=3)
