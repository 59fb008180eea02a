"""The JSON documents that the web surface answers with."""

from __future__ import annotations

from typing import Literal

import msgspec

from edgesdk.records import CameraFrames, SinkStats
from edgesdk.snapshot import CameraView, NodeSnapshot

__all__ = ["CameraNow", "CamerasDocument", "HealthDocument", "ReadyDocument", "cameras_document"]


class HealthDocument(msgspec.Struct, frozen=True, kw_only=True):
    """``/healthz``: the agent answers."""

    schema: Literal[1] = 1
    status: Literal["ok"] = "ok"
    node: str
    version: str
    seconds: float


class ReadyDocument(msgspec.Struct, frozen=True, kw_only=True):
    """``/readyz``: whether every session is warm; *not_ready* says what is missing."""

    schema: Literal[1] = 1
    ready: bool
    not_ready: list[str]


class CameraNow(msgspec.Struct, frozen=True, kw_only=True):
    """One camera: how it is, and what each application makes of it."""

    camera: CameraView
    applications: dict[str, CameraFrames]


class CamerasDocument(msgspec.Struct, frozen=True, kw_only=True):
    """``/cameras``: the node's cameras now, and where its results go."""

    schema: Literal[1] = 1
    node: str
    version: str
    seconds: float
    ready: bool
    cameras: dict[str, CameraNow]
    sinks: dict[str, SinkStats]


def cameras_document(snapshot: NodeSnapshot) -> CamerasDocument:
    cameras = {
        name: CameraNow(
            camera=camera,
            applications={
                app: summary.cameras[name]
                for app, summary in snapshot.applications.items()
                if name in summary.cameras
            },
        )
        for name, camera in snapshot.cameras.items()
    }
    return CamerasDocument(
        node=snapshot.name,
        version=snapshot.version,
        seconds=round(snapshot.seconds, 3),
        ready=snapshot.ready,
        cameras=cameras,
        sinks=dict(snapshot.sinks),
    )
