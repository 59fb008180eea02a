"""What one simulation is of: a size, a load, a seed, and what differs from the reference."""

from __future__ import annotations

import msgspec

from edgesdk.errors import UsageError

__all__ = ["CASES", "MAX_NODES", "Parameters", "case"]

MAX_NODES = 20_000


class Parameters(msgspec.Struct, frozen=True, kw_only=True):
    """The reference workload of the cluster, and every way to leave it.

    Rates of links are Mb/s, 0 = no such link; sizes are bytes.
    """

    nodes: int = 64
    load: float = 0.9
    """Offered work over what the pooled accelerators could do at most."""
    seed: int = 1
    duration_s: float = 40.0
    """Of arrivals; frames captured in the first *warm_up_s* do not count."""
    warm_up_s: float = 4.0
    deadline_ms: float = 1000.0
    """After the capture of a group's oldest frame."""
    group: int = 4
    fps: float = 15.0
    applications: int = 3
    """Of each camera, each with a model of its own."""
    frame_bytes: int = 60_000
    nic_mbps: float = 100.0
    latency_ms: float = 1.0
    """One way, between any two nodes."""
    region: int = 16
    """Nodes of a region: one switch, one radio cell, one uplink."""
    radio_mbps: float = 0.0
    """Of a region's shared air, which then replaces its nodes' NICs."""
    uplink_mbps: float = 0.0
    """Of a region, each direction, between it and the others."""
    behind_data: bool = False
    """Whether control datagrams and results wait behind frames in every queue, as on links
    without fair queueing."""
    burst_s: float = 8.0
    duty: float = 0.4
    correlation: float = 0.0
    """Share of the cameras that follow their region's bursts instead of their own."""
    diurnal: float = 0.0
    """Relative swing of the duty over *day_s*."""
    day_s: float = 60.0
    crash_share: float = 0.0
    """Of the nodes, all at *crash_at_s*."""
    crash_at_s: float = 20.0
    crashes_per_minute: float = 0.0
    """Of one node, at random."""
    repair_s: float = 0.0
    """After which a crashed node comes back, empty; 0 = never."""
    shift_at_s: float = 0.0
    """When half of the cameras turn to models that one node each holds; 0 = never."""
    gossip_s: float = 0.0
    """Period of digests; 0 = the policy's own."""
    everywhere: bool = False
    """Whether every node holds every model."""

    def __post_init__(self) -> None:
        def within(name: str, low: float, high: float) -> None:
            value = getattr(self, name)
            if not low <= value <= high:  # NaN too
                raise UsageError(f"{name} is {value:g}; it must be between {low:g} and {high:g}")

        within("nodes", 1, MAX_NODES)
        within("load", 0.01, 100)
        within("seed", 0, 2**63 - 1)
        within("warm_up_s", 0, 3600)
        within("duration_s", 0.1, 86_400)
        within("deadline_ms", 1, 60_000)
        within("group", 1, 8)
        within("fps", 0.1, 240)
        within("applications", 1, 6)
        within("frame_bytes", 1, 100_000_000)
        within("nic_mbps", 0.01, 1e6)
        within("latency_ms", 0, 10_000)
        within("region", 1, MAX_NODES)
        within("radio_mbps", 0, 1e6)
        within("uplink_mbps", 0, 1e6)
        within("burst_s", 0.01, 3600)
        within("duty", 0.01, 0.99)
        within("correlation", 0, 1)
        within("diurnal", 0, 0.99)
        within("day_s", 1, 86_400)
        within("crash_share", 0, 1)
        within("crash_at_s", 0, 86_400)
        within("crashes_per_minute", 0, 60)
        within("repair_s", 0, 86_400)
        within("shift_at_s", 0, 86_400)
        within("gossip_s", 0, 600)
        if self.warm_up_s >= self.duration_s:
            raise UsageError(
                f"duration_s is {self.duration_s:g}; it must be more than the warm-up of "
                f"{self.warm_up_s:g} s"
            )
        if self.nodes * self.duration_s > 2_000_000:
            raise UsageError(
                f"{self.nodes} nodes for {self.duration_s:g} s are more than a machine's memory "
                "holds; nodes times seconds must be at most 2,000,000"
            )


CASES: dict[str, dict[str, float | bool]] = {
    "reference": {},
    "radio50": {"radio_mbps": 50.0},
    "radio150": {"radio_mbps": 150.0},
    "nic10": {"nic_mbps": 10.0},
    "nic20": {"nic_mbps": 20.0},
    "uplink100": {"uplink_mbps": 100.0},
    "latency20": {"latency_ms": 20.0},
    "latency50": {"latency_ms": 50.0},
    "frame250": {"frame_bytes": 250_000},
    "deadline05": {"deadline_ms": 500.0},
    "group8": {"group": 8},
    "overload13": {"load": 1.3},
    "crash10": {"crash_share": 0.1, "load": 0.75},
    "crashes": {"crashes_per_minute": 0.5, "repair_s": 10.0, "load": 0.75},
    "shift": {"shift_at_s": 60.0, "duration_s": 140.0, "warm_up_s": 20.0, "load": 0.7},
    "regional": {"correlation": 0.6},
    "diurnal": {"diurnal": 0.6, "duration_s": 64.0},
    "everywhere": {"everywhere": True},
    "queued": {"behind_data": True, "nic_mbps": 20.0},
}
"""What each named case changes of the reference."""


def case(name: str, **changes: object) -> Parameters:
    """The parameters of a named case with *changes* on top.

    Raises:
        UsageError: there is no such case, or a value is out of range.
    """
    if name not in CASES:
        raise UsageError(f"there is no case {name!r}; there are: {', '.join(CASES)}")
    return Parameters(**{**CASES[name], **changes})  # type: ignore[arg-type]
