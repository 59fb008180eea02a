"""The data plane between real processes: what arrives, what fails, and what it costs others."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
from datetime import datetime, timedelta, timezone
from pathlib import Path

import pytest

from edgesdk.cluster import zenoh_sessions
from edgesdk.cluster.authority import Authority
from edgesdk.cluster.data import DataPlane, GroupHeader, Picture, Reply
from edgesdk.cluster.doorkeeper import SESSIONS_A_PEER
from edgesdk.cluster.groups import pack_envelope
from edgesdk.cluster.identity import Identity
from edgesdk.errors import EdgeError
from tests.cluster.data_planes import Call, There, until

LONG_AGO = datetime.now(timezone.utc) - timedelta(days=400)


def test_a_group_reaches_the_peer_and_its_answer_comes_back(plane, start_peer):
    peer = start_peer(2)
    call = Call(plane, peer.there, b"e" * 200_000, number=7, seconds=3)
    answer = call.reply()
    assert answer.body == b"e" * 200_000
    assert answer.provenance == b"made here"
    assert 0 < answer.wire_ns < call.seconds * 1e9
    _, number, origin, left_ms = peer.line("group").split()
    assert (number, origin) == ("7", "2")  # numbers: operator 1, node-2... in order of addition
    assert 2000 < int(left_ms) <= 3000
    assert peer.count()["held"] == [0, 0]


def test_calls_to_a_killed_peer_end_at_once_and_its_restart_is_found(plane, start_peer):
    peer = start_peer(2)
    Call(plane, peer.there).reply()
    calls = [Call(plane, peer.there, b"keep", number=i) for i in range(3)]
    for _ in calls:
        peer.line("group")
    killed = time.monotonic()
    peer.close()
    assert {call.failure().reason for call in calls} == {"lost"}
    assert all(call.failure().sent for call in calls)
    assert time.monotonic() - killed < 0.05
    gone = Call(plane, peer.there)
    assert gone.failure().reason == "unreachable"
    assert not gone.failure().sent
    assert gone.seconds < 0.2
    again = start_peer(2, peer.port)
    begun = time.monotonic()
    until(lambda: isinstance(Call(plane, again.there).result(), Reply))
    assert time.monotonic() - begun < 0.5


def test_a_frozen_peer_costs_its_own_calls_their_time_and_others_nothing(plane, start_peer):
    frozen, other = start_peer(2), start_peer(3)
    for peer in (frozen, other):
        Call(plane, peer.there).reply()
    frozen.signal(signal.SIGSTOP)
    # more than the sockets' buffers hold, so that sending itself waits
    late = [Call(plane, frozen.there, b"e" * 2_000_000, seconds=0.4) for _ in range(8)]
    assert Call(plane, other.there).reply()
    assert max(call.handing_over for call in late) < 0.05
    for call in late:
        assert call.failure().reason == "deadline"
        assert call.seconds == pytest.approx(0.4, abs=0.05)
    frozen.signal(signal.SIGCONT)
    until(lambda: isinstance(Call(plane, frozen.there, seconds=1).result(), Reply))
    assert all(len(call.outcomes) == 1 for call in late)


def test_a_peer_that_has_moved_is_reached_while_its_old_link_hangs(plane, start_peer):
    old = start_peer(2)
    Call(plane, old.there).reply()
    old.signal(signal.SIGSTOP)
    stuck = [Call(plane, old.there, b"e" * 2_000_000, seconds=0.3) for _ in range(4)]
    assert {call.failure().reason for call in stuck} == {"deadline"}
    moved = start_peer(2)
    call = Call(plane, moved.there)
    assert call.reply()
    assert call.seconds < 0.5


def test_a_cancelled_call_ends_here_and_there(plane, start_peer):
    peer = start_peer(2)
    call = Call(plane, peer.there, b"keep", number=9)
    peer.line("group 9")
    call.delivery.cancel()
    assert call.failure().reason == "cancelled"
    assert call.seconds < 1
    assert peer.line("cancelled") == "cancelled 9"
    assert peer.count()["counts"]["in:cancelled"] == 1
    call.delivery.cancel()
    assert Call(plane, peer.there).reply()
    assert len(call.outcomes) == 1


def test_what_is_late_or_cancelled_while_it_waits_is_never_run(plane, start_peer):
    peer = start_peer(2)
    Call(plane, peer.there).reply()
    slow = [Call(plane, peer.there, b"slow", number=i) for i in (1, 2)]
    late = Call(plane, peer.there, number=3, seconds=0.1)
    unwanted = Call(plane, peer.there, number=4)
    unwanted.delivery.cancel()
    last = Call(plane, peer.there, number=5)
    assert late.failure().reason == "deadline"
    assert [call.reply().body for call in slow] == [b"slow", b"slow"]
    last.reply()
    ran = {line.split()[1] for line in peer.lines() if line.startswith("group")}
    assert ran == {"1", "2", "5"}


def test_a_peer_that_does_not_answer_is_let_go_at_the_deadline(plane, start_peer):
    peer = start_peer(2)
    call = Call(plane, peer.there, b"keep", seconds=0.3)
    assert call.failure().reason == "deadline"
    assert peer.line("cancelled")
    assert until(lambda: peer.count()["held"] == [0, 0])


def test_an_unknown_token_gets_nothing_and_is_counted(plane, start_peer):
    peer = start_peer(2)
    calls = [
        Call(plane, peer.there, b"e" * 100_000, token=b"unknown-token-%02d" % i) for i in range(5)
    ]
    assert {call.failure().reason for call in calls} == {"token"}
    assert peer.count()["counts"] == {"in:refused:token": 5}
    token = os.urandom(16)
    first = Call(plane, peer.there, b"keep", token=token)
    peer.line("group")
    assert Call(plane, peer.there, token=token).failure().reason == "token"
    first.delivery.cancel()


def test_a_bug_behind_the_data_plane_fails_its_group_only(plane, start_peer):
    peer = start_peer(2)
    assert Call(plane, peer.there, b"x").failure().reason == "failed"
    assert Call(plane, peer.there).reply()


def test_another_node_at_the_address_is_never_sent_anything(plane, start_peer):
    peer = start_peer(2)
    failure = Call(plane, There("node-9", peer.there.data_address)).failure()
    assert (failure.reason, failure.sent) == ("identity", False)
    assert "'node-2'" in failure.message
    assert not peer.count()["counts"]


@pytest.mark.parametrize("whose", ["peer", "own"])
@pytest.mark.parametrize("kind", ["another cluster", "expired"])
def test_a_certificate_that_is_not_good_is_named(cluster, tmp_path, start_plane, kind, whose):
    if kind == "another cluster":
        other = Authority.create(tmp_path / "other")
        bad = Identity.load(other.add("node-2").bundle)
    else:
        issued = cluster.authority.add("node-2", days=30, now=LONG_AGO)
        bad = Identity.load(issued.bundle, now=LONG_AGO)
    good = cluster.identity(1)
    here, there = (good, bad) if whose == "peer" else (bad, good)
    peer, mine = start_plane(there), start_plane(here)
    call = Call(mine, There(there.node_id, peer.address))
    failure = call.failure()
    assert failure.reason == "certificate"
    assert kind in failure.message
    assert call.seconds < 1
    assert not peer.counters()


def test_a_removed_peer_is_sent_nothing(cluster, start_plane):
    here, removed = cluster.identity(1), cluster.identity(2)
    peer, mine = start_plane(removed), start_plane(here)
    cluster.authority.remove("node-2")
    here.revocations.offer(cluster.authority.revoked_der)
    failure = Call(mine, There("node-2", peer.address)).failure()
    assert (failure.reason, failure.sent) == ("certificate", False)
    assert "removed" in failure.message


def test_an_address_that_is_taken_is_told(cluster, start_plane):
    taken = start_plane(cluster.identity(1)).address
    with pytest.raises(EdgeError, match=f"cannot listen on 127.0.0.1:{taken[1]}"):
        start_plane(cluster.identity(2), listen=taken)


def test_a_member_can_neither_answer_nor_see_anothers_query(cluster, plane, start_peer):
    from zenoh.handlers import Callback

    peer = start_peer(2)
    spy = zenoh_sessions.open_session(cluster.identity(3), *peer.there.data_address)
    seen = []

    def steal(query):
        seen.append(query)
        query.reply(query.key_expr, b"stolen", attachment=b"\x93\x01\x00\xc4\x00")
        query.drop()

    try:
        keys = ("edge/groups", "edge/**", "**")
        held = [spy.declare_queryable(key, Callback(steal, indirect=False)) for key in keys]
        held += [spy.declare_subscriber(key, seen.append) for key in keys]
        answers = [Call(plane, peer.there, b"e%02d" % i, number=i).reply().body for i in range(20)]
    finally:
        zenoh_sessions.close(spy)
    assert answers == [b"e%02d" % i for i in range(20)]
    assert not seen


def test_a_member_that_sends_nonsense_is_refused_and_counted(cluster, plane, start_peer):
    from zenoh import Locality

    peer = start_peer(2)
    member = zenoh_sessions.open_session(cluster.identity(3), *peer.there.data_address)
    header = GroupHeader(1, 5, 0, "raw", (Picture(1, 1, 0, 4),))
    good = pack_envelope(bytes(16), 4, 10**9, header)
    nonsense = [(b"", b""), (b"\x91" * 9000, b"data"), (good, b"five5"), (good[:-3], b"data")]
    nonsense += [(good, bytes(13 << 20)), (b"\xdd\xff\xff\xff\xff", b"data")]
    try:
        for attachment, payload in nonsense:
            answers = member.get("edge/groups", payload=payload, attachment=attachment, timeout=2.0)
            assert not [answer.ok for answer in answers if answer.ok]
        for key in ("edge/cancels", "edge/**", "**", "@/**"):
            answers = member.get(
                key, attachment=b"x", timeout=0.5, allowed_destination=Locality.REMOTE
            )
            assert not [answer.ok for answer in answers if answer.ok]
        member.put("edge/groups", b"x")
    finally:
        zenoh_sessions.close(member)
    assert Call(plane, peer.there).reply()
    counts = peer.count()["counts"]
    assert counts["in:malformed"] >= len(nonsense) - 1  # of the 13 MB one nothing arrives
    assert counts["in:answered"] == 1


def test_a_flooded_slow_peer_stays_small_and_its_callers_do_not_wait(cluster, plane, start_peer):
    peer = start_peer(2)
    Call(plane, peer.there, b"e" * 500_000).reply()
    before = peer.count()["rss"]
    payload = b"slow" + bytes(500_000)
    calls, rss = [], []
    end = time.monotonic() + 3
    while time.monotonic() < end:
        calls.append(Call(plane, peer.there, payload, seconds=2))
        if len(calls) % 50 == 0:
            rss.append(peer.count()["rss"])
        until(lambda: len(calls) - sum(bool(c.outcomes) for c in calls) < 50)
    reasons = {
        type(o).__name__ if isinstance(o, Reply) else o.reason for c in calls for o in c.outcomes
    }
    assert len(calls) > 200
    assert {"Reply", "busy"} <= reasons <= {"Reply", "busy", "deadline", "late"}
    assert max(rss) - before < 20 << 20
    assert sorted(call.handing_over for call in calls)[int(len(calls) * 0.99)] < 0.05


def test_sixteen_sessions_are_kept_the_least_recently_used_closed(cluster, plane, start_plane):
    peers = [start_plane(cluster.identity(i), lambda a: a.reply(b"")) for i in range(2, 20)]
    places = [There(f"node-{i}", peer.address) for i, peer in enumerate(peers, 2)]
    for place in places:
        Call(plane, place).reply()
    assert plane.sessions() == [place.node_id for place in places[2:]]
    assert Call(plane, places[0]).reply()
    assert plane.counters()["out:sessions"] == 19
    assert len(plane.sessions()) == 16


def test_who_is_not_admitted_cannot_even_connect(cluster, plane, start_plane):
    peer = start_plane(cluster.identity(2), lambda a: a.reply(b""), ("0.0.0.0", 0))
    there = There("node-2", ("127.0.0.1", peer.address[1]))

    def connects(source):
        try:
            socket.create_connection(there.data_address, 0.3, (source, 0)).close()
        except TimeoutError:
            return False
        return True

    assert connects("127.0.0.9")
    many = [f"10.1.{i // 250}.{i % 250}" for i in range(1000)]
    assert peer.admit([*many, "127.0.0.1", "fe80::1"])
    assert connects("127.0.0.1")
    assert not connects("127.0.0.9")
    assert Call(plane, there).reply()
    assert peer.admit(["127.0.0.9"])
    assert Call(plane, there).reply()  # what is open stays
    assert connects("127.0.0.9")
    plane.forget("node-2")
    until(lambda: Call(plane, there, seconds=0.5).failure().reason in ("unreachable", "deadline"))


def test_strangers_who_break_off_do_not_keep_members_out(plane, start_peer):
    peer = start_peer(2)
    strangers = [socket.create_connection(peer.there.data_address) for _ in range(20)]
    assert Call(plane, peer.there).reply()
    plane.forget("node-2")
    for stranger in strangers[:5]:
        stranger.close()
    begun = time.monotonic()
    until(lambda: isinstance(Call(plane, peer.there, seconds=1).result(), Reply))
    assert time.monotonic() - begun < 2
    for stranger in strangers:
        stranger.close()


def test_closing_ends_every_call_once(cluster, start_plane, start_peer):
    peer = start_peer(2)
    mine = start_plane(cluster.identity(1))
    calls = [Call(mine, peer.there, b"keep", number=i) for i in range(5)]
    peer.line("group 4")
    begun = time.monotonic()
    mine.close()
    assert {call.failure().reason for call in calls} == {"closed"}
    assert time.monotonic() - begun < 1
    assert Call(mine, peer.there).failure().reason == "closed"
    mine.close()
    assert [len(call.outcomes) for call in calls] == [1] * 5


def test_the_interpreter_ends_with_sessions_open(cluster, start_peer):
    peer = start_peer(2)
    code = """
