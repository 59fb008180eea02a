"""``edgesdk doctor --cluster``: what stands between this machine and its cluster, and its name.

Every test is harmless to a running agent: it takes no port of it, and replaces no association.
"""

from __future__ import annotations

import contextlib
import socket
import time
from collections.abc import Iterator, Sequence
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any, Literal

import msgspec

from edgesdk.cluster.administration import Conversation
from edgesdk.cluster.discovery import browse
from edgesdk.cluster.identity import Identity
from edgesdk.cluster.interfaces import local_networks
from edgesdk.cluster.knocking import knock
from edgesdk.errors import BundleError, Cause, PeerError

__all__ = ["Check", "ClusterDoctorDocument", "PeerReport", "diagnose"]

_SOON = timedelta(days=30)
_LOOK_SECONDS = 2.0
_CLOCK_SECONDS = 5.0
_GROUP = "224.0.0.251"

State = Literal["ok", "limited", "missing", "broken"]
Address = tuple[str, int]


class Check(msgspec.Struct, frozen=True, kw_only=True):
    """One thing that was looked at. *cause* is set where a connection failed."""

    name: str
    state: State
    detail: str
    next_step: str = ""
    cause: Cause | None = None


class PeerReport(msgspec.Struct, frozen=True, kw_only=True):
    """Another node; *clock_seconds* is how far its clock is ahead of this machine's."""

    address: str
    node: str
    version: str
    found: Literal["given", "discovered"]
    clock_seconds: float | None
    checks: list[Check]


class ClusterDoctorDocument(msgspec.Struct, frozen=True, kw_only=True):
    """What ``edgesdk doctor --cluster BUNDLE --json`` prints. ready: nothing here is broken."""

    schema: Literal[1] = 1
    command: Literal["doctor --cluster"] = "doctor --cluster"
    edgesdk: str
    bundle: str
    node: str
    role: str
    cluster: str
    expires: datetime | None
    ready: bool
    checks: list[Check]
    peers: list[PeerReport]


def diagnose(
    bundle: str | Path,
    peers: Sequence[Address],
    *,
    look_seconds: float = _LOOK_SECONDS,
    root: Path = Path("/"),
) -> ClusterDoctorDocument:
    """Looks at the bundle, this machine, and every peer given or discovered; raises no EdgeError.

    look_seconds: how long to wait for discovery. root: where ``proc`` is looked for.
    """
    from edgesdk import __version__

    checks: list[Check] = []
    reports: list[PeerReport] = []
    identity: Identity | None = None
    try:
        identity = Identity.load(bundle)
    except BundleError as error:
        step = "edgesdk cluster add NAME makes one" if not Path(bundle).exists() else ""
        checks.append(Check(name="bundle", state="broken", detail=str(error), next_step=step))
    else:
        checks.append(_bundle(identity, datetime.now(timezone.utc)))
    checks += [*_multicast(), *_congestion(root)]
    if identity is not None:
        reports, looked = _peers(identity, peers, look_seconds)
        checks.append(looked)
    every = checks + [check for report in reports for check in report.checks]
    return ClusterDoctorDocument(
        edgesdk=__version__,
        bundle=str(bundle),
        node=identity.node_id if identity else "",
        role=identity.role if identity else "",
        cluster=identity.fingerprint if identity else "",
        expires=identity.expires if identity else None,
        ready=not any(check.state == "broken" for check in every),
        checks=checks,
        peers=reports,
    )


def _bundle(identity: Identity, now: datetime) -> Check:
    left = identity.expires - now
    detail = (
        f"{identity.role} {identity.node_id}, number {identity.number}, of cluster "
        f"{identity.fingerprint[:16]}; until {identity.expires:%Y-%m-%d} ({left.days} days); "
        f"revocation list {identity.revocations.number}"
    )
    if left < _SOON:
        step = f"edgesdk cluster rotate {identity.node_id}, then put the new bundle here"
        return Check(name="bundle", state="limited", detail=detail, next_step=step)
    return Check(name="bundle", state="ok", detail=detail)


def _multicast() -> Iterator[Check]:
    """Whether a multicast datagram that leaves by each interface is heard on it."""
    networks = [n for n in local_networks() if not n.is_loopback]
    if not networks:
        yield Check(
            name="network",
            state="missing",
            detail="this machine has no IPv4 address but loopback",
            next_step="connect it (ip address shows the addresses)",
        )
    for network in networks:
        problem = _multicast_on(str(network.ip))
        if problem:
            yield Check(
                name=f"multicast on {network.ip}",
                state="limited",
                detail=f"{problem}; discovery does not work here, seeds do",
                next_step='[cluster] seeds = ["HOST:PORT"], or allow multicast on this interface',
            )
        else:
            yield Check(name=f"multicast on {network.ip}", state="ok", detail="sent and heard")


def _multicast_on(address: str) -> str:
    word = b"edgesdk doctor"
    local = socket.inet_aton(address)
    try:
        with (
            socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as ear,
            socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as mouth,
        ):
            ear.bind(("", 0))
            ear.setsockopt(
                socket.IPPROTO_IP, socket.IP_ADD_MEMBERSHIP, socket.inet_aton(_GROUP) + local
            )
            ear.settimeout(0.5)
            mouth.setsockopt(socket.IPPROTO_IP, socket.IP_MULTICAST_IF, local)
            mouth.setsockopt(socket.IPPROTO_IP, socket.IP_MULTICAST_LOOP, 1)
            mouth.sendto(word, (_GROUP, ear.getsockname()[1]))
            return "" if ear.recv(100) == word else "another datagram was heard"
    except TimeoutError:
        return "a multicast datagram that was sent is not heard"
    except OSError as error:
        return f"multicast fails: {error.strerror}"


