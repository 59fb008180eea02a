"""A small node to look at: two cameras, one of them live, implementing NodeView for real."""

import threading
import time
from collections.abc import Callable, Iterator

import numpy as np
import pytest

from edgesdk.records import (
    ApplicationSummary,
    CameraFrames,
    FrameCounts,
    LatencyMs,
    SinkStats,
)
from edgesdk.snapshot import CameraView, Histogram, NodeSnapshot, OperatorView, PreviewFrame
from edgesdk.values import Detections
from edgesdk.web import WebServer


class ScenePreview:
    def __init__(self, node: "SceneNode", camera: str) -> None:
        self._node = node
        self._camera = camera
        node.watched.append(camera)

    def latest(self) -> PreviewFrame | None:
        return self._node.frame() if self._camera == "door" else None

    def close(self) -> None:
        if self._camera in self._node.watched:
            self._node.watched.remove(self._camera)


class SceneNode:
    """Frames move on with time, 30 a second; `watched` has a camera once for each open preview."""

    def __init__(self, width: int = 1280, height: int = 720) -> None:
        self.watched: list[str] = []
        self.asked = 0
        self.ready = True
        self.started = time.monotonic()
        rows, columns = np.mgrid[0:height, 0:width]
        self.background = np.stack(
            [60 + 60 * rows / height, 70 + 50 * columns / width, 90 + 0 * rows], axis=-1
        ).astype(np.uint8)
        self.histogram = Histogram()
        for value in (0.004, 0.02, 0.03, 0.2, 99.0):
            self.histogram.observe(value)

    def frame(self) -> PreviewFrame:
        self.asked += 1
        sequence = int((time.monotonic() - self.started) * 30)
        left = np.float32(50 + sequence * 4 % 800)
        boxes = np.array([[left, 200, left + 160, 600], [700, 320, 820, 640]], np.float32)
        found = Detections(
            boxes,
            np.array([0.9, 0.7], np.float32),
            np.array([1, 1], np.int32),
            ("person", "person"),
            np.array([7, 12], np.int64),
        )
        pixels = self.background.view()
        pixels.flags.writeable = False
        return PreviewFrame(1, sequence, time.time_ns(), pixels, {"people.tracks": found})

    def preview(self, camera: str) -> ScenePreview:
        if camera not in self.snapshot().cameras:
            raise KeyError(camera)
        return ScenePreview(self, camera)

    def snapshot(self) -> NodeSnapshot:
        frames = FrameCounts(
            captured=3000, held=1800, passed=1200, ok=1100, late=40, dropped=50, failed=9
        )
        people = CameraFrames(
            frames=frames,
            dropped_by_reason={"deadline": 30, "queue": 20},
            outputs={
                "tracks": {"type": "detections", "items": [{}, {}]},
                "people": {"type": "count", "now": 2, "total": 31},
            },
            latency_ms=LatencyMs(p50=31.0, p99=55.2),
        )
        return NodeSnapshot(
            name="node-1",
            version="0.1.0",
            seconds=time.monotonic() - self.started + 3700,
            ready=self.ready,
            not_ready=() if self.ready else ("model person-ssdlite is being prepared",),
            cameras={
                "door": CameraView(
                    state="streaming",
                    uri="rtsp://***@host/stream",
                    frames=3000,
                    fps=29.97,
                    incarnations=1,
                    width=1280,
                    height=720,
                    codec="h264",
                ),
                "yard <b>": CameraView(
                    state="reconnecting",
                    uri="rtsp://***@10.0.0.7/live",
                    reason="no answer for 5 s; next try in 8 s",
                    restarts=3,
                ),
            },
            applications={"people": ApplicationSummary(cameras={"door": people})},
            latency={("people", "door"): self.histogram.view()},
            operators=[
                # One operator on two cameras.
                OperatorView(kind="detect", id="5f0c" * 16, seconds=self.histogram.view())
                for _ in range(2)
            ],
            queues={"detect": 2},
            inferences={"person-ssdlite": 1150},
            sinks={
                "mqtt:mqtt://***@broker/edgesdk": SinkStats(
                    name="mqtt:mqtt://***@broker/edgesdk",
                    kind="mqtt",
                    target="mqtt://***@broker",
                    state="retrying",
                    delivered=1000,
                    pending=199,
                    discarded=1,
                    retries=4,
                    last_error="cannot reach the broker: [Errno 111] Connection refused",
                )
            },
        )


@pytest.fixture
def scene() -> SceneNode:
    return SceneNode()


@pytest.fixture
def server(scene: SceneNode) -> Iterator[WebServer]:
    made = WebServer(scene, "127.0.0.1:0")
    made.start()
    yield made
    made.close()


@pytest.fixture
def eventually() -> Callable[..., None]:
    def wait_until(condition: Callable[[], object], timeout: float = 10.0) -> None:
        deadline = time.monotonic() + timeout
        while not condition():
            assert time.monotonic() < deadline, "it did not come about in time"
            threading.Event().wait(0.01)

    return wait_until
