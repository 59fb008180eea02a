"""Sources of frames: one supervised process a camera, which decodes and writes a ring."""

from edgesdk.capture.source import Kind, Source, parse_source
from edgesdk.capture.status import CameraState, CameraStatus
from edgesdk.capture.supervisor import CaptureSupervisor

__all__ = [
    "CameraState",
    "CameraStatus",
    "CaptureSupervisor",
    "Kind",
    "Source",
    "parse_source",
]
