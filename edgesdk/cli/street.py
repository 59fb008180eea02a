"""What the demo's nodes compute of their cameras."""

from __future__ import annotations

import edgesdk as edge

__all__ = ["MODEL", "people"]

MODEL = "person-ssdlite"


@edge.app(deadline="1s")
def people(camera: edge.Camera) -> dict[str, object]:
    """People in view, and how many there have been."""
    moving = camera.sample(fps=10).gate(threshold=0.004, adapt="200ms")
    tracks = moving.detect(MODEL, classes=["person"], score=0.4).track(high=0.4, start=0.5)
    return {"tracks": tracks, "people": tracks.count()}
