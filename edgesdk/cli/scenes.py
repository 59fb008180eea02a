"""The demo's four cameras: real videos, cut so that each is busy when its part says so.

A scene plays a piece of video over and over, and stands still in between: the gate holds what
stands still. So the frames are real ones, and when they come is known.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

__all__ = ["FPS", "SCENES", "SPIKE", "Scene", "film", "picture_of"]

FPS = 20
SPIKE = (0.35, 0.75)
"""When the street's spike begins and ends, as parts of the scene."""

_GLIMPSE = 0.2  # seconds that a quiet camera moves for, again and again


@dataclass(frozen=True, slots=True)
class Scene:
    """A node of the demo with its camera; both have its name.

    *service_ms* is what its accelerator takes for a frame where it is emulated, *device* what such
    a one is called; *every* is how often (in seconds) something moves outside of the spike; 0 is
    always, and None never.
    """

    name: str
    words: str
    asset: str
    size: tuple[int, int]
    device: str
    service_ms: int
    every: float | None
    spike: bool = False

    def moves(self, at: float, length: float) -> bool:
        """Whether the video plays at second *at* of a scene of *length* seconds."""
        if self.in_spike(at, length):
            return True
        return self.every is not None and (self.every == 0 or at % self.every < _GLIMPSE)

    def in_spike(self, at: float, length: float) -> bool:
        return self.spike and SPIKE[0] <= at / length < SPIKE[1]


SCENES = (
    Scene("street", "busy, with a spike", "bikes.mp4", (640, 272), "pi5", 200, 2.0, spike=True),
    Scene("crossing", "always full", "bikes.mp4", (640, 272), "n100", 150, 0),
    Scene("hall", "quiet", "carphone.mp4", (352, 288), "coral", 100, 4.0),
    Scene("garden", "without people", "bigbuckbunny.mp4", (640, 360), "orin", 80, 3.0),
)


def film(scene: Scene, source: Path, target: Path, seconds: float, *, still: bool = False) -> int:
    """Writes *seconds* of *scene* to *target* as H.264; returns the number of frames.

    still: only its first picture, over and over. Raises CaptureError where *source* cannot be
    read or *target* not be written.
    """
    import av

    from edgesdk.errors import CaptureError

    wanted = max(1, round(seconds * FPS))
    try:
        pictures = list(_pictures(source, scene.size, 1 if still else None))
        with av.open(str(target), "w") as container:
            stream = container.add_stream("libx264", rate=FPS)
            stream.width, stream.height = scene.size
            stream.pix_fmt = "yuv420p"
            # Each picture on its own is decodable soon, and frames that stand still cost nothing.
            stream.options = {"preset": "ultrafast", "crf": "20", "g": str(FPS), "bf": "0"}
            for index in _indices(scene, wanted, len(pictures), seconds):
                frame = av.VideoFrame.from_ndarray(pictures[index], format="bgr24")
                container.mux(stream.encode(frame))
            container.mux(stream.encode())
    except (av.FFmpegError, OSError) as error:
        raise CaptureError(f"the demo's {scene.name} cannot be filmed: {error}") from None
    return wanted


def picture_of(video: Path, index: int) -> NDArray[np.uint8]:
    """Frame *index* of *video*, BGR ``[h, w, 3]``; the last one if it has fewer."""
    import av

    picture = None
    with av.open(str(video)) as container:
        for number, frame in enumerate(container.decode(video=0)):
            picture = frame.to_ndarray(format="bgr24")
            if number == index:
                break
    if picture is None:
        raise ValueError(f"{video} has no frame")
    return np.ascontiguousarray(picture, np.uint8)


def _pictures(source: Path, size: tuple[int, int], most: int | None) -> Iterator[NDArray[np.uint8]]:
    """What *source* shows, at :data:`FPS` and at *size*; *most* pictures, or all."""
    import av
    import cv2

    due = 0.0
    with av.open(str(source)) as container:
        for frame in islice(container.decode(video=0), most):
            if frame.time is not None and frame.time < due:
                continue
            due += 1 / FPS
            yield np.asarray(cv2.resize(frame.to_ndarray(format="bgr24"), size), np.uint8)


def _indices(scene: Scene, wanted: int, there: int, seconds: float) -> Sequence[int]:
    """Which picture each frame shows. The video is played to and fro: a cut would be motion."""
    found = []
    at = 0
    for number in range(wanted):
        if scene.moves(number / FPS, seconds):
            at += 1
        turn = at % max(1, 2 * there - 2)
        found.append(turn if turn < there else 2 * there - 2 - turn)
    return found
