"""Nothing listens beyond loopback but what the cluster's certificates guard."""

from __future__ import annotations

import contextlib
import ipaddress
import signal
import subprocess
import sys
import threading
import time

import pytest

from edgesdk.cluster.control import Control, Hello
from edgesdk.errors import UsageError
from edgesdk.listen import parse_member_listen
from tests.cluster.namespaces import Lan, needs_namespaces

AGENT = [sys.executable, "-c", "from edgesdk.cli.main import main; main()", "agent", "--config"]
WEB = '[node]\nname = "lonely"\n[web]\nlisten = "127.0.0.1:0"\n'


# What a TLS client without a certificate gets: "refused", or the first bytes. In a process of its
# own, where the stranger is.
KNOCK = """
import socket, ssl, sys

context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
context.check_hostname = False
context.verify_mode = ssl.CERT_NONE
try:
    with (
        socket.create_connection((sys.argv[1], int(sys.argv[2])), 5) as plain,
        context.wrap_socket(plain) as secure,
    ):
        secure.sendall(bytes(3) + b"\\5hello")
        secure.settimeout(5)
        said = secure.recv(100)
        print(repr(said) if said else "refused")
except (ssl.SSLError, ConnectionError, TimeoutError):  # its first packet may be dropped
    print("refused")
"""


def listening(lan, host):
    """(kind, address, port) of every socket on *host* that waits for others."""
    table = subprocess.check_output(lan.inside(host, ["ss", "-Hlntu"]), text=True)
    found = set()
    for line in table.splitlines():
        kind, _, _, _, local, *_ = line.split()
        address, _, port = local.rpartition(":")
        found.add((kind, address.strip("[]").partition("%")[0].replace("*", "::"), int(port)))
    return found


def beyond_loopback(lan, host):
    """(kind, port) of those that another machine could reach."""
    return {
        (kind, port)
        for kind, address, port in listening(lan, host)
        if not ipaddress.ip_address(address).is_loopback
    }


@contextlib.contextmanager
def agent(lan, host, folder, text):
    config = folder / "node.toml"
    config.write_text(text + f'[results]\nout = "{folder}/results.jsonl"\n')
    with (folder / "words").open("w") as words:
        process = subprocess.Popen(lan.inside(host, [*AGENT, str(config)]), stderr=words)
    try:
        yield process
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait(10)


def wait_for(condition, seconds=20):
    deadline = time.monotonic() + seconds
    while not (found := condition()):
        assert time.monotonic() < deadline, "not in time"
        threading.Event().wait(0.05)
    return found


@needs_namespaces
def test_a_node_without_a_cluster_listens_on_loopback_only(tmp_path):
    with Lan(1) as lan, agent(lan, 1, tmp_path, WEB) as process:
        wait_for(lambda: listening(lan, 1))
        assert beyond_loopback(lan, 1) == set()
        assert process.poll() is None


@needs_namespaces
def test_a_member_listens_on_its_three_ports_and_a_stranger_gets_nothing_out_of_them(
    cluster, tmp_path
):
    text = f'[node]\nname = "node-1"\n[cluster]\nbundle = "{cluster.bundle(1)}"\n'
    with Lan(2) as lan, agent(lan, 1, tmp_path, text):
        expected = {("udp", 7440), ("tcp", 7440), ("tcp", 7441)}
        wait_for(lambda: beyond_loopback(lan, 1) >= expected)
        # Port 5353 is multicast DNS; its other sockets are for sending.
        others = beyond_loopback(lan, 1) - expected
        assert {kind for kind, _ in others} <= {"udp"}
        for port in (7440, 7441):
            done = subprocess.run(
                lan.inside(2, [sys.executable, "-c", KNOCK, lan.address(1), str(port)]),
                capture_output=True,
                text=True,
            )
            assert done.stdout.strip() == "refused", done


def test_a_node_does_not_run_with_the_bundle_of_an_operator(cluster, tmp_path):
    bundle = cluster.authority.operator_bundle
    (tmp_path / "node.toml").write_text(f'[cluster]\nbundle = "{bundle}"\n')
    done = subprocess.run([*AGENT, str(tmp_path / "node.toml")], capture_output=True, text=True)
    assert done.returncode == 8
    assert "belongs on no node" in done.stderr
    assert "edgesdk cluster add NAME" in done.stderr


def test_an_identity_is_what_opens_a_port_beyond_loopback(cluster):
    nothing = lambda *words: None  # noqa: E731
    told = {"received": nothing, "joined": nothing, "left": nothing, "timer": nothing}
    with pytest.raises((TypeError, AttributeError)):
        Control(None, ("0.0.0.0", 0), hello=Hello(), **told)
    control = Control(cluster.identity(1), ("0.0.0.0", 0), hello=Hello(), **told)
    assert control.address[0] == "0.0.0.0"
    control.close()


@pytest.mark.parametrize("text", ["", "7440", "example.com:7440", "0.0.0.0:99999", "[::]:7440"])
def test_what_is_no_address_to_listen_on_is_told(text):
    with pytest.raises(UsageError, match=r"0\.0\.0\.0:7440"):
        parse_member_listen(text)


def test_members_may_listen_anywhere():
    assert parse_member_listen("0.0.0.0:7440") == ("0.0.0.0", 7440)
    assert parse_member_listen("localhost:0") == ("127.0.0.1", 0)
