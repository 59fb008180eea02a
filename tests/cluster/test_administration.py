"""Requests to a node over TLS: who may ask what, and how a refusal is told."""

from __future__ import annotations

import contextlib
import random
import socket
import ssl
import struct
import threading
import time
from datetime import datetime, timedelta, timezone

import msgspec
import pytest

from edgesdk.cluster.administration import Administration, Handler, administer
from edgesdk.cluster.authority import Authority
from edgesdk.cluster.identity import Identity
from edgesdk.cluster.tls import client_context
from edgesdk.errors import ClusterError, PeerError

PAST = datetime.now(timezone.utc) - timedelta(days=400)


@pytest.fixture
def serve():
    with contextlib.ExitStack() as stack:

        def start(identity, handlers=None, **options):
            server = Administration(identity, ("127.0.0.1", 0), handlers or {}, **options)
            server.start()
            stack.callback(server.close)
            return server

        yield start


def cause_of(*words, **options):
    with pytest.raises(PeerError) as raised:
        administer(*words, **options)
    return raised.value.cause


def test_an_operator_asks_and_is_answered(cluster, serve):
    seen = []

    def answer(caller, body):
        seen.append((caller.node_id, caller.role))
        return {"twice": body["n"] * 2}

    server = serve(cluster.identity(1), {"double": Handler(answer)}, version="7")
    assert administer(cluster.operator(), server.address, "double", {"n": 21}) == {"twice": 42}
    assert seen == [("operator", "operator")]
    told = administer(cluster.operator(), server.address, "who")
    assert (told["node"], told["version"]) == ("node-1", "7")
    assert abs(told["utc"] - time.time()) < 5


def test_a_node_may_not_ask_what_is_the_operators(cluster, serve):
    server = serve(cluster.identity(1), {"double": Handler(lambda caller, body: 1)})
    assert cause_of(cluster.identity(2), server.address, "double") == "role"
    assert administer(cluster.identity(2), server.address, "who")["node"] == "node-1"


def test_a_handlers_error_is_told_and_a_bug_does_not_end_the_server(cluster, serve):
    def wrong(caller, body):
        raise ClusterError("no such camera: door")

    def bug(caller, body):
        return 1 // 0

    server = serve(cluster.identity(1), {"wrong": Handler(wrong), "bug": Handler(bug)})
    with pytest.raises(PeerError, match="no such camera: door"):
        administer(cluster.operator(), server.address, "wrong")
    with pytest.raises(PeerError, match="ZeroDivisionError"):
        administer(cluster.operator(), server.address, "bug")
    with pytest.raises(PeerError, match="unknown to this version"):
        administer(cluster.operator(), server.address, "nothing")
    assert administer(cluster.operator(), server.address, "who")


def test_a_certificate_of_another_cluster_is_named_on_both_sides(cluster, serve, tmp_path):
    other = Authority.create(tmp_path / "other")
    stranger = Identity.load(other.add("stranger").bundle)
    server = serve(cluster.identity(1))
    assert cause_of(stranger, server.address, "who") == "another cluster"
    server = serve(stranger)
    assert cause_of(cluster.operator(), server.address, "who") == "another cluster"


def test_a_removed_node_is_told_that_it_is_removed(cluster, serve):
    gone, here = cluster.identity(2), cluster.identity(1)
    server = serve(here)
    assert administer(gone, server.address, "who")
    cluster.authority.remove("node-2")
    told = administer(cluster.operator(), server.address, "revoke", cluster.authority.revoked_der)
    assert told["newer"] is True
    assert cause_of(gone, server.address, "who") == "removed"
    deadline = time.monotonic() + 5
    while not server.refused["removed"]:  # its thread notes it after the refusal has left
        assert time.monotonic() < deadline
        threading.Event().wait(0.01)


def test_an_old_certificate_is_told_to_have_expired(cluster, serve):
    made = cluster.authority.add("late", days=1, now=PAST)
    late = Identity.load(made.bundle, now=PAST)
    server = serve(cluster.identity(1))
    assert cause_of(late, server.address, "who") == "expired"
    server = serve(late)
    assert cause_of(cluster.operator(), server.address, "who") == "expired"


