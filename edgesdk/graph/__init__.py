"""The declarative API: applications as graphs over symbolic cameras, and what they compile to.

:mod:`~edgesdk.graph.streams` is what users write in, :mod:`~edgesdk.graph.application` and
:mod:`~edgesdk.graph.custom` the decorators, :mod:`~edgesdk.graph.compilation` makes a
:class:`Plan` of them, and :mod:`~edgesdk.graph.operators` is what its operators do to a frame.
"""

from edgesdk.graph.application import Application, BuiltApplication, app
from edgesdk.graph.compilation import compile_applications
from edgesdk.graph.custom import Operator, operator
from edgesdk.graph.frames import FrameInfo, FrameView
from edgesdk.graph.ground import ground_plane
from edgesdk.graph.identity import execution_id, operator_id
from edgesdk.graph.loading import load_application
from edgesdk.graph.plan import Plan, PlannedOperator, PlannedSink, Step
from edgesdk.graph.streams import (
    Camera,
    ClassificationStream,
    DetectionStream,
    EmbeddingStream,
    Frames,
    MeasurementStream,
    RawStream,
    Stream,
    TrackStream,
)

__all__ = [
    "Application",
    "BuiltApplication",
    "Camera",
    "ClassificationStream",
    "DetectionStream",
    "EmbeddingStream",
    "FrameInfo",
    "FrameView",
    "Frames",
    "MeasurementStream",
    "Operator",
    "Plan",
    "PlannedOperator",
    "PlannedSink",
    "RawStream",
    "Step",
    "Stream",
    "TrackStream",
    "app",
    "compile_applications",
    "execution_id",
    "ground_plane",
    "load_application",
    "operator",
    "operator_id",
]
