import socket
import threading
import time

import cv2
import httpx
import numpy as np
import pytest

from edgesdk.snapshot import PreviewFrame
from edgesdk.values import Detections
from edgesdk.web.drawing import draw


def pictures(server, camera: str, count: int) -> list[np.ndarray]:
    found = []
    data = b""
    with httpx.stream("GET", f"{server.url}/preview/{camera}.mjpg", timeout=10) as answer:
        assert answer.status_code == 200
        assert answer.headers["content-type"].startswith("multipart/x-mixed-replace; boundary=")
        for chunk in answer.iter_raw():
            data += chunk
            while b"\r\n\r\n" in data:
                head, _, rest = data.partition(b"\r\n\r\n")
                length = int(head.split(b"Content-Length: ")[1])
                if len(rest) < length + 2:
                    break
                found.append(cv2.imdecode(np.frombuffer(rest[:length], np.uint8), 1))
                data = rest[length + 2 :]
                if len(found) == count:
                    return found
    return found


def test_it_shows_frame_after_frame_with_boxes(server):
    first, *_, last = pictures(server, "door", 4)
    assert first.shape == (540, 960, 3)
    assert np.abs(first.astype(int) - last).max() > 60, "nothing moved"
    edge = first[400, 520:530]
    assert edge.max() > 180, "the box at 700..820 of 1280 is not there"


def test_a_camera_without_a_picture_shows_its_state(server):
    (only,) = pictures(server, "yard <b>", 1)
    assert only.shape == (360, 640, 3)
    assert only.max() > 100


def test_a_camera_that_there_is_not_is_not_found(server):
    answer = httpx.get(f"{server.url}/preview/attic.mjpg")
    assert answer.status_code == 404


def test_the_node_is_asked_only_while_somebody_looks(server, scene, eventually):
    assert scene.watched == []
    pictures(server, "door", 2)
    eventually(lambda: scene.watched == [])
    asked = scene.asked
    httpx.get(f"{server.url}/healthz")
    assert scene.asked == asked


def test_many_viewers_of_a_camera_share_its_pictures(server, scene, eventually):
    threads = [
        threading.Thread(target=pictures, args=(server, "door", 8), daemon=True) for _ in range(6)
    ]
    for thread in threads:
        thread.start()
    eventually(lambda: scene.watched == ["door"])
    for thread in threads:
        thread.join(20)
    eventually(lambda: scene.watched == [])
    assert scene.asked < 60


def test_a_viewer_who_does_not_read_slows_nobody_and_is_let_go(
    server, scene, eventually, monkeypatch
):
    monkeypatch.setattr("edgesdk.web.preview._STUCK_S", 0.5)
    port = int(server.url.rpartition(":")[2])
    stuck = socket.socket()
    stuck.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    stuck.connect(("127.0.0.1", port))
    stuck.sendall(b"GET /preview/door.mjpg HTTP/1.1\r\nHost: localhost\r\n\r\n")
    eventually(lambda: scene.watched == ["door"])
    started = time.monotonic()
    assert len(pictures(server, "door", 5)) == 5
    assert time.monotonic() - started < 3
    eventually(lambda: scene.watched == [], timeout=20)
    stuck.close()


def test_asking_for_the_head_only_does_not_look(server, scene, eventually):
    assert httpx.head(f"{server.url}/preview/door.mjpg").status_code == 200
    eventually(lambda: scene.watched == [])


def test_a_still_is_the_newest_picture_and_looking_ends_soon_after(
    server, scene, eventually, monkeypatch
):
    monkeypatch.setattr("edgesdk.web.preview._LINGER_S", 0.3)
    stills = [httpx.get(f"{server.url}/preview/door.jpg") for _ in range(3)]
    assert [s.headers["content-type"] for s in stills] == ["image/jpeg"] * 3
    picture = cv2.imdecode(np.frombuffer(stills[-1].content, np.uint8), 1)
    assert picture.shape == (540, 960, 3)
    assert scene.watched == ["door"]
    eventually(lambda: scene.watched == [])
    assert httpx.get(f"{server.url}/preview/door.png").status_code == 404


def test_there_is_a_bound_on_viewers(server, scene, eventually):
    port = int(server.url.rpartition(":")[2])
    viewers = []
    for _ in range(16):
        viewer = socket.create_connection(("127.0.0.1", port), 10)
        viewer.sendall(b"GET /preview/door.mjpg HTTP/1.1\r\nHost: localhost\r\n\r\n")
        assert viewer.recv(100).startswith(b"HTTP/1.1 200")
        viewers.append(viewer)
    answer = httpx.get(f"{server.url}/preview/door.mjpg")
    assert answer.status_code == 503
    assert answer.headers["retry-after"] == "10"
    for viewer in viewers:
        viewer.close()
    eventually(lambda: scene.watched == [])
    assert len(pictures(server, "door", 1)) == 1


def test_closing_lets_viewers_go(server, scene, eventually):
    port = int(server.url.rpartition(":")[2])
    with socket.create_connection(("127.0.0.1", port), 10) as viewer:
        viewer.sendall(b"GET /preview/door.mjpg HTTP/1.1\r\nHost: localhost\r\n\r\n")
        eventually(lambda: scene.watched == ["door"])
        started = time.monotonic()
        server.close()
        assert time.monotonic() - started < 1.5
    assert scene.watched == []


@pytest.mark.parametrize("shape", [(480, 640, 3), (480, 640), (1, 1, 3), (2000, 4000, 3)])
def test_any_box_can_be_drawn_on_any_frame(shape):
    boxes = [[np.nan, 0, np.inf, 1], [-1e30, -5, 1e30, 9], [5, 5, 1, 1], [0, 0, 9, 9]]
    found = Detections(
        np.array(boxes, np.float32),
        np.array([0.5, np.nan, 1, 0], np.float32),
        np.zeros(4, np.int32),
        ("person", "œuvre \x00", "", "x" * 500),
        np.array([1, 2**62, -1, 0], np.int64),
    )
    pixels = np.zeros(shape, np.uint8)
    pixels.flags.writeable = False
    jpeg = draw(PreviewFrame(1, 1, 0, pixels, {"a.b": found}))
    assert cv2.imdecode(np.frombuffer(jpeg, np.uint8), 1).shape[1] <= 960
    assert not pixels.any()
