"""What a camera is doing: the five states, and the numbers beside them."""

from __future__ import annotations

from enum import Enum

import msgspec

__all__ = ["CameraState", "CameraStatus"]


class CameraState(str, Enum):
    """What a camera is doing; the values are the contract's words."""

    CONNECTING = "connecting"
    STREAMING = "streaming"
    STALLED = "stalled"
    RECONNECTING = "reconnecting"
    ENDED = "ended"


class CameraStatus(msgspec.Struct, frozen=True, kw_only=True):
    """One camera at one moment. Immutable; also what a worker writes as a line of JSON."""

    state: CameraState = CameraState.CONNECTING
    reason: str | None = None
    """Why it is in this state, for people; without credentials."""
    failed: bool = False
    """With `ended`: the source could not be read, rather than came to its end."""
    frames: int = 0
    """Frames committed to the ring, over all restarts."""
    restarts: int = 0
    """How often a worker died or was killed, and another took its place."""
    fps: float = 0.0
    """Measured over the last seconds."""
    width: int = 0
    height: int = 0
    codec: str = ""
    incarnation: int = 0
    """Connections so far: the first frame has 1. It is the ring's epoch of the newest frame."""
    decode_errors: int = 0
    """Packets or pictures that could not be decoded."""
    dropped_full: int = 0
    """Frames that found every slot of the ring held by a reader."""
    sequence: int = -1
    """Of the newest frame in the ring; -1 before the first."""
    origin_ns: int = 0
    """Of a file or scene: where its first frame lies on CLOCK_MONOTONIC, seen from the newest one:
    it moves when the source waits or falls behind, since media time does not. 0: not known."""
    pid: int = 0
    """Of the worker; 0 when none runs."""
