"""Real agents in network namespaces: cut links, strangers, removed nodes, clocks that are wrong."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import time
from collections.abc import Iterator
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import pytest

from edgesdk.cluster.authority import Authority
from edgesdk.cluster.control import Control, Hello
from edgesdk.cluster.identity import Identity
from tests.cluster.agents import Agent, Cluster, eventually, ledger_closes
from tests.cluster.namespaces import Lan, needs_namespaces
from tests.cluster.test_failures import check_ledgers, during, goodput, where

pytestmark = needs_namespaces

HOUR = 3600


@pytest.fixture(scope="module")
def lan() -> Iterator[Lan]:
    with Lan(5) as made:
        yield made


@pytest.fixture(scope="module")
def slow_clock(tmp_path_factory: pytest.TempPathFactory) -> Path:
    compiler = shutil.which("cc") or shutil.which("gcc")
    if compiler is None:
        pytest.skip("no C compiler")
    library = tmp_path_factory.mktemp("clock") / "clock.so"
    source = Path(__file__).with_name("clock.c")
    command = [compiler, "-O1", "-shared", "-fPIC", "-o", str(library), str(source), "-ldl"]
    subprocess.run(command, check=True)
    return library


@pytest.fixture(scope="module")
def cluster(
    cards: Any, lan: Lan, slow_clock: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Cluster]:
    """Found by discovery alone. The last one's UTC is an hour late, and since its monotonic clock
    counts from its own start, that is of another origin too."""
    with Cluster(tmp_path_factory.mktemp("network"), cards.cells, lan=lan) as made:
        made.add("busy", fps=30, service_ms=60, seeds=[], discovery=True)
        for name in ("one", "two"):
            made.add(name, fps=2, service_ms=60, seeds=[], discovery=True)
        late = made.add("late", fps=2, service_ms=60, seeds=[], discovery=True)
        late.environment = {"LD_PRELOAD": str(slow_clock), "EDGE_TEST_CLOCK_OFF": str(-HOUR)}
        made.start()
        yield made


@pytest.fixture
def busy(cluster: Cluster) -> Agent:
    return cluster.agents["busy"]


def test_nodes_that_know_no_address_find_each_other_and_share(
    cluster: Cluster, busy: Agent
) -> None:
    found = during(busy, 3)
    assert goodput(found) > 0.9
    assert sum(where(found).values()) - where(found)["busy"] > 20
    check_ledgers(cluster)


def test_a_clock_that_is_off_by_an_hour_does_not_matter(cluster: Cluster, busy: Agent) -> None:
    late = cluster.agents["late"]
    eventually(lambda: where(busy.records())["late"] > 5, "the late node works for busy")
    told = [record["captured"]["utc_ns"] for record in late.records()]
    assert told[-1] / 1e9 < time.time() - HOUR + 60
    assert goodput(late.records()[1:]) > 0.9


def test_cut_off_it_does_what_it_can_alone_and_comes_back(
    cluster: Cluster, busy: Agent, lan: Lan
) -> None:
    lan.cut(1)
    try:
        alone = during(busy, 4)
    finally:
        lan.mend(1)
    # The accelerator does half of what the camera sees, and groups that were under way are lost.
    assert 0.35 < goodput(alone) < 0.8
    assert not [record for record in alone if record["state"] == "failed"]
    eventually(lambda: goodput(during(busy, 1)) > 0.85, "busy shares again", 25)
    for name in ("one", "two"):
        assert goodput(cluster.agents[name].records()[1:]) > 0.9
    check_ledgers(cluster)


def test_a_peer_that_is_cut_off_is_left_alone_and_found_again(
    cluster: Cluster, busy: Agent, lan: Lan
) -> None:
    lan.cut(2)
    try:
        found = during(busy, 4)
        # Another one of its network notices nothing.
        assert goodput(cluster.agents["two"].records()[-5:]) == 1.0
    finally:
        lan.mend(2)
    assert goodput(found) > 0.8
    eventually(lambda: where(busy.records()[-60:])["one"] > 2, "one works for busy again", 25)
    check_ledgers(cluster)


def knock(lan: Lan, identity: Identity, target: Agent) -> str:
    """What comes of a handshake with *identity*, from the switch."""

    def try_it() -> str:
        joined: list[str] = []
        control = Control(
            identity,
            ("0.0.0.0", 0),
            hello=Hello("", 1, "0.1.0"),
            received=lambda peer, data: None,
            joined=lambda peer: joined.append(peer.node_id),
            left=lambda peer, reason: None,
            timer=lambda now, late: None,
        )
        control.start()
        try:
            control.reach(*target.address)
            eventually(lambda: joined or control.failures(), "an end of the handshake", 8)
            return joined[0] if joined else control.failures()[0].error.cause
        finally:
            control.close()

    return str(lan.call(try_it))


def test_strangers_expired_and_removed_nodes_do_not_get_in(
    cluster: Cluster, busy: Agent, lan: Lan, tmp_path: Path
) -> None:
    stranger = Authority.create(tmp_path / "other", "other").add("busy").bundle
    assert knock(lan, Identity.load(stranger), busy) != "busy"

    long_ago = datetime.now(timezone.utc) - timedelta(days=30)
    old = cluster.authority.add("old", days=1, now=long_ago).bundle
    assert knock(lan, Identity.load(old, now=long_ago), busy) != "busy"

    thief = Identity.load(cluster.authority.add("thief").bundle)
    assert knock(lan, thief, busy) == "busy"
    cluster.authority.remove("thief")
    cluster.agents["one"].ask("revoke", cluster.authority.revoked_der)
    eventually(lambda: "thief" not in busy.peers(), "the thief is dropped")

    def refused() -> bool:
        return knock(lan, thief, busy) != "busy"

    eventually(refused, "the list has come round to busy")
    assert goodput(during(busy, 1)) > 0.8
    check_ledgers(cluster)


def test_replayed_and_damaged_datagrams_of_members_change_nothing(
    cluster: Cluster, busy: Agent, lan: Lan
) -> None:
    before = busy.status()["refused_datagrams"]

    def replay() -> int:
        sent = 0
        with socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(3)) as wire:
            wire.bind(("p1", 0))  # busy's port of the switch
            wire.settimeout(5)
            while sent < 300:
                frame, (_, _, kind, *_rest) = wire.recvfrom(4096)
                udp = frame[12:14] == b"\x08\x00" and frame[23] == 17
                if kind != socket.PACKET_OUTGOING or not udp or frame[36:38] != b"\x1d\x10":
                    continue
                # No checksum: that of a frame on a veth pair was never made.
                frame = frame[:40] + b"\0\0" + frame[42:]
                for form in (frame, frame[:-9], frame[:60] + b"\xff" + frame[61:]):
                    wire.send(form)
                    sent += 1
        return sent

    assert lan.call(replay) >= 300
    after = eventually(
        lambda: busy.status()["refused_datagrams"] > before + 50 and busy.status(),
        "replays are discarded",
    )
    assert len(after["links"]) >= 3
    assert goodput(during(busy, 2)) > 0.8
    check_ledgers(cluster)


def test_the_ledgers_close_at_the_end(cluster: Cluster) -> None:
    """Last of all."""
    for agent in cluster.agents.values():
        summary = agent.stop()
        assert not list(ledger_closes(summary)), agent.name
        ids = [record["id"] for record in agent.records()]
        assert len(ids) == len(set(ids)), agent.name
    assert not [name for name in os.listdir("/dev/shm") if f"agent-{os.getpid()}-" in name]
