"""Streams: what an application's function is written in.

A stream stands for the values that an operator will give, frame by frame. Calling a method adds an
operator and returns a new stream; nothing is computed, and no stream ever changes. Coordinates are
in [0, 1] of the whole frame; durations are ``"500ms"``, ``"2s"`` or a number of seconds.
"""

from edgesdk.graph.streams.base import (
    ClassificationStream,
    EmbeddingStream,
    MeasurementStream,
    RawStream,
    Stream,
)
from edgesdk.graph.streams.detections import DetectionStream, TrackStream
from edgesdk.graph.streams.frames import Camera, Frames

__all__ = [
    "Camera",
    "ClassificationStream",
    "DetectionStream",
    "EmbeddingStream",
    "Frames",
    "MeasurementStream",
    "RawStream",
    "Stream",
    "TrackStream",
]
