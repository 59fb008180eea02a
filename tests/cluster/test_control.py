"""Datagrams between nodes: who meets whom, what is dropped, what a peer's end looks like."""

from __future__ import annotations

import threading
from datetime import datetime, timedelta, timezone

from edgesdk.cluster.authority import Authority
from edgesdk.cluster.control import MAX_MESSAGE, Control, Hello, Limits
from edgesdk.cluster.identity import Identity

SECOND = 1_000_000_000


def meet(one, two):
    one.control.reach(*two.address)
    one.wait(lambda: one.names() and two.names())


def settled(one, two):
    """Whether what one has sent the other has received, both ways, greetings done."""
    ours, theirs = one.control.counters(), two.control.counters()
    pairs = [(ours, theirs), (theirs, ours)]
    return ours["datagrams_sent"] >= 5 and all(
        a["bytes_sent"] == b["bytes_received"] for a, b in pairs
    )


def cause(node, address):
    return node.wait(lambda: {f.address: f.error.cause for f in node.control.failures()})[address]


def test_two_nodes_meet_and_pass_messages_both_ways(cluster, station):
    one, two = station(cluster.identity(1)), station(cluster.identity(2))
    one.control.reach(*two.address)
    peer = one.wait(lambda: one.joined)[0]
    assert (peer.node_id, peer.site, peer.version) == ("node-2", "hall", "0.1.0")
    assert peer.address == two.address
    assert peer.data_address == (two.address[0], 7441)
    two.wait(lambda: two.joined)
    assert one.control.send(peer.number, b"\x01there")
    assert two.control.send(cluster.identity(1).number, b"\x02" + bytes(MAX_MESSAGE - 1))
    two.wait(lambda: two.said == [("node-1", b"\x01there")])
    one.wait(lambda: one.said == [("node-2", b"\x02" + bytes(MAX_MESSAGE - 1))])


def test_both_may_speak_first_at_once(cluster, station):
    one, two = station(cluster.identity(1)), station(cluster.identity(2))
    for _ in range(3):
        one.control.reach(*two.address)
        two.control.reach(*one.address)
    one.wait(lambda: one.joined)
    two.wait(lambda: two.joined)
    one.wait(lambda: settled(one, two))
    assert len(one.joined) == len(two.joined) == 1
    assert one.left == two.left == []


def test_twelve_nodes_that_all_dial_each_other_end_in_a_full_mesh(cluster, station):
    nodes = [station(cluster.identity(i)) for i in range(12)]
    for one in nodes:
        for other in nodes:
            one.control.reach(*other.address)
    for node in nodes:
        node.wait(lambda node=node: len(node.names()) == 11)
    assert all(node.left == [] for node in nodes)
    for node in nodes:
        for peer in node.control.peers():
            assert node.control.send(peer.number, b"\x01")
    for node in nodes:
        node.wait(lambda node=node: len(node.said) == 11)


def test_a_node_that_leaves_says_so(cluster, station):
    one, two = station(cluster.identity(1)), station(cluster.identity(2))
    meet(one, two)
    two.control.close()
    one.wait(lambda: one.left == [("node-2", "closed")])
    assert not one.control.send(cluster.identity(2).number, b"\x01")


def test_a_seed_that_is_not_there_yet_is_met_when_it_comes(cluster, station):
    one, two = station(cluster.identity(1)), station(cluster.identity(2))
    address = two.address
    two.control.close()
    one.control.reach(*address, forever=True)
    assert cause(one, address) == "not listening"
    station(cluster.identity(2), address)
    one.wait(lambda: one.names() == {"node-2"})
    one.wait(lambda: one.control.failures() == [])


def test_a_node_knows_its_own_address_and_leaves_itself_alone(cluster, station):
    one = station(cluster.identity(1))
    one.control.reach(*one.address, forever=True)
    one.wait(lambda: one.control.counters().get("refused_refused"))
    assert one.joined == []
    assert one.control.counters()["half_open"] == 0


def test_a_certificate_of_another_cluster_is_named_on_both_sides(cluster, station, tmp_path):
    other = Authority.create(tmp_path / "other")
    one, stranger = station(cluster.identity(1)), station(Identity.load(other.add("s").bundle))
    stranger.control.reach(*one.address)
    assert cause(stranger, one.address) == "another cluster"
    assert cause(one, stranger.address) == "another cluster"
    assert one.joined == stranger.joined == []


def test_clocks_and_expiry_are_named(cluster, station):
    now = datetime.now(timezone.utc)
    one = station(cluster.identity(1))
    for name, made_at, expected in (
        ("old", now - timedelta(days=40), "expired"),
        ("early", now + timedelta(days=40), "clock"),
    ):
        made = cluster.authority.add(name, days=10, now=made_at)
        node = station(Identity.load(made.bundle, now=made_at))
        node.control.reach(*one.address)
        assert cause(node, one.address) == expected
        assert cause(one, node.address) == expected


