"""What the demo watches, with what, and the picture it leaves."""

from __future__ import annotations

from collections.abc import Sequence

import edgesdk as edge
from edgesdk.graph.frames import FrameInfo, FrameView
from edgesdk.runtime.outlet import Delivery

__all__ = ["CAMERA", "MODEL", "VIDEO", "MostCrowded", "people"]

CAMERA = "street"
VIDEO = "bikes.mp4"
MODEL = "person-ssdlite"


@edge.app(deadline="500ms")
def people(camera: edge.Camera) -> dict[str, object]:
    """People in view, and how many there have been."""
    moving = camera.sample(fps=10).gate(threshold=0.004)
    tracks = moving.detect(MODEL, classes=["person"], score=0.4).track(high=0.4, start=0.5)
    return {"tracks": tracks, "people": tracks.count()}


class MostCrowded:
    """Keeps the frame with the most people, boxes drawn; called on the node's thread."""

    def __init__(self) -> None:
        self.people = -1
        self.picture: bytes | None = None

    def look(
        self, camera: str, info: FrameInfo, view: FrameView, results: Sequence[Delivery]
    ) -> None:
        for result in results:
            tracks = (result.values or {}).get("tracks")
            if isinstance(tracks, edge.Detections) and len(tracks) > self.people:
                self._keep(info, view, tracks)

    def _keep(self, info: FrameInfo, view: FrameView, tracks: edge.Detections) -> None:
        from edgesdk.snapshot import PreviewFrame
        from edgesdk.web.drawing import draw

        self.people = len(tracks)
        self.picture = draw(
            PreviewFrame(
                info.incarnation,
                info.sequence,
                info.capture_utc_ns,
                view.image,
                {"people.tracks": tracks},
            )
        )
