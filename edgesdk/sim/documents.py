"""What a simulation says: one figure set a policy, and the document that ``edgesdk sim`` prints."""

from __future__ import annotations

from typing import Literal

import msgspec

from edgesdk.sim.parameters import Parameters

__all__ = ["Figures", "Moment", "SimDocument"]


class Moment(msgspec.Struct, frozen=True, kw_only=True):
    """Frames captured from *at_s* on until the next moment."""

    at_s: float
    goodput: float
    loads: int


class Figures(msgspec.Struct, frozen=True, kw_only=True):
    """What one policy did. Shares are of frames that passed the gate after the warm-up."""

    policy: str
    goodput: float
    """Frames whose values were back before their group's deadline; frames of a camera that
    crashed leave the count, frames lost on a crashed executor stay."""
    p10_camera: float
    """The goodput of the camera that is better than a tenth of them."""
    worst_model: float
    by_model: list[float]
    by_class: dict[str, float]
    """By the class of the camera's own accelerator."""
    frames: int
    late: int
    lost: int
    """Frames on crashed executors, or in no one's hands at the end: neither dropped nor late."""
    dropped: dict[str, int]
    """Groups by reason, the warm-up included."""
    duplicates: int
    """Results that came a second time, of groups."""
    groups: int
    executed: int
    """Groups that ran on some accelerator: more than ended ok are late, duplicates or lost."""
    offloaded_share: float
    """Groups whose values came from another node, over those that ended ok."""
    latency_p50_ms: float
    latency_p99_ms: float
    """Capture of the oldest frame to the values at the camera, of what ended ok or late."""
    control_bytes_mean: float
    """A second and node, sent, with IP, UDP, DTLS and handshakes, after the warm-up."""
    control_bytes_max: float
    """Of the node that sent most."""
    control_bytes_received_max: float
    data_bytes: float
    """A second and node, sent."""
    loads: int
    loads_per_node: float
    timeline: list[Moment]
    """For every 5 s of capture."""
    events: int


class SimDocument(msgspec.Struct, frozen=True, kw_only=True):
    """What ``edgesdk sim --json`` prints. Except for *seconds* and *decision_us* equal arguments
    give equal bytes."""

    schema: Literal[1] = 1
    command: Literal["sim"] = "sim"
    edgesdk: str
    case: str
    parameters: Parameters
    scale: float
    """By which the reference's service times are multiplied, so that the load is as asked."""
    pooled: float
    """The fluid bound: no policy can do better."""
    oracle: float | None
    """Goodput of the omniscient dispatcher, the best of its rules; null with ``--no-oracle``."""
    oracle_rule: int | None
    policy: str
    """The policy of the keys below; ``policies`` has all that ran."""
    goodput: float
    p10_camera: float
    worst_model: float
    control_bytes_mean: float
    control_bytes_max: float
    policies: list[Figures]
    decision_us: float | None
    """Median wall time of a placing decision of our policy on this machine; null for others."""
    seconds: float
    """Wall time."""
