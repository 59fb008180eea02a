"""Handshakes: through losses, from both sides at once, beside a live association."""

from __future__ import annotations

import pytest

from edgesdk.cluster import dtls, records
from edgesdk.cluster.authority import Authority
from edgesdk.cluster.happenings import Failed, Joined, Left, Said
from edgesdk.cluster.identity import Identity
from tests.cluster.wires import Wire


@pytest.fixture(scope="module")
def identities(tmp_path_factory):
    authority = Authority.create(tmp_path_factory.mktemp("handshakes") / "cluster")
    return [Identity.load(authority.add(name).bundle) for name in ("one", "two", "three")]


@pytest.fixture(scope="module")
def stranger(tmp_path_factory):
    authority = Authority.create(tmp_path_factory.mktemp("strangers") / "cluster")
    return Identity.load(authority.add("two").bundle)


def hear(wire, sender, receiver, text):
    number = wire.ends[receiver].identity.number
    assert wire.ends[sender].send(number, text, wire.now)
    wire.run()
    return [event.data for event in wire.events(receiver, Said)]


@pytest.mark.parametrize("number", range(1, 11))
def test_any_one_datagram_may_be_lost(identities, number):
    wire = Wire(*identities[:2])
    wire.dial(0, 1)
    wire.run(lambda at, datagram: at == number)
    wire.wait(400)
    assert (wire.names(0), wire.names(1)) == ({"two"}, {"one"})
    assert hear(wire, 0, 1, b"\x01there") == [b"\x01there"]
    assert hear(wire, 1, 0, b"\x01back") == [b"\x01back"]


def test_where_both_speak_first_one_association_comes_of_it(identities):
    for _ in range(8):  # either side's random may be the greater
        wire = Wire(*identities[:2])
        wire.dial(0, 1)
        wire.dial(1, 0)
        wire.run()
        assert [len(end.handshakes) for end in wire.ends] == [0, 0]
        assert [len(wire.events(i, Joined)) for i in (0, 1)] == [1, 1]
        assert hear(wire, 0, 1, b"\x01") == hear(wire, 1, 0, b"\x01") == [b"\x01"]


def test_a_side_whose_hellos_get_lost_gives_way_to_the_other(identities):
    for _ in range(8):
        wire = Wire(*identities[:2])
        wire.dial(0, 1)
        wire.ends[0].out.outgoing.clear()
        wire.now += 700_000_000
        wire.dial(1, 0)
        wire.run()
        assert (wire.names(0), wire.names(1)) == ({"two"}, {"one"})


def test_a_side_that_spoke_before_the_other_was_there_speaks_again_at_its_first_word(identities):
    for _ in range(8):
        wire = Wire(*identities[:2])
        wire.dial(0, 1)
        wire.ends[0].out.outgoing.clear()
        wire.now += 300_000_000
        wire.ends[0].handshakes.tick(wire.now)
        wire.ends[0].out.outgoing.clear()  # said again, to nobody
        wire.dial(1, 0)
        wire.run()
        assert (wire.names(0), wire.names(1)) == ({"two"}, {"one"})


def test_a_hello_that_openssl_itself_said_again_comes_to_an_association_at_once(
    identities, wait_for
):
    wire = Wire(*identities[:2])
    wire.dial(0, 1)
    wire.ends[0].out.outgoing.clear()
    dialled = wire.ends[0].handshakes._table[wire.address(1)]
    wait_for(lambda: dialled.association.timeout() == 0, "OpenSSL's own timer")
    wire.ends[0].handshakes.tick(wire.now)
    wire.run()
    assert (wire.names(0), wire.names(1)) == ({"two"}, {"one"})


def test_a_stranger_at_a_live_peers_address_does_not_replace_it(identities, stranger):
    wire = Wire(*identities[:2])
    wire.dial(0, 1)
    wire.run()
    wire.events(0, Joined)
    intruder = Wire(identities[0], stranger)
    intruder.ends[0] = wire.ends[0]
    intruder.dial(1, 0)
    intruder.run()
    assert [event.error.cause for event in wire.events(0, Failed)] == ["another cluster"]
    assert wire.names(0) == {"two"}
    assert hear(wire, 1, 0, b"\x01still me") == [b"\x01still me"]


def test_an_authenticated_newcomer_at_its_address_replaces_it(identities):
    wire = Wire(*identities[:2])
    wire.dial(0, 1)
    wire.run()
    wire.events(0, Joined)
    wire.ends[1] = Wire(identities[0], identities[1]).ends[1]  # the process has restarted
    wire.dial(1, 0)
    wire.run()
    events, wire.ends[0].out.events = wire.ends[0].out.events, []
    assert [type(event) for event in events] == [Left, Joined]
    assert events[0].reason == "restarted"
    assert hear(wire, 0, 1, b"\x01new") == [b"\x01new"]


def test_another_node_at_its_address_replaces_it_too(identities):
    wire = Wire(*identities[:2])
    wire.dial(0, 1)
    wire.run()
    wire.events(0, Joined)
    wire.ends[1] = Wire(identities[0], identities[2]).ends[1]
    wire.dial(1, 0)
    wire.run()
    events = wire.ends[0].out.events
    assert [(type(e), e.peer.node_id) for e in events] == [(Left, "two"), (Joined, "three")]


def test_a_forged_alert_makes_a_node_ask_its_peer_and_no_more(identities):
    wire = Wire(*identities[:2])
    wire.dial(0, 1)
    wire.run()
    wire.events(0, Joined)
    for _ in range(20):
        wire.ends[0].received(wire.address(1), records.no_association_alert(), wire.now)
    assert len(wire.ends[0].out.outgoing) == 1
    wire.run()
    wire.ends[0].received(wire.address(1), records.no_association_alert(), wire.now)
    assert wire.ends[0].out.outgoing == []
    wire.wait(300)
    assert wire.names(0) == {"two"}
    assert wire.events(0, Left) == []


def test_a_held_up_node_takes_nobody_for_silent(identities):
    wire = Wire(*identities[:2])
    wire.dial(0, 1)
    wire.run()
    wire.now += 20_000_000_000
    wire.ends[0].excuse(20_000_000_000, wire.now)
    wire.ends[0].tick(wire.now)
    assert wire.names(0) == {"two"}
    wire.ends[1].tick(wire.now)
    assert wire.names(1) == set()


@pytest.mark.parametrize(("late_ns", "redials"), [(20_000_000_000, True), (50_000_000, False)])
def test_who_was_away_for_long_meets_again_those_that_said_good_bye(identities, late_ns, redials):
    wire = Wire(*identities[:2])
    wire.dial(0, 1)
    wire.run()
    wire.ends[0].excuse(late_ns, wire.now)
    wire.ends[1].close(wire.now)
    wire.run()
    assert [(left.reason, left.redial) for left in wire.events(0, Left)] == [("closed", redials)]


def test_idle_peers_are_pinged_seldom_and_those_in_use_soon_missed(identities):
    wire = Wire(*identities[:2])
    wire.dial(0, 1)
    wire.run()
    wire.wait(60_000)
    before = wire.crossed
    wire.wait(240_000)
    assert 2 <= wire.crossed - before <= 16
    assert wire.names(0) == {"two"}
    assert hear(wire, 0, 1, b"\x01") == [b"\x01"]
    wire.now += 13_000_000_000
    wire.ends[0].tick(wire.now)
    assert wire.names(0) == set()


def test_a_handshakes_first_flight_fits_one_datagram(identities):
    association = dtls.Association(dtls.Contexts(identities[0]), client=True)
    association.start()
    assert len(association.outgoing) == 1
    assert len(association.outgoing[0]) < 250
