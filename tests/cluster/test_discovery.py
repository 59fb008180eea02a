"""Finding nodes: by multicast between hosts, whatever strangers announce, as addresses change."""

from __future__ import annotations

import contextlib
import json
import subprocess
import sys
import threading
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st
from zeroconf import IPVersion, ServiceInfo, Zeroconf

from edgesdk.cluster.authority import Authority
from edgesdk.cluster.discovery import SERVICE, Discovery, read_txt
from edgesdk.cluster.identity import Identity
from edgesdk.cluster.interfaces import Network, addresses_to_use, nearest_first
from tests.cluster.namespaces import Lan, needs_namespaces
from tests.cluster.node_processes import NodeProcess

NETWORKS = [Network("127.0.0.1/8"), Network("10.0.0.5/24"), Network("192.168.7.2/16")]


class Looking:
    """A discovery that remembers; on loopback, so that it is this machine's own affair."""

    def __init__(self, identity, port=7440):
        self.found = []
        self._seen = threading.Condition()
        self.discovery = Discovery(
            identity, "127.0.0.1", port, found=self._note, version="0.1", look_seconds=0.1
        )
        self.discovery.start()

    def _note(self, node):
        with self._seen:
            self.found.append(node)
            self._seen.notify_all()

    def wait(self, condition, seconds=5):
        with self._seen:
            assert self._seen.wait_for(condition, seconds), self.found


@pytest.fixture
def looking():
    with contextlib.ExitStack() as stack:

        def start(*words):
            made = Looking(*words)
            stack.callback(made.discovery.close)
            return made

        yield start


def test_nodes_of_one_machine_find_each_other(cluster, looking):
    one = looking(cluster.identity(1), 7001)
    two = looking(cluster.identity(2), 7002)
    one.wait(lambda: {(n.node_id, n.port) for n in one.found} == {("node-2", 7002)})
    two.wait(lambda: {(n.node_id, n.port) for n in two.found} == {("node-1", 7001)})
    assert one.found[0].addresses == ("127.0.0.1",)
    assert one.found[0].version == "0.1"


def test_the_record_says_nothing_but_version_id_cluster_and_port(cluster):
    identity = cluster.identity(1)
    info = Discovery(identity, "0.0.0.0", 7440, found=print, version="0.1").announcement(
        ("10.0.0.1",)
    )
    assert info.properties == {
        b"v": b"0.1",
        b"id": b"node-1",
        b"cl": identity.fingerprint[:16].encode(),
        b"cp": b"7440",
    }
    assert info.name.startswith("node-1")
    assert len(info.text) < 200


def stranger_seen(looking):
    return "node-2" in {stranger.node_id for stranger in looking.discovery.strangers()}


def test_strangers_and_nonsense_are_ignored(cluster, looking, tmp_path):
    other = Authority.create(tmp_path / "other")
    stranger = Identity.load(other.add("node-2").bundle)
    one = looking(cluster.identity(1))
    looking(stranger)
    forged = Zeroconf(interfaces=["127.0.0.1"], ip_version=IPVersion.V4Only)
    shown = cluster.identity(1).fingerprint[:16]
    for index, properties in enumerate(
        (
            {},
            {"cl": shown, "id": "a/../b", "cp": "7440"},
            {"cl": shown, "id": "x", "cp": "0"},
            {"cl": shown, "id": "x" * 64, "cp": "7440"},
            {"cl": b"\xff\xfe", "id": "x", "cp": "7440"},
        )
    ):
        name = f"forged-{index}.{SERVICE}"
        info = ServiceInfo(
            SERVICE, name, port=1, properties=properties, parsed_addresses=["127.0.0.1"]
        )
        forged.register_service(info, cooperating_responders=True)
    try:
        looking(cluster.identity(3))
        one.wait(lambda: one.found)
        deadline = time.monotonic() + 3
        while not stranger_seen(one) and time.monotonic() < deadline:
            threading.Event().wait(0.02)
        assert {node.node_id for node in one.found} == {"node-3"}
        assert stranger_seen(one)
    finally:
        forged.close()


@given(st.dictionaries(st.sampled_from([b"cl", b"id", b"cp", b"v"]), st.binary(max_size=255)))
def test_any_record_is_read_or_refused(properties):
    said = read_txt(properties)
    assert said is None or (0 < said.port < 65536 and 0 < len(said.node_id) < 64)


def test_all_addresses_but_loopback_are_used_and_the_nearest_of_a_peer_is_tried():
    assert addresses_to_use("0.0.0.0", NETWORKS) == ("10.0.0.5", "192.168.7.2")
    assert addresses_to_use("0.0.0.0", NETWORKS[:1]) == ("127.0.0.1",)
    assert addresses_to_use("10.0.0.5", NETWORKS) == ("10.0.0.5",)
    assert addresses_to_use("10.0.0.6", NETWORKS) == ()
    assert nearest_first(["172.16.0.1", "10.0.0.9"], NETWORKS) == ["10.0.0.9"]
    assert nearest_first(["172.16.0.1", "172.17.0.1"], NETWORKS) == ["172.16.0.1", "172.17.0.1"]


@needs_namespaces
def test_the_first_peer_is_met_within_half_a_second_of_the_start(cluster):
    with Lan(2) as lan, contextlib.ExitStack() as stack:
        nodes = []
        for host in (1, 2):
            node = NodeProcess(
                cluster.bundle(host),
                "0.0.0.0",
                7440,
                "discover",
                inside=lambda words, host=host: lan.inside(host, words),
            )
            stack.callback(node.end)
            nodes.append(node)
        nodes[1].wait("joined", "node-1")
        nodes[0].wait("joined", "node-2")
        assert nodes[1].moment("joined") - nodes[1].moment("started") < 0.5


@needs_namespaces
@pytest.mark.timeout(20)
def test_a_node_whose_address_or_link_changes_is_found_again(cluster):
    watch = (
        "import sys,time,json\n"
        "from edgesdk.cluster.identity import Identity\n"
        "from edgesdk.cluster.discovery import Discovery\n"
        "d=Discovery(Identity.load(sys.argv[1]),'0.0.0.0',int(sys.argv[2]),look_seconds=0.2,"
        "found=lambda n: print(json.dumps(n.addresses),flush=True))\n"
        "d.start(); print('started',flush=True); sys.stdin.read(); d.close()\n"
    )
    with Lan(3) as lan, contextlib.ExitStack() as stack:

        def look(host):
            words = [sys.executable, "-c", watch, str(cluster.bundle(host)), str(7000 + host)]
            process = subprocess.Popen(
                lan.inside(host, words), stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
            )
            stack.callback(process.communicate)
            assert process.stdout.readline() == "started\n"
            return process.stdout

        looks = [look(1), look(2)]
        assert json.loads(looks[0].readline()) == [lan.address(2)]
        moved = lan.address(77)
        for change in (["del", f"{lan.address(2)}/24"], ["add", f"{moved}/24"]):
            subprocess.run(lan.inside(2, ["ip", "address", *change, "dev", "eth0"]), check=True)
        while json.loads(looks[0].readline())[0] != moved:
            continue
        # Nor may one be deaf whose address was away for less time than passes between two looks.
        lan.replug(1)
        third = look(3)
        while json.loads(third.readline())[0] != lan.address(1):
            continue
