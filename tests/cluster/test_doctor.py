"""What ``edgesdk doctor --cluster`` says of the way between nodes, and the cause that it names."""

from __future__ import annotations

import contextlib
import json
import socket
import subprocess
import sys
import threading
import time

import pytest

from edgesdk.cluster.administration import Administration, Handler
from edgesdk.cluster.authority import Authority
from edgesdk.cluster.diagnosis import diagnose
from edgesdk.cluster.identity import Identity
from edgesdk.cluster.knocking import knock
from edgesdk.errors import PeerError
from tests.cluster.namespaces import Lan, needs_namespaces

DOCTOR = "import sys; from edgesdk.cli.main import main; main()"


@pytest.fixture
def agent(station):
    """Starts the two servers of a node on one port number; returns its address."""
    with contextlib.ExitStack() as stack:

        def start(identity, **about):
            node = station(identity)
            server = Administration(identity, node.address, {}, version="0.1", about=about)
            server.start()
            stack.callback(server.close)
            return node

        yield start


def checks(report):
    return {check.name: check for check in report.checks}


def look(bundle, *peers):
    return diagnose(bundle, peers, look_seconds=0)


def test_a_node_that_is_well_is_reported_so(cluster, agent):
    with socket.create_server(("127.0.0.1", 0)) as data:
        node = agent(cluster.identity(1), data_port=data.getsockname()[1])
        document = look(cluster.bundle(2), node.address)
    assert document.ready
    (report,) = document.peers
    assert (report.node, report.version, report.found) == ("node-1", "0.1", "given")
    assert {name: c.state for name, c in checks(report).items()} == {
        "UDP": "ok",
        "TLS": "ok",
        "clock": "ok",
        "data port": "ok",
    }
    assert abs(report.clock_seconds) < 1


def test_it_disturbs_no_association_that_the_node_has(cluster, agent, station):
    node = agent(cluster.identity(1))
    running = station(cluster.identity(2))
    running.control.reach(*node.address)
    node.wait(lambda: node.joined)
    assert look(cluster.bundle(2), node.address).peers[0].node == "node-1"
    assert node.left == []
    assert len(node.joined) == 1
    assert node.control.counters()["half_open"] == 0


def test_a_closed_data_port_is_named(cluster, agent):
    with socket.create_server(("127.0.0.1", 0)) as closed:
        port = closed.getsockname()[1]
    node = agent(cluster.identity(1), data_port=port)
    document = look(cluster.bundle(2), node.address)
    assert not document.ready
    assert "frames cannot be sent there" in checks(document.peers[0])["data port"].detail


def test_the_certificate_of_another_cluster_is_named_and_not_a_timeout(cluster, agent, tmp_path):
    other = Authority.create(tmp_path / "other")
    node = agent(Identity.load(other.add("stranger").bundle))
    began = time.monotonic()
    found = checks(look(cluster.bundle(1), node.address).peers[0])
    assert time.monotonic() - began < 2
    assert found["UDP"].state == "ok"
    assert found["TLS"].cause == "another cluster"
    assert "certificate of another cluster" in found["TLS"].detail
    assert "edgesdk cluster add" in found["TLS"].next_step


def test_a_removed_node_learns_that_it_is(cluster, agent):
    gone = cluster.bundle(2)
    cluster.authority.remove("node-2")
    identity = cluster.identity(1)
    identity.revocations.offer(cluster.authority.revoked_der)
    found = checks(look(gone, agent(identity).address).peers[0])
    assert found["TLS"].cause == "removed"


def test_a_clock_that_is_off_is_told(cluster):
    behind = Handler(lambda caller, body: {"utc": time.time() - 3600}, frozenset({"node"}))
    server = Administration(cluster.identity(1), ("127.0.0.1", 0), {"who": behind})
    server.start()
    (report,) = look(cluster.bundle(2), server.address).peers
    server.close()
    assert report.clock_seconds == pytest.approx(-3600, abs=2)
    assert checks(report)["clock"].state == "limited"


def test_a_port_that_is_closed_silent_or_of_something_else_is_told_apart(cluster):
    with (
        socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as mute,
        socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as other,
    ):
        for plug in (mute, other):
            plug.bind(("127.0.0.1", 0))
        address = mute.getsockname()
        with pytest.raises(PeerError) as raised:
            knock(address, seconds=0.2)
        assert raised.value.cause == "silent"
        echo = threading.Thread(target=lambda: other.sendto(b"hello", other.recvfrom(2000)[1]))
        echo.start()
        with pytest.raises(PeerError) as raised:
            knock(other.getsockname(), seconds=2)
        assert raised.value.cause == "protocol"
        echo.join()
    with pytest.raises(PeerError) as raised:
        knock(address)
    assert raised.value.cause == "not listening"


def test_a_bundle_that_cannot_be_read_is_the_finding(tmp_path):
    document = look(tmp_path / "none.bundle")
    assert not document.ready
    assert document.checks[0].name == "bundle"
    assert "No such file" in document.checks[0].detail


def test_the_advice_on_congestion_control_depends_on_what_is_used(cluster, tmp_path):
    for used, advised in (("cubic", True), ("bbr", False)):
        folder = tmp_path / used / "proc/sys/net/ipv4"
        folder.mkdir(parents=True)
        (folder / "tcp_congestion_control").write_text(f"{used}\n")
        document = diagnose(cluster.bundle(1), [], look_seconds=0, root=tmp_path / used)
        found = {check.name: check for check in document.checks}["TCP congestion control"]
        assert ("bbr" in found.next_step) == advised


@needs_namespaces
def test_on_a_lan_it_finds_a_node_by_itself_and_says_when_only_strangers_are_there(
    cluster, tmp_path
):
    other = Authority.create(tmp_path / "other")
    stranger = other.add("stranger").bundle
    serve = (
        "import sys; from edgesdk.cluster.identity import Identity\n"
        "from edgesdk.cluster.control import *\n"
        "from edgesdk.cluster.administration import *\n"
        "from edgesdk.cluster.discovery import *\n"
        "i=Identity.load(sys.argv[1]); n=lambda *w: None\n"
        "c=Control(i,('0.0.0.0',7440),hello=Hello(),received=n,joined=n,left=n,timer=n)\n"
        "a=Administration(i,('0.0.0.0',7440),{}); d=Discovery(i,'0.0.0.0',7440,found=n)\n"
        "c.start(); a.start(); d.start(); print('up',flush=True); sys.stdin.read()\n"
        "d.close(); c.close(); a.close()\n"
    )
    with Lan(2) as lan:
        words = lan.inside(2, [sys.executable, "-c", serve, str(cluster.bundle(2))])
        node = subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        assert node.stdout.readline() == "up\n"
        answers = {}
        for bundle in (cluster.bundle(1), stranger):
            command = [sys.executable, "-c", DOCTOR, "doctor", "--cluster", str(bundle), "--json"]
            done = subprocess.run(lan.inside(1, command), capture_output=True, text=True)
            answers[bundle] = done.returncode, json.loads(done.stdout)
        node.communicate("")
        address = f"{lan.address(2)}:7440"
    code, document = answers[cluster.bundle(1)]
    assert code == 0
    assert [(p["node"], p["address"], p["found"]) for p in document["peers"]] == [
        ("node-2", address, "discovered")
    ]
    assert all(check["state"] == "ok" for check in document["checks"])
    code, document = answers[stranger]
    assert document["peers"] == []
    (heard,) = [check for check in document["checks"] if check["name"] == "discovery"]
    assert heard["cause"] == "another cluster"
    assert "node-2" in heard["detail"]
