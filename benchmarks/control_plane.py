"""What the control plane costs: handshakes, datagrams, peers, strangers.

usage: python benchmarks/control_plane.py [--json]

Two nodes' tables of associations in one process, with the wire between them in memory: the figures
are of both ends together, on one core, without the kernel. Bytes are UDP payloads with 28 bytes of
IP and UDP for each datagram.
"""

from __future__ import annotations

import argparse
import gc
import json
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from edgesdk.cluster.authority import Authority
from edgesdk.cluster.dtls import Association, Contexts
from edgesdk.cluster.greetings import Hello
from edgesdk.cluster.happenings import Limits
from edgesdk.cluster.identity import Identity
from edgesdk.cluster.links import Links
from edgesdk.cluster.records import hello_verify_request, parse_client_hello

IP_UDP = 28
MESSAGE = bytes([1]) + bytes(39)
PEERS = 200


class Wire:
    """Two tables and what crosses between them."""

    def __init__(self, one: Identity, two: Identity, limits: Limits) -> None:
        self.now = time.monotonic_ns()
        self.ends = [
            Links(i, Hello("", 7441, "0.1.0"), limits, self.now, utc_ns=time.time_ns)
            for i in (one, two)
        ]
        self.datagrams = self.octets = 0

    def dial(self, port: int) -> None:
        """A handshake and its greetings, as between two hosts that use *port*."""
        self.ends[0].handshakes.dial(("10.0.0.2", port), self.now)
        self.run()

    def run(self) -> None:
        while any(end.out.outgoing for end in self.ends):
            for index, end in enumerate(self.ends):
                outgoing, end.out.outgoing = end.out.outgoing, []
                for (_, port), datagram in outgoing:
                    self.datagrams += 1
                    self.octets += len(datagram) + IP_UDP
                    source = (f"10.0.0.{index + 1}", port)
                    self.ends[1 - index].received(source, datagram, self.now)


def resident() -> int:
    gc.collect()
    fields = Path("/proc/self/statm").read_text(encoding="ascii").split()
    return int(fields[1]) * 4096


def microseconds(call: Callable[[], object], times: int) -> float:
    """The median of five rounds of *times* calls each, a call."""
    rounds = []
    for _ in range(5):
        began = time.perf_counter()
        for _ in range(times):
            call()
        rounds.append((time.perf_counter() - began) / times * 1e6)
    return statistics.median(rounds)


def measure() -> dict[str, float]:
    with tempfile.TemporaryDirectory() as folder:
        authority = Authority.create(Path(folder) / "cluster")
        one, two = (Identity.load(authority.add(name).bundle) for name in ("one", "two"))
    first = Wire(one, two, Limits())
    first.dial(7440)
    figures = {"handshake_datagrams": first.datagrams, "handshake_bytes": first.octets}

    lasted = []
    for _ in range(50):
        wire = Wire(one, two, Limits())
        began = time.perf_counter()
        wire.dial(7440)
        lasted.append((time.perf_counter() - began) * 1e3)
    figures["handshake_ms_both_ends_p50"] = statistics.median(lasted)

    def pass_on() -> None:
        first.ends[0].send(two.number, MESSAGE, first.now)
        first.run()
        first.ends[1].out.events.clear()

    before = first.octets
    pass_on()
    figures["overhead_bytes_a_datagram"] = first.octets - before - len(MESSAGE)
    figures["send_and_receive_us"] = microseconds(pass_on, 2000)

    contexts = Contexts(one), Contexts(two)
    kept = [established(*contexts) for _ in range(20)]
    start = resident()
    kept += [established(*contexts) for _ in range(PEERS)]
    figures["memory_kb_a_peer"] = (resident() - start) / (2 * PEERS) / 1024

    stranger = Association(contexts[0], client=True)
    stranger.start()
    (hello,) = stranger.outgoing
    links = first.ends[1]
    knock = lambda: links.received(("10.0.0.9", 9), hello, first.now)  # noqa: E731
    for _ in range(300):  # its rate is used up
        knock()
    figures["hello_beyond_the_rate_us"] = microseconds(knock, 5000)
    garbage = bytes(200)
    figures["garbage_us"] = microseconds(
        lambda: links.received(("10.0.0.9", 9), garbage, first.now), 5000
    )
    return {name: round(value, 2) for name, value in figures.items()}


def established(one: Contexts, two: Contexts) -> tuple[Association, Association]:
    """Both ends of an association."""
    client, server = Association(one, client=True), Association(two, client=False)
    client.start()
    hello = parse_client_hello(client.outgoing.pop())
    client.receive(hello_verify_request(hello, bytes(32)))
    server.accept_hello(client.outgoing.pop())
    while not (client.established and server.established):
        for here, there in ((server, client), (client, server)):
            outgoing, here.outgoing = here.outgoing, []
            for datagram in outgoing:
                there.receive(datagram)
    return client, server


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--json", action="store_true", help="print one JSON document")
    figures = measure()
    if parser.parse_args().json:
        print(json.dumps(figures))
        return
    for name, value in figures.items():
        print(f"{name:30} {value:10g}")


if __name__ == "__main__":
    main()
