"""A node's control plane and administration as a process.

``node_process.py BUNDLE HOST PORT [SEED ...]``; the seed "discover" turns discovery on.

Prints what happens to it, a JSON array a line; each line of its standard input, NUMBER TEXT, is a
message to send.
"""

from __future__ import annotations

import json
import socket
import sys
import time
from typing import Any

from edgesdk.cluster.administration import Administration
from edgesdk.cluster.control import Control, Hello, Limits, parse_address
from edgesdk.cluster.discovery import Discovery
from edgesdk.cluster.identity import Identity

SECOND = 1_000_000_000


def tell(*words: Any) -> None:
    print(json.dumps([*words, time.monotonic()]), flush=True)


def administer_at(identity: Identity, host: str, wanted: int) -> tuple[Administration, int]:
    """The TCP server and its port; one whose UDP twin is free, if any port will do."""
    while True:
        server = Administration(identity, (host, wanted), {}, version="0.1.0")
        port = server.address[1]
        if wanted or free(host, port):
            return server, port
        server.close()


def free(host: str, port: int) -> bool:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as twin:
        try:
            twin.bind((host, port))
        except OSError:
            return False
    return True


def main() -> None:
    tell("started")
    bundle, host, wanted, *seeds = sys.argv[1:]
    identity = Identity.load(bundle)

    administration, port = administer_at(identity, host, int(wanted))

    def timer(now_ns: int, late_ns: int) -> None:
        if late_ns > SECOND // 10:
            tell("late", late_ns / SECOND)

    control = Control(
        identity,
        (host, port),
        hello=Hello("hall", 7441, "0.1.0"),
        received=lambda peer, data: tell("received", peer.node_id, data[1:].decode()),
        joined=lambda peer: tell("joined", peer.node_id),
        left=lambda peer, reason: tell("left", peer.node_id, reason),
        timer=timer,
        limits=Limits(keepalive_ns=SECOND // 2, silence_ns=SECOND * 3 // 2),
    )
    control.start()
    administration.start()
    if "discover" in seeds:
        discovery = Discovery(
            identity,
            host,
            control.address[1],
            found=lambda node: control.meet(node.node_id, node.addresses, node.port),
        )
        discovery.start()
    for seed in seeds:
        if ":" in seed:
            control.reach(*parse_address(seed), forever=True)
    tell("listening", control.address[1])
    for line in sys.stdin:
        number, _, text = line.strip().partition(" ")
        if number == "counters":
            tell("counters", control.counters())
        else:
            tell("sent", control.send(int(number), b"\x01" + text.encode()))
    control.close()
    administration.close()


if __name__ == "__main__":
    main()
