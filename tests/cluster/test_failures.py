"""A cluster of real agents whose members die, freeze, lie and come back: nothing is lost of it."""

from __future__ import annotations

import json
import random
import signal
import socket
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Iterator
from itertools import count
from pathlib import Path
from typing import Any

import pytest

from edgesdk.balance.messages import Offer
from edgesdk.cluster import zenoh_sessions
from edgesdk.cluster.identity import Identity
from edgesdk.models import load_card
from tests.cluster.agents import Agent, Cluster, eventually, ledger_closes
from tests.cluster.impostor import Impostor


@pytest.fixture(scope="module")
def cluster(cards: Any, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    """One camera that sees twice what its accelerator can do, three that have time, and one whose
    frames stay at home."""
    with Cluster(tmp_path_factory.mktemp("failures"), cards.cells) as made:
        made.add("busy", fps=30, service_ms=60)
        for name in ("one", "two", "three"):
            made.add(name, fps=2, service_ms=60)
        made.add("shy", fps=2, service_ms=60, frames="node")
        made.start()
        yield made


@pytest.fixture
def busy(cluster: Cluster) -> Agent:
    return cluster.agents["busy"]


def model_of(cards: Any) -> int:
    return int(load_card(Path(cards.cells)).digest[:16], 16)


def where(records: list[dict[str, Any]]) -> Counter[str]:
    """Which node made each result that is good."""
    return Counter(
        record["provenance"][0]["executed_on"].partition("/")[0]
        for record in records
        if record["state"] == "ok"
    )


def during(agent: Agent, seconds: float) -> list[dict[str, Any]]:
    """The results of frames that end in the next seconds."""
    before = len(agent.records())
    time.sleep(seconds)  # what is measured is a rate: there is no event to wait for
    return agent.records()[before:]


def goodput(records: list[dict[str, Any]]) -> float:
    return sum(record["state"] == "ok" for record in records) / len(records)


def check_ledgers(cluster: Cluster) -> None:
    """While all runs: no result came twice, and the counts of each camera add up."""
    for agent in cluster.agents.values():
        ids = [record["id"] for record in agent.records()]
        assert len(ids) == len(set(ids)), agent.name
        for stream in agent.status().get("streams", ()):
            ended = sum(stream[state] for state in ("ok", "late", "dropped", "failed", "open"))
            assert stream["passed"] == ended


def test_a_spike_is_carried_by_the_others(cluster: Cluster, busy: Agent) -> None:
    found = during(busy, 3)
    places = where(found)
    assert goodput(found) > 0.9
    assert places["busy"] > 10
    assert sum(places.values()) - places["busy"] > 20
    assert len(places) >= 3
    assert "shy" not in where(cluster.agents["one"].records())
    check_ledgers(cluster)


def test_the_operator_sees_members_residents_and_links(cluster: Cluster, busy: Agent) -> None:
    words = [sys.executable, "-m", "edgesdk.cli.main", "cluster"]
    options = ["--bundle", str(cluster.authority.operator_bundle), "--peer"]
    options += [f"{busy.host}:{busy.port}", "--json"]
    for command in (["status"], ["top", "--duration", "0.5"]):
        done = subprocess.run([*words, *command, *options], capture_output=True, check=True)
        document = json.loads(done.stdout)
        members = {member["node"]: member for member in document["members"]}
        assert members.keys() == cluster.agents.keys()
        assert document["silent"] == document["expiring"] == []
        assert members["busy"]["residents"] == ["cells"]
        assert {link["node"] for link in members["busy"]["links"]} == members.keys() - {"busy"}
        groups = members["busy"]["groups"]
        assert groups["offloaded"] > 0
        assert sum(member["groups"]["returned"] for member in members.values()) > 0


def test_frames_that_may_not_leave_their_node_do_not(cluster: Cluster) -> None:
    records = cluster.agents["shy"].records()
    assert records
    assert where(records).keys() <= {"shy"}


def test_a_killed_peer_is_replaced_at_once_and_rejoins_under_its_name(
    cluster: Cluster, busy: Agent
) -> None:
    victim = cluster.agents["one"]
    eventually(lambda: where(busy.records()[-60:])["one"] > 2, "one works for busy")
    victim.kill()
    try:
        found = during(busy, 2)
        assert goodput(found) > 0.85
        assert not [record for record in found if record["state"] == "failed"]
        eventually(lambda: "one" not in busy.peers(), "one has left", 3)
        others = cluster.agents["two"].status()
        assert others["goodput"] is None or others["goodput"] > 0.95
    finally:
        victim.start()
        cluster.meet()
    eventually(lambda: where(busy.records()[-60:])["one"] > 2, "one works for busy again")
    check_ledgers(cluster)


def test_a_frozen_peer_costs_its_groups_little_and_is_used_again(
    cluster: Cluster, busy: Agent
) -> None:
    victim = cluster.agents["two"]
    victim.signal(signal.SIGSTOP)
    try:
        found = during(busy, 3)
    finally:
        victim.signal(signal.SIGCONT)
    assert goodput(found) > 0.8
    assert not [record for record in found if record["state"] == "failed"]
    eventually(lambda: where(busy.records()[-90:])["two"] > 2, "two works for busy again")
    check_ledgers(cluster)


def test_a_slow_peer_slows_nobody_but_itself(cluster: Cluster, busy: Agent) -> None:
    victim = cluster.agents["three"]
    over = threading.Event()

    def stutter() -> None:
        while not over.is_set():
            victim.signal(signal.SIGSTOP)
            over.wait(0.25)
            victim.signal(signal.SIGCONT)
            over.wait(0.05)

    thread = threading.Thread(target=stutter)
    thread.start()
    try:
        found = during(busy, 3)
    finally:
        over.set()
        thread.join()
    assert goodput(found) > 0.75
    assert goodput(cluster.agents["one"].records()) > 0.9
    check_ledgers(cluster)


def test_a_member_that_lies_about_its_load_is_found_out(
    cluster: Cluster, busy: Agent, cards: Any
) -> None:
    identity = Identity.load(cluster.authority.add("liar").bundle)
    peers = [agent.address for agent in cluster.agents.values()]
    with Impostor(identity, model_of(cards), peers) as liar:
        eventually(lambda: liar.groups > 0, "busy believes the liar")
        found = during(busy, 4)
        assert liar.groups < 0.35 * len(found)  # it is asked less, having answered nothing
    assert goodput(found) > 0.7
    assert not [record for record in found if record["state"] == "failed"]
    eventually(lambda: "liar" not in busy.peers(), "the liar has left")
    check_ledgers(cluster)


def link_to(agent: Agent, name: str) -> dict[str, Any]:
    return next(link for link in agent.status()["links"] if link["node"] == name)


def test_a_member_that_answers_nonsense_is_left_out_and_the_log_stays_short(
    cluster: Cluster, busy: Agent, cards: Any
) -> None:
    identity = Identity.load(cluster.authority.add("babbler").bundle)
    with Impostor(identity, model_of(cards), [busy.address], junk=b"\xff" * 40) as babbler:
        eventually(lambda: babbler.groups > 0, "busy believes the babbler")
        found = during(busy, 3)
        assert babbler.groups <= link_to(busy, "babbler")["misbehaved"] + 1
    assert goodput(found) > 0.8
    assert not [record for record in found if record["state"] == "failed"]
    assert 1 <= busy.log().count("babbler: an answer") <= 3
    check_ledgers(cluster)


def test_hostile_messages_of_a_member_are_refused_and_change_nothing(
    cluster: Cluster, busy: Agent, cards: Any
) -> None:
    identity = Identity.load(cluster.authority.add("fuzzer").bundle)
    rng = random.Random(7)
    offer = Offer(1, model_of(cards), 0, 1, 10**9, 10**6, 10_000)
    with Impostor(identity, model_of(cards), [busy.address]) as peer:
        eventually(lambda: peer.control.peers(), "the fuzzer joins")
        before = busy.status()["refused_datagrams"]
        for number in range(600):
            data = bytearray(offer._replace(number=number).pack())
            form = number % 4
            if form == 0:
                data = bytearray(rng.randbytes(rng.randrange(1, 1100)))
            elif form == 1:
                del data[rng.randrange(1, len(data)) :]
            elif form == 2:
                data[rng.randrange(len(data))] ^= 1 << rng.randrange(8)
            else:
                data += rng.randbytes(1000)
            peer.send(bytes(data))
        eventually(lambda: busy.status()["refused_datagrams"] > before, "refusals are counted")
        eventually(lambda: link_to(busy, "fuzzer")["left_out"], "it is left out")
    assert busy.process is not None
    assert busy.process.poll() is None
    assert goodput(during(busy, 2)) > 0.8
    check_ledgers(cluster)


def test_a_member_that_floods_takes_nothing_from_others(
    cluster: Cluster, busy: Agent, cards: Any
) -> None:
    identity = Identity.load(cluster.authority.add("flood").bundle)
    with Impostor(identity, model_of(cards), [busy.address]) as peer:
        eventually(lambda: peer.control.peers(), "the flood joins")
        before, end = len(busy.records()), time.monotonic() + 2.5
        offer = Offer(1, model_of(cards), 0, 1, 10**9, 10**6, 10_000)
        for turn in count():
            for number in range(15):
                peer.send(offer._replace(number=15 * turn + number).pack())
            time.sleep(0.01)  # more than 1,500 a second would take the processor from the others
            if time.monotonic() > end:
                break
        assert link_to(busy, "flood")["left_out"]
        assert goodput(busy.records()[before:]) > 0.8
    assert busy.peers() >= {"one", "two", "three"}


def test_a_removed_members_sessions_end_when_the_list_arrives(
    cluster: Cluster, busy: Agent, cards: Any
) -> None:
    thief = Identity.load(cluster.authority.add("thief").bundle)
    with Impostor(thief, model_of(cards), [busy.address]):
        eventually(lambda: "thief" in busy.peers(), "the thief joins")
        session = zenoh_sessions.open_session(thief, busy.host, busy.port + 1)
        try:
            (link,) = session.info.links()
            cluster.authority.remove("thief")
            cluster.agents["one"].ask("revoke", cluster.authority.revoked_der)
            eventually(lambda: "thief" not in busy.peers(), "it is no peer", 3)
            # zenoh connects again by itself, which on loopback no filter of addresses prevents.
            eventually(lambda: link.src not in [x.src for x in session.info.links()], "its end", 1)
        finally:
            zenoh_sessions.close(session)
    assert goodput(during(busy, 1)) > 0.8


def test_a_newer_version_may_say_more(cluster: Cluster, cards: Any) -> None:
    identity = Identity.load(cluster.authority.add("newer").bundle)
    idle = cluster.agents["one"]
    offer = Offer(5, model_of(cards), 0, 1, 10**9, 10**6, 10_000)
    with Impostor(identity, model_of(cards), [idle.address]) as peer:
        eventually(lambda: peer.control.peers(), "the newer node joins")
        peer.send(bytes([0x7E, 0x1F]) + b"a kind of tomorrow")
        peer.send(bytes([0xF0]) + b"and one of the control plane")
        data = bytearray(offer.pack())
        data[1] = (data[1] & 0xF0) | 0x0F  # a later minor version, and fields that came with it
        peer.send(bytes(data) + b"more fields")
        eventually(lambda: peer.answers, "the offer is answered")
    assert peer.answers[0].number == 5
    check_ledgers(cluster)


def test_datagrams_of_strangers_cost_nothing(cluster: Cluster, busy: Agent) -> None:
    rng = random.Random(3)
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as stranger:
        for size in (0, 1, 13, 60, 200, 1200, 1500, 9000, 60_000) * 30:
            stranger.sendto(rng.randbytes(size), busy.address)
        for _ in range(300):  # half-open handshakes: the record of a ClientHello, and no more
            body = bytes([1, 0, 0, 60, 0, 0, 0, 0, 0, 0, 0, 60]) + rng.randbytes(60)
            head = bytes([22, 254, 255]) + bytes(8) + len(body).to_bytes(2, "big")
            stranger.sendto(head + body, busy.address)
    assert goodput(during(busy, 2)) > 0.8
    assert busy.peers() >= {"one", "two", "three"}
    check_ledgers(cluster)


def test_the_ledgers_close_at_the_end(cluster: Cluster) -> None:
    """Last of all: every agent is asked to end, and every frame has one end."""
    for agent in cluster.agents.values():
        summary = agent.stop()
        assert not list(ledger_closes(summary)), agent.name
        recorded = Counter(record["state"] for record in agent.records())
        ids = {record["id"] for record in agent.records()}
        assert len(ids) == sum(recorded.values()), agent.name
