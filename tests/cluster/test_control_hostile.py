"""What strangers, thieves and noise may cost: floods, replays, forged and mangled datagrams."""

from __future__ import annotations

import gc
import socket
import struct

import psutil
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from edgesdk.cluster import records
from edgesdk.cluster.admittance import Cookies
from edgesdk.cluster.authority import Authority
from edgesdk.cluster.dtls import Association, Contexts
from edgesdk.cluster.happenings import Said
from edgesdk.cluster.identity import Identity
from edgesdk.errors import MalformedMessage
from tests.cluster.wires import Wire

SECOND = 1_000_000_000


@pytest.fixture
def stranger(tmp_path):
    return Contexts(Identity.load(Authority.create(tmp_path / "other").add("stranger").bundle))


def hello_of(contexts):
    association = Association(contexts, client=True)
    association.start()
    return association, association.outgoing.pop()


def knock(contexts, target, source):
    """A handshake up to the hello with its cookie, from *source*; the socket, kept open."""
    plug = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    plug.bind((source, 0))
    plug.settimeout(0.5)
    plug.connect(target)
    association, hello = hello_of(contexts)
    plug.send(hello)
    try:
        association.receive(plug.recv(2000))
    except TimeoutError:
        return plug
    for datagram in association.outgoing:
        plug.send(datagram)
    return plug


def test_half_open_handshakes_are_bounded_and_live_peers_do_not_notice(cluster, station, stranger):
    one, two = station(cluster.identity(1)), station(cluster.identity(2))
    one.control.reach(*two.address)
    two.wait(lambda: two.joined)
    plugs = [knock(stranger, one.address, f"127.0.1.{i % 250 + 1}") for i in range(100)]
    gc.collect()
    before = psutil.Process().memory_info().rss
    for i in range(500):
        plugs.append(knock(stranger, one.address, f"127.0.{i % 100 + 2}.{i % 250 + 1}"))
        assert one.control.counters()["half_open"] <= 64
    assert psutil.Process().memory_info().rss - before < 8 << 20
    assert one.control.counters()["half_open_evicted"] > 300
    assert one.left == two.left == []
    two.control.send(cluster.identity(1).number, b"\x01unharmed")
    one.wait(lambda: one.said == [("node-2", b"\x01unharmed")])
    three = station(cluster.identity(3))
    three.control.reach(*one.address)
    one.wait(lambda: "node-3" in one.names())
    for plug in plugs:
        plug.close()


def test_one_host_takes_its_own_share_of_handshakes_only(cluster, station, stranger):
    one = station(cluster.identity(1), ("0.0.0.0", 0))
    target = ("127.0.0.1", one.address[1])
    plugs = [knock(stranger, target, "127.0.7.7") for _ in range(60)]
    counters = one.control.counters()
    assert counters["half_open"] <= 16
    assert counters["half_open_evicted"] + counters.get("limited", 0) >= 30
    for plug in plugs:
        plug.close()


def test_an_answer_to_a_stranger_is_never_larger_than_what_asked(cluster, station, stranger):
    one = station(cluster.identity(1))
    _, hello = hello_of(stranger)
    sealed = struct.pack("!BHHHIH", 23, 0xFEFD, 1, 0, 7, 40) + bytes(40)
    asked = [hello, hello[:60], sealed, sealed[:20], bytes(100), b"\x16", hello * 5]
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as plug:
        plug.connect(one.address)
        for datagram in asked:
            plug.send(datagram)
            plug.settimeout(0.2)
            try:
                assert len(plug.recv(4096)) < len(datagram)
            except TimeoutError:
                continue
        plug.settimeout(0.05)
        with pytest.raises(TimeoutError):
            plug.recv(4096)
    assert one.control.counters()["half_open"] == 0


def test_a_flood_of_hellos_without_cookie_costs_no_memory(cluster, station, stranger):
    one = station(cluster.identity(1))
    _, hello = hello_of(stranger)
    gc.collect()
    before = psutil.Process().memory_info().rss
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as plug:
        for _ in range(20_000):
            plug.sendto(hello, one.address)
    two = station(cluster.identity(2))
    two.control.reach(*one.address)
    one.wait(lambda: one.names() == {"node-2"})
    assert psutil.Process().memory_info().rss - before < 4 << 20
    counters = one.control.counters()
    assert counters["cookies"] <= 400
    assert counters["limited"] > 1000


@pytest.fixture(scope="module")
def pair(tmp_path_factory):
    authority = Authority.create(tmp_path_factory.mktemp("hostile") / "cluster")
    wire = Wire(*(Identity.load(authority.add(name).bundle) for name in ("one", "two")))
    wire.dial(0, 1)
    wire.run()
    return wire


def said(pair):
    """What the second end has heard since the last time."""
    return [event.data for event in pair.events(1, Said)]