def test_a_clock_that_is_an_hour_off_keeps_nobody_apart(cluster, station):
    one = station(cluster.identity(1))
    for name, off in (("ahead", timedelta(hours=1)), ("behind", timedelta(hours=-1))):
        made = cluster.authority.add(name, now=datetime.now(timezone.utc) + off)
        station(Identity.load(made.bundle)).control.reach(*one.address)
    one.wait(lambda: one.names() == {"ahead", "behind"})


def test_an_operator_is_no_peer(cluster, station):
    one, operator = station(cluster.identity(1)), station(cluster.operator())
    operator.control.reach(*one.address)
    operator.wait(lambda: operator.joined)
    assert not one.control.send(cluster.operator().number, b"\x01")
    assert operator.control.send(cluster.identity(1).number, b"\x01hidden")
    one.wait(lambda: one.control.counters().get("early"))
    assert one.joined == one.said == []


def test_a_removed_node_is_cut_off_and_the_news_gets_round(cluster, station):
    one, two, three, gone = nodes = [station(cluster.identity(i)) for i in range(4)]
    meet(one, two)
    meet(two, three)
    for node in (one, two, three):
        meet(gone, node)
    cluster.authority.remove("node-3")
    assert one.control.identity.revocations.offer(cluster.authority.revoked_der)
    for node in (one, two, three):
        node.wait(lambda node=node: ("node-3", "removed") in node.left)
    assert all(node.control.identity.revocations.number == 2 for node in nodes[:3])
    gone.wait(lambda: len(gone.left) == 3)
    gone.control.reach(*three.address)
    gone.wait(lambda: three.address in {f.address for f in gone.control.failures()})
    assert cause(gone, three.address) == "removed"


def test_a_long_revocation_list_travels_in_pieces(cluster, station):
    one, two = station(cluster.identity(1)), station(cluster.identity(2))
    long = cluster.list_of(range(10**20, 10**20 + 200), number=9)
    assert len(long) > 5000
    one.control.identity.revocations.offer(long)
    meet(two, one)
    two.wait(lambda: two.control.identity.revocations.number == 9)
    two.wait(lambda: Identity.load(cluster.bundle(2)).revocations.number == 9)  # kept for restarts


def test_the_peer_longest_unused_makes_room(cluster, station):
    one = station(cluster.identity(1), limits=Limits(max_peers=2))
    others = [station(cluster.identity(i)) for i in (2, 3, 4)]
    for other in others[:2]:
        meet(other, one)
    one.control.send(cluster.identity(2).number, b"\x01used")
    others[2].control.reach(*one.address)
    one.wait(lambda: one.left == [("node-3", "evicted")])
    one.wait(lambda: one.names() == {"node-2", "node-4"})
    others[1].wait(lambda: others[1].left == [("node-1", "closed")])


def test_a_node_that_moves_to_another_address_is_the_same_peer_there(cluster, station):
    one, two = station(cluster.identity(1)), station(cluster.identity(2))
    meet(one, two)
    moved = station(cluster.identity(2), ("127.0.0.2", 0))
    moved.control.reach(*one.address)
    one.wait(lambda: len(one.joined) == 2)
    assert one.joined[-1].address == moved.address
    assert one.left == [("node-2", "restarted")]  # another process: nothing of before holds
    one.control.send(cluster.identity(2).number, b"\x01here")
    moved.wait(lambda: moved.said)
    two.control.close()
    moved.control.send(cluster.identity(1).number, b"\x01still")
    one.wait(lambda: one.said)
    assert one.names() == {"node-2"}


def test_every_byte_on_the_wire_is_counted(cluster, station):
    one, two = station(cluster.identity(1)), station(cluster.identity(2))
    meet(one, two)
    one.wait(lambda: settled(one, two))
    before = one.control.counters()
    assert 2500 < before["bytes_sent"] + before["bytes_received"] < 4500
    one.control.send(cluster.identity(2).number, b"\x01" + bytes(39))
    after = one.control.counters()
    assert after["bytes_sent"] - before["bytes_sent"] == 40 + 65
    assert after["datagrams_sent"] - before["datagrams_sent"] == 1


def test_a_timer_that_is_late_by_a_moment_is_not_late(cluster):
    """Whoever doubts itself gives silent peers twice their time."""
    late, over = [], threading.Event()

    def timer(now_ns, late_ns):
        late.append(late_ns)
        if len(late) == 30:
            over.set()
        return None if over.is_set() else now_ns + 1_300_000

    control = Control(
        cluster.identity(1),
        ("127.0.0.1", 0),
        hello=Hello("hall", 7441, "0.1.0"),
        received=lambda peer, data: None,
        joined=lambda peer: None,
        left=lambda peer, reason: None,
        timer=timer,
    )
    control.start()
    control.wake()
    assert over.wait(10)
    control.close()
    assert all(late_ns == 0 or late_ns > 20_000_000 for late_ns in late)