def _congestion(root: Path) -> Iterator[Check]:
    base = root / "proc/sys/net/ipv4"
    with contextlib.suppress(OSError):
        used = (base / "tcp_congestion_control").read_text().strip()
        if used == "bbr":
            yield Check(name="TCP congestion control", state="ok", detail="bbr")
            return
        yield Check(
            name="TCP congestion control",
            state="ok",
            detail=f"{used}; over Wi-Fi that loses 1 % of its packets, bbr carried 500 KB in 54 ms "
            "where reno took 376",
            next_step="on Wi-Fi: sysctl -w net.ipv4.tcp_congestion_control=bbr",
        )


def _peers(
    identity: Identity, given: Sequence[Address], look_seconds: float
) -> tuple[list[PeerReport], Check]:
    found, strangers = browse(identity, look_seconds) if look_seconds else ([], [])
    discovered = [(node.addresses[0], node.port) for node in found]
    reports = [_peer(identity, address, "given") for address in given]
    reports += [_peer(identity, a, "discovered") for a in discovered if a not in given]
    if found:
        names = ", ".join(sorted(node.node_id for node in found))
        return reports, Check(name="discovery", state="ok", detail=f"found {names}")
    if strangers:
        names = ", ".join(f"{s.node_id} ({s.cluster})" for s in strangers[:8])
        return reports, Check(
            name="discovery",
            state="limited",
            detail=f"only nodes of another cluster were heard: {names}; this one's is "
            f"{identity.fingerprint[:16]}",
            next_step=_STEPS["another cluster"],
            cause="another cluster",
        )
    return reports, Check(
        name="discovery",
        state="limited",
        detail=f"no other node of this cluster was heard within {look_seconds:g} s",
        next_step="is an agent running on another node, on this LAN? does the switch or access "
        "point pass multicast? else give [cluster] seeds, and doctor --peer HOST:PORT",
    )


def _peer(
    identity: Identity, address: Address, found: Literal["given", "discovered"]
) -> PeerReport:
    checks = [_udp(address)]
    about: dict[str, Any] = {}
    ahead: float | None = None
    try:
        asked = time.time()
        conversation = Conversation(identity, address, timeout=4)
        said = conversation.ask("who", None)
        about = said if isinstance(said, dict) else {}
        middle = (asked + time.time()) / 2
        checks.append(Check(name="TLS", state="ok", detail="both certificates are accepted"))
        if isinstance(about.get("utc"), float):
            ahead = round(about["utc"] - middle, 3)
            checks.append(_clock(ahead))
        node, version = conversation.subject.node_id, conversation.version
    except PeerError as error:
        node = version = ""
        checks.append(
            Check(
                name="TLS",
                state="broken",
                detail=str(error),
                cause=error.cause,
                next_step=_STEPS.get(error.cause, ""),
            )
        )
    port = about.get("data_port")
    if isinstance(port, int) and 0 < port < 65536:
        checks.append(_data((address[0], port)))
    return PeerReport(
        address=f"{address[0]}:{address[1]}",
        node=node,
        version=version,
        found=found,
        clock_seconds=ahead,
        checks=checks,
    )


_STEPS: dict[Cause, str] = {
    "another cluster": "give both nodes bundles that one operator made: edgesdk cluster add NAME",
    "expired": "edgesdk cluster rotate NAME, and put the new bundle on the node",
    "clock": "set both clocks: timedatectl set-ntp true",
    "removed": "edgesdk cluster add NAME makes it a member again",
    "not listening": "start edgesdk agent there; compare its [cluster] listen",
    "unreachable": "is it on this network? ping it; open TCP and UDP of its [cluster] listen",
    "silent": "open TCP and UDP of its [cluster] listen in the firewalls on both sides",
    "protocol": "something else uses that port: compare its [cluster] listen",
}


def _udp(address: Address) -> Check:
    try:
        trip = knock(address)
    except PeerError as error:
        return Check(
            name="UDP",
            state="broken",
            detail=str(error),
            cause=error.cause,
            next_step=_STEPS.get(error.cause, ""),
        )
    return Check(name="UDP", state="ok", detail=f"answers in {trip * 1000:.1f} ms")


def _clock(ahead: float) -> Check:
    detail = f"{abs(ahead):.3f} s {'ahead of' if ahead > 0 else 'behind'} this machine's"
    if abs(ahead) < _CLOCK_SECONDS:
        return Check(name="clock", state="ok", detail=detail)
    return Check(
        name="clock",
        state="limited",
        detail=f"{detail}: captured times of the two do not compare, and certificates may be "
        "judged wrongly",
        next_step="set both clocks: timedatectl set-ntp true",
    )


def _data(address: Address) -> Check:
    where = f"{address[0]}:{address[1]}"
    try:
        socket.create_connection(address, 2).close()
    except OSError as error:
        return Check(
            name="data port",
            state="broken",
            detail=f"{where}: {error.strerror or 'no answer'}: frames cannot be sent there",
            next_step="open TCP of its [cluster] data in the firewalls",
        )
    return Check(name="data port", state="ok", detail=f"{where} is open")
