"""How a peer's end is noticed, over real processes: killed, frozen, cut off, restarted."""

from __future__ import annotations

import contextlib
import os
import signal
import time

import pytest

from tests.cluster.namespaces import Lan, needs_namespaces
from tests.cluster.node_processes import NodeProcess


@pytest.fixture
def start(cluster):
    with contextlib.ExitStack() as stack:

        def run(index, *words, **options):
            node = NodeProcess(cluster.bundle(index), *words, **options)
            stack.callback(node.end)
            return node

        yield run


def test_a_killed_peer_is_noticed_by_the_next_datagram_sent_to_it(cluster, start):
    one = start(1)
    two = start(2, "127.0.0.1", 0, one.seed)
    one.wait("joined", "node-2")
    two.process.kill()
    two.process.wait()
    one.say(f"{cluster.identity(2).number} hello")
    one.wait("left", "node-2", "not listening")
    assert one.moment("left") - one.moment("sent") < 1  # of silence it takes one and a half


def test_what_a_peer_said_before_it_died_is_no_sign_of_life(cluster, start, station):
    one = station(cluster.identity(1))
    two = start(2, "127.0.0.1", 0, "{}:{}".format(*one.address))
    one.wait(lambda: "node-2" in one.names() and one.joined)
    two.wait("joined", "node-1")
    with one.changed:  # holds one up when it tells of the first word
        for index in range(20):
            two.say(f"{cluster.identity(1).number} word {index}")
        two.wait("sent", times=20)
        two.process.kill()
        two.process.wait()
        one.control.send(cluster.identity(2).number, b"\1are you there?")
    assert one.wait(lambda: one.left, 3) == [("node-2", "not listening")]
    assert len(one.said) == 20


def test_a_peer_restarted_on_its_address_is_left_and_joined_again(cluster, start):
    one = start(1)
    two = start(2, "127.0.0.1", 0, one.seed)
    one.wait("joined", "node-2")
    two.process.kill()
    two.process.wait()
    again = start(2, two.host, two.port, one.seed)
    one.wait("left", "node-2")
    one.wait("joined", "node-2", times=2)
    again.wait("joined", "node-1")
    assert [e[0] for e in one.events if e[0] in ("joined", "left")] == ["joined", "left", "joined"]
    one.say(f"{cluster.identity(2).number} welcome")
    again.wait("received", "node-1", "welcome")


def test_a_restarted_peer_that_does_not_know_us_is_met_again_at_the_next_datagram(cluster, start):
    two = start(2)
    dialler = start(3, "127.0.0.1", 0, two.seed)
    dialler.wait("joined", "node-2")
    two.process.kill()
    two.process.wait()
    two_again = start(2, two.host, two.port)
    dialler.say(f"{cluster.identity(2).number} anybody there?")
    dialler.wait("left", "node-2")
    two_again.wait("joined", "node-3", seconds=5)


def test_a_node_that_was_frozen_is_told_for_how_long(start):
    one = start(1)
    os.kill(one.process.pid, signal.SIGSTOP)
    time.sleep(0.6)  # the freeze itself
    os.kill(one.process.pid, signal.SIGCONT)
    assert 0.3 < one.wait("late")[1] < 5


def test_a_frozen_peer_is_silent_and_comes_back(start):
    one = start(1)
    two = start(2, "127.0.0.1", 0, one.seed)
    one.wait("joined", "node-2")
    os.kill(two.process.pid, signal.SIGSTOP)
    one.wait("left", "node-2", "silent")
    os.kill(two.process.pid, signal.SIGCONT)
    one.wait("joined", "node-2", times=2)


@needs_namespaces
def test_across_a_cut_both_sides_fall_silent_and_meet_again_when_it_is_mended(start):
    with Lan(2) as lan, contextlib.ExitStack() as stack:
        nodes = []
        for host in (1, 2):
            seeds = [node.seed for node in nodes]
            node = start(
                host, lan.address(host), 7440, *seeds, inside=lambda w, h=host: lan.inside(h, w)
            )
            stack.callback(node.end)
            nodes.append(node)
        one, two = nodes
        one.wait("joined", "node-2")
        two.wait("joined", "node-1")
        lan.cut(2)
        one.wait("left", "node-2", "silent")
        two.wait("left", "node-1", "silent")
        lan.mend(2)
        one.wait("joined", "node-2", times=2, seconds=20)
        two.wait("joined", "node-1", times=2, seconds=20)