def test_a_replayed_datagram_is_counted_and_said_once(pair):
    pair.ends[0].send(pair.ends[1].identity.number, b"\x01once", pair.now)
    ((_, datagram),) = pair.ends[0].out.outgoing
    pair.run()
    assert said(pair) == [b"\x01once"]
    before = pair.ends[1].out.counts.get("discarded", 0)
    for _ in range(10):
        pair.ends[1].received(pair.address(0), datagram, pair.now)
    assert said(pair) == []
    assert pair.ends[1].out.counts["discarded"] == before + 10


def test_what_is_too_long_or_no_record_is_dropped_and_counted(pair):
    end = pair.ends[1]
    for datagram, counted in ((bytes(5000), "oversized"), (b"", "garbage"), (b"GET /", "garbage")):
        before = end.out.counts.get(counted, 0)
        end.received(pair.address(0), datagram, pair.now)
        assert end.out.counts[counted] == before + 1


mangled = st.one_of(
    st.binary(max_size=300),
    st.tuples(st.integers(0, 255), st.binary(max_size=200)).map(
        lambda t: struct.pack("!BHHHIH", 20 + t[0] % 4, 0xFEFD, t[0] % 3, 0, t[0], len(t[1])) + t[1]
    ),
)


@settings(max_examples=300, deadline=None)
@example(b"\x17\xfe\xfd" + bytes([0, 2]) + bytes(6) + bytes([0, 25]) + bytes(25), False)
@given(mangled, st.booleans())
def test_no_datagram_breaks_a_live_association(pair, datagram, known):
    source = pair.address(0) if known else ("10.9.9.9", 9)
    pair.ends[1].received(source, datagram, pair.now)
    pair.run()
    pair.ends[0].send(pair.ends[1].identity.number, b"\x01fine", pair.now)
    pair.run()
    assert b"\x01fine" in said(pair)
    assert len(pair.ends[1].handshakes) <= 64


@settings(max_examples=300, deadline=None)
@given(st.data())
def test_no_cut_or_flip_of_a_sealed_datagram_is_heard(pair, data):
    pair.ends[0].send(pair.ends[1].identity.number, b"\x01sealed", pair.now)
    (_, datagram), pair.ends[0].out.outgoing = pair.ends[0].out.outgoing[-1], []
    at = data.draw(st.integers(0, len(datagram) - 1))
    flipped = datagram[:at] + bytes([datagram[at] ^ data.draw(st.integers(1, 255))])
    cut = data.draw(st.booleans())
    pair.ends[1].received(pair.address(0), flipped + (b"" if cut else datagram[at + 1 :]), pair.now)
    assert said(pair) == []
    assert pair.ends[1].peers()


@settings(max_examples=300, deadline=None)
@given(st.binary(max_size=400), st.sampled_from([0x80, 0x81, 0x82, 0x83, 0x84, 0x85, 0xFF]))
def test_a_member_that_talks_nonsense_is_counted_and_harms_nobody(pair, body, kind):
    end = pair.ends[0]
    link = next(iter(end._links.values()))
    end._say(link, bytes([kind]) + body, pair.now)
    pair.run()
    assert [peer.node_id for peer in pair.ends[1].peers()] == ["one"]
    pair.ends[1].out.events.clear()


@given(st.binary(max_size=400))
def test_hellos_are_parsed_or_refused(datagram):
    try:
        hello = records.parse_client_hello(datagram)
    except MalformedMessage:
        return
    assert len(hello.random) == 32
    assert not Cookies(b"secret", 0).good(("10.0.0.1", 1), hello, 0)


def test_a_cookie_is_good_for_its_address_its_hello_and_two_minutes(stranger):
    cookies = Cookies(b"secret", 0)
    association, first = hello_of(stranger)
    here, elsewhere = ("10.0.0.1", 1), ("10.0.0.1", 2)
    cookie = cookies.make(here, records.parse_client_hello(first), 5)
    association.receive(records.hello_verify_request(records.parse_client_hello(first), cookie))
    second = records.parse_client_hello(association.outgoing[0])
    _, other = hello_of(stranger)
    assert cookies.good(here, second, 5)
    assert cookies.good(here, second, 100 * SECOND)
    assert not cookies.good(here, second, 130 * SECOND)
    assert not cookies.good(elsewhere, second, 5)
    assert not cookies.good(here, records.parse_client_hello(other), 5)


@given(st.lists(st.binary(max_size=1180), max_size=8), st.integers(100, 2000))
def test_records_are_gathered_into_datagrams_that_fit(bodies, limit):
    stream = b"".join(struct.pack("!BHHHIH", 22, 0xFEFD, 0, 0, 0, len(b)) + b for b in bodies)
    made = records.gather(stream, limit)
    assert b"".join(made) == stream
    assert all(len(d) <= limit or len(records_in(d)) == 1 for d in made)


def records_in(datagram):
    found, at = [], 0
    while at < len(datagram):
        end = at + 13 + int.from_bytes(datagram[at + 11 : at + 13], "big")
        found.append(datagram[at:end])
        at = end
    return found
