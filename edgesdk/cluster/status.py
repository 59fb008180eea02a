"""What a member tells of itself: the answer of the administration verb ``status``.

``edgesdk cluster status`` gathers the answers of all members into one :class:`ClusterStatus`, and
``edgesdk cluster top`` does so again and again.
"""

from __future__ import annotations

from typing import Annotated, Literal

import msgspec

__all__ = [
    "ClusterStatus",
    "GroupCounts",
    "LinkStatus",
    "LoadStatus",
    "MachineStatus",
    "MemberStatus",
    "SilentMember",
    "StreamStatus",
]

Count = Annotated[int, msgspec.Meta(ge=0)]


class GroupCounts(msgspec.Struct, frozen=True, kw_only=True):
    """Frame groups since the agent started.

    Of those of this node's own cameras, each is in one of *kept* (run here), *offloaded* (answered
    by a peer), *dropped* and *open*. *retried* counts deliveries that failed and were placed again,
    *duplicates* results that came after another had been taken. *received* came from peers, and
    each of those is in one of *returned*, *refused* and *pending*.
    """

    kept: Count = 0
    offloaded: Count = 0
    dropped: Count = 0
    open: Count = 0
    retried: Count = 0
    duplicates: Count = 0
    received: Count = 0
    returned: Count = 0
    refused: Count = 0
    pending: Count = 0


class LinkStatus(msgspec.Struct, frozen=True, kw_only=True):
    """A peer as one member sees it.

    *watched*: it is in this member's view. *suspect*: it has been silent. *round_trip_ms* is that
    of offers, *wire_ms* what a group and its answer spend on the way beyond the service; None
    before the first. *sent* and *failed* count groups delivered to it, *misbehaved* what it sent
    or did that no sound node does; *left_out*: for a while, because of that.
    """

    node: str
    number: Count
    address: str
    site: str = ""
    version: str = ""
    certificate_expires: str
    watched: bool = False
    suspect: bool = False
    round_trip_ms: float | None = None
    wire_ms: float | None = None
    sent: Count = 0
    failed: Count = 0
    misbehaved: Count = 0
    left_out: bool = False


class StreamStatus(msgspec.Struct, frozen=True, kw_only=True):
    """One application on one camera: how the frames that passed its gate ended.

    *incarnation* counts the connections to the camera; *held* frames did not pass the gate.
    ``passed = ok + late + dropped + failed + open`` at every moment.
    """

    app: str
    camera: str
    camera_state: str = ""
    held: Count = 0
    incarnation: Count = 0
    captured: Count = 0
    passed: Count = 0
    ok: Count = 0
    late: Count = 0
    dropped: Count = 0
    failed: Count = 0
    open: Count = 0


class MachineStatus(msgspec.Struct, frozen=True, kw_only=True):
    """What the node's machine has, and what the agent and its workers use of it.

    *cpu_seconds* since each process began; *memory* in bytes, shared pages counted by share.
    """

    cores: Count
    memory_total: Count
    cpu_seconds: float
    memory: Count


class LoadStatus(msgspec.Struct, frozen=True, kw_only=True):
    """How busy the node is: *backlog_ms* of work running, queued and promised; *utilisation* is
    the part of the last seconds that its accelerators worked, 0 to 1."""

    utilisation: float = 0.0
    backlog_ms: float = 0.0


class MemberStatus(msgspec.Struct, frozen=True, kw_only=True):
    """One member of a cluster, as it sees itself and its peers.

    *residents*: names of the loaded models; *loading*: those on their way; *operators*: names of
    applications' own operators that can be run for any member that has the same. *control_bytes*
    counts datagrams both ways since the start, with the overhead of IP, UDP and DTLS. *goodput* is
    ok / (passed - open); None where nothing has ended.
    """

    schema: Literal[1] = 1
    node: str
    number: Count
    pid: Count = 0
    site: str = ""
    version: str
    cluster: str
    address: str
    seconds: float
    certificate_expires: str
    emulated: str | None = None
    load: LoadStatus = LoadStatus()
    machine: MachineStatus | None = None
    residents: list[str] = []
    operators: list[str] = []
    loading: list[str] = []
    groups: GroupCounts = GroupCounts()
    streams: list[StreamStatus] = []
    goodput: float | None = None
    links: list[LinkStatus] = []
    view: list[int] = []
    control_bytes: Count = 0
    refused_datagrams: Count = 0


class SilentMember(msgspec.Struct, frozen=True, kw_only=True):
    """A member that others know of and that did not answer."""

    node: str
    number: Count
    address: str
    reason: str


class ClusterStatus(msgspec.Struct, frozen=True, kw_only=True):
    """What ``cluster status --json`` prints: *members* by number; *expiring* names those whose
    certificate ends within 30 days."""

    schema: Literal[1] = 1
    command: Literal["cluster status"] = "cluster status"
    cluster: str
    members: list[MemberStatus]
    silent: list[SilentMember] = []
    expiring: list[str] = []
    goodput: float | None = None
