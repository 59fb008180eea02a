"""People at the door, and how many there have been."""

from __future__ import annotations

import edgesdk as edge


@edge.app(deadline="500ms")
def people(camera: edge.Camera) -> dict[str, object]:
    moving = camera.sample(fps=10).gate(threshold=0.004)
    tracks = moving.detect("detect, has class person", classes=["person"], score=0.5).track()
    return {"tracks": tracks, "people": tracks.count()}
