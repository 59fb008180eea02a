"""What a member tells the operator of itself: the document of the verb ``status``."""

from __future__ import annotations

import os
import time
from collections.abc import Sequence
from typing import TYPE_CHECKING

from edgesdk import __version__
from edgesdk.cluster.status import (
    GroupCounts,
    LinkStatus,
    LoadStatus,
    MachineStatus,
    MemberStatus,
    StreamStatus,
)
from edgesdk.inference.host import cores, cpu_seconds, proportional_bytes

if TYPE_CHECKING:
    from edgesdk.balance.peers import Peer as Seen
    from edgesdk.cluster.control import Peer
    from edgesdk.cluster.member import Member
    from edgesdk.runtime import Node

__all__ = ["status_of"]


def status_of(member: Member) -> MemberStatus:
    """Of a member that is attached; any thread."""
    node = member.node
    assert node is not None
    control = member.control.counters()
    streams = _streams(member)
    ended = sum(stream.passed - stream.open for stream in streams)
    seen, view = member.seen()
    host, port = member.control.address
    now = time.monotonic_ns()
    emulated = node.config.emulated
    return MemberStatus(
        node=member.identity.node_id,
        number=member.identity.number,
        pid=os.getpid(),
        site=member.config.site,
        version=__version__,
        cluster=member.identity.fingerprint,
        address=f"{host}:{port}",
        seconds=(now - member.started_ns) / 1e9,
        certificate_expires=member.identity.expires.isoformat(),
        emulated=None if emulated is None else emulated.name,
        load=LoadStatus(
            utilisation=round(member.local.utilisation(), 4),
            backlog_ms=round(member.local.backlog_ns(now) / 1e6, 1),
        ),
        machine=_machine(node),
        residents=_names(member, member.local.residents()),
        operators=_names(member, member.local.installed()),
        loading=member.loads.names(),
        groups=_groups(member),
        streams=streams,
        goodput=sum(stream.ok for stream in streams) / ended if ended else None,
        links=[_link(member, peer, seen.get(peer.number), now, view) for peer in member.peers()],
        view=sorted(view),
        control_bytes=control["bytes_sent"] + control["bytes_received"],
        refused_datagrams=member.refused_datagrams + sum(control.get(name, 0) for name in _REFUSED),
    )


_REFUSED = ("garbage", "oversized", "unknown", "discarded", "malformed", "early", "limited")


def _names(member: Member, models: Sequence[int]) -> list[str]:
    return sorted(name for name in map(member.local.name, models) if name)


def _groups(member: Member) -> GroupCounts:
    own, others = member.asking.counts, member.serving.counts
    return GroupCounts(
        kept=own.kept,
        offloaded=own.offloaded,
        dropped=own.dropped,
        open=member.asking.open(),
        retried=own.retried,
        duplicates=0 if member.node is None else member.node.duplicates,
        received=others.received,
        returned=others.returned,
        refused=others.refused,
        pending=max(0, others.received - others.returned - others.refused),
    )


def _machine(node: Node) -> MachineStatus:
    workers = () if node.supervisor is None else [node.supervisor.status(n).pid for n in node.feeds]
    pids = [os.getpid(), *(pid for pid in workers if pid)]
    return MachineStatus(
        cores=cores(),
        memory_total=os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES"),
        cpu_seconds=sum(cpu_seconds(pid) for pid in pids),
        memory=sum(proportional_bytes(pid) for pid in pids),
    )


def _streams(member: Member) -> list[StreamStatus]:
    assert member.node is not None
    found = []
    now = member.node.snapshot()
    for app, summary in now.applications.items():
        for camera, one in summary.cameras.items():
            frames = one.frames
            ended = frames.ok + frames.late + frames.dropped + frames.failed
            found.append(
                StreamStatus(
                    app=app,
                    camera=camera,
                    incarnation=now.cameras[camera].incarnations if camera in now.cameras else 0,
                    camera_state=now.cameras[camera].state if camera in now.cameras else "",
                    held=frames.held,
                    captured=frames.captured,
                    passed=frames.passed,
                    ok=frames.ok,
                    late=frames.late,
                    dropped=frames.dropped,
                    failed=frames.failed,
                    open=max(0, frames.passed - ended),
                )
            )
    return found


def _link(member: Member, peer: Peer, seen: Seen | None, now_ns: int, view: set[int]) -> LinkStatus:
    counts = member.asking.counts
    wire = counts.wire_ns.get(peer.number)
    host, port = peer.address
    return LinkStatus(
        node=peer.node_id,
        number=peer.number,
        address=f"[{host}]:{port}" if ":" in host else f"{host}:{port}",
        site=peer.site,
        version=peer.version,
        certificate_expires=peer.expires.isoformat(),
        watched=peer.number in view,
        suspect=seen is not None and seen.suspect_ns > now_ns,
        round_trip_ms=round(seen.srtt_ns / 1e6, 2) if seen is not None and seen.srtt_ns else None,
        wire_ms=None if wire is None else round(wire / 1e6, 2),
        sent=counts.sent.get(peer.number, 0),
        failed=counts.failed.get(peer.number, 0),
        misbehaved=member.conduct.count(peer.number),
        left_out=member.conduct.is_out(peer.number),
    )