import sys, threading
from edgesdk.cluster.data import DataPlane, GroupHeader, Picture
from edgesdk.cluster.identity import Identity
from tests.cluster.data_planes import Call, There
plane = DataPlane(Identity.load(sys.argv[1]), ("127.0.0.1", 0), arrived=lambda a: None)
plane.start()
Call(plane, There("node-2", ("127.0.0.1", int(sys.argv[2])))).reply()
print("answered", flush=True)
"""
    root = Path(__file__).parents[2]
    process = subprocess.Popen(
        [sys.executable, "-c", code, str(cluster.bundle(1)), str(peer.port)],
        cwd=root / "tests",
        env={**os.environ, "PYTHONPATH": str(root)},
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "answered\n"
    begun = time.monotonic()
    assert process.wait(10) == 0
    assert time.monotonic() - begun < 2
    peer.tell("open")
    assert peer.process.wait(10) == 0


def test_a_member_cannot_take_the_sessions_of_others(cluster, plane):
    greedy = []
    peer = DataPlane(
        cluster.identity(2), ("127.0.0.1", 0), arrived=lambda a: a.reply(b""), greedy=greedy.append
    )
    peer.start()
    member = [zenoh_sessions.open_session(cluster.identity(3), *peer.address) for _ in range(12)]
    try:
        until(lambda: greedy)
        assert Call(plane, There("node-2", peer.address)).reply()
        until(lambda: peer.doors()["open"] == SESSIONS_A_PEER + 1)
        assert peer.doors()["excess"] >= 8
        assert set(greedy) == {"node-3"}
    finally:
        for session in member:
            zenoh_sessions.close(session)
        peer.close()


def test_sessions_of_who_was_removed_end_at_once_and_of_no_member_soon(cluster):
    members = {"node-3"}
    peer = DataPlane(
        cluster.identity(2), ("127.0.0.1", 0), arrived=lambda a: None, member=members.__contains__
    )
    opened = []
    try:
        peer.start()
        opened = [zenoh_sessions.open_session(cluster.identity(i), *peer.address) for i in (3, 4)]
        assert until(lambda: peer.doors().get("unknown"))
        members.clear()
        peer.dismiss("node-3")
        assert peer.doors()["dismissed"] == 1
    finally:
        for session in opened:
            zenoh_sessions.close(session)
        peer.close()