def test_a_certificate_of_the_future_is_told_to_be_a_matter_of_clocks(cluster, serve):
    ahead = datetime.now(timezone.utc) + timedelta(days=30)
    made = cluster.authority.add("early", now=ahead)
    early = Identity.load(made.bundle, now=ahead)
    server = serve(cluster.identity(1))
    assert cause_of(early, server.address, "who") == "clock"
    server = serve(early)
    assert cause_of(cluster.operator(), server.address, "who") == "clock"


def test_a_revocation_list_of_the_future_is_a_matter_of_clocks_too(cluster, serve):
    server = serve(cluster.identity(1))
    cluster.authority.add("gone")
    cluster.authority.remove("gone", now=datetime.now(timezone.utc) + timedelta(days=30))
    operator = cluster.operator()
    operator.revocations.offer(cluster.authority.revoked_der)
    assert cause_of(operator, server.address, "who") == "clock"


def test_what_does_not_answer_is_told_apart(cluster):
    with socket.create_server(("127.0.0.1", 0)) as mute:
        address = mute.getsockname()
        assert cause_of(cluster.operator(), address, "who", timeout=0.3) == "silent"
        threading.Thread(target=_answer_in_plain, args=(mute,), daemon=True).start()
        assert cause_of(cluster.operator(), address, "who") == "protocol"
    assert cause_of(cluster.operator(), address, "who") == "not listening"
    assert cause_of(cluster.operator(), ("no.such.name.invalid", 1), "who") == "unreachable"


def _answer_in_plain(listener):
    for _ in range(2):
        connection, _ = listener.accept()
        with connection, contextlib.suppress(OSError):
            connection.recv(100)
            connection.sendall(b"HTTP/1.1 400 Bad Request\r\n\r\n")
            connection.recv(100)


def test_who_holds_connections_open_without_a_word_keeps_nobody_out(cluster, serve):
    server = serve(cluster.identity(1))
    with contextlib.ExitStack() as stack:
        for i in range(80):
            held = socket.create_connection(server.address, 5, (f"127.0.0.{2 + i % 10}", 0))
            stack.callback(held.close)
        for _ in range(3):
            assert administer(cluster.operator(), server.address, "who")
        assert server.connections.crowded >= 48


def test_one_host_has_its_share_of_connections_and_who_is_known_keeps_its_own(cluster, serve):
    server = serve(cluster.identity(1))
    with contextlib.ExitStack() as stack:

        def open_one():
            plain = socket.create_connection(server.address, 5)
            secure = client_context(cluster.operator()).wrap_socket(plain)
            stack.callback(secure.close)
            return secure.recv(1000)

        assert all(open_one() for _ in range(8))
        with pytest.raises((OSError, AssertionError)):
            assert open_one()


def test_an_oversized_request_is_refused_before_it_is_read(cluster, serve):
    server = serve(cluster.identity(1))
    assert cause_of(cluster.operator(), server.address, "who", bytes(2 << 20)) == "refused"
    assert administer(cluster.operator(), server.address, "who")


def test_a_member_that_sends_nonsense_is_refused_and_the_next_is_served(cluster, serve):
    server = serve(cluster.identity(1), {"echo": Handler(lambda caller, body: body)}, seconds=0.2)
    chance = random.Random(7)
    frames = [chance.randbytes(chance.randrange(1, 60)) for _ in range(12)]
    for value in ([], [1, 2], "verb", {"verb": 1}, None, ["echo"], [["echo"], 1]):
        packed = msgspec.msgpack.encode(value)
        frames.append(struct.pack("!I", len(packed)) + packed)
    frames.append(struct.pack("!I", 5000) + b"\x91" * 5000)  # nested deeper than any message
    for frame in frames:
        plain = socket.create_connection(server.address, 5)
        with client_context(cluster.operator()).wrap_socket(plain) as secure:
            secure.recv(1000)
            secure.settimeout(5)
            try:
                secure.sendall(frame)
                answer = secure.recv(1000)
            except (ConnectionError, ssl.SSLEOFError):
                continue  # broken off
            assert answer[4:6] in (b"", b"\x93\xc2")  # nothing, or [False, ...]
    assert administer(cluster.operator(), server.address, "echo", [1]) == [1]
