"""edgesdk: the cameras of a LAN as one compute cluster.

::

    import edgesdk as edge

    @edge.app(deadline="500ms")
    def people(camera: edge.Camera):
        moving = camera.sample(fps=10).gate()
        tracks = moving.detect("detect, has class person", classes=["person"]).track()
        return {"tracks": tracks, "people": tracks.count()}

Names are imported when first used, so that ``import edgesdk`` is quick.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"

if TYPE_CHECKING:
    from edgesdk.errors import EdgeError, GraphError
    from edgesdk.graph import (
        Application,
        Camera,
        ClassificationStream,
        DetectionStream,
        EmbeddingStream,
        FrameInfo,
        Frames,
        FrameView,
        MeasurementStream,
        Plan,
        RawStream,
        Stream,
        TrackStream,
        app,
        compile_applications,
        ground_plane,
        load_application,
        operator,
    )
    from edgesdk.values import Classification, Detections, Embedding, Measurement, RawOutputs

__all__ = [
    "Application",
    "Camera",
    "Classification",
    "ClassificationStream",
    "DetectionStream",
    "Detections",
    "EdgeError",
    "Embedding",
    "EmbeddingStream",
    "FrameInfo",
    "FrameView",
    "Frames",
    "GraphError",
    "Measurement",
    "MeasurementStream",
    "Plan",
    "RawOutputs",
    "RawStream",
    "Stream",
    "TrackStream",
    "__version__",
    "app",
    "compile_applications",
    "ground_plane",
    "load_application",
    "operator",
]

_HOMES = {
    "edgesdk.errors": ("EdgeError", "GraphError"),
    "edgesdk.values": ("Classification", "Detections", "Embedding", "Measurement", "RawOutputs"),
}
_HOME_OF = {name: home for home, names in _HOMES.items() for name in names}


def __getattr__(name: str) -> Any:
    if name not in __all__:
        raise AttributeError(f"module 'edgesdk' has no attribute {name!r}")
    value = getattr(importlib.import_module(_HOME_OF.get(name, "edgesdk.graph")), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted(__all__)
