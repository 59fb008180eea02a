"""What handing a frame group to a peer costs, beside raw TLS sockets in the same run.

usage: python benchmarks/offload.py [--calls N] [--json]

Two processes on loopback, with certificates of a cluster made for the occasion, and two questions:

* a group of 4 pictures of 300 x 300, from the peer's accept to decoded results here, with a service
  of 3 ms that is taken off: coding, data plane, thread hand-overs, values. The wire is a raw TLS
  socket that carries as many bytes both ways; "beyond" is a quantile less the wire's same quantile;
* 500 KB there and 1 KB back, through the data plane and through that socket.

Calls and the wire take turns, so that what else this machine does meets both alike.
"""

from __future__ import annotations

import argparse
import json
import os
import socket
import statistics
import struct
import subprocess
import sys
import tempfile
import threading
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from edgesdk.cluster.authority import Authority
from edgesdk.cluster.data import Arrival, DataPlane, Failure, GroupHeader, Picture, Reply
from edgesdk.cluster.frame_codec import DEFAULT_CODEC, decode_parts, encode_pictures
from edgesdk.cluster.identity import Identity
from edgesdk.cluster.tls import client_context, server_context
from edgesdk.models.wire import pack_values, unpack_values
from edgesdk.values import Detections

SERVICE_SECONDS = 0.003
PICTURES = 4
LARGE = 500_000
SMALL = 1_000
SECOND = 1_000_000_000
WARM_UP = 20
BARE = "bare"  # a group that is not decoded, run or packed, but answered at once


@dataclass(frozen=True)
class Peer:
    node_id: str
    data_address: tuple[str, int]


def detections(rows: int) -> Detections:
    rng = np.random.default_rng(rows)
    boxes = rng.random((rows, 4), np.float32) * 300
    scores = rng.random(rows, np.float32)
    return Detections(boxes, scores, np.zeros(rows, np.int32), ("person",) * rows)


def serve(bundle: str) -> None:
    identity = Identity.load(bundle)
    found = [detections(5)] * PICTURES

    def arrived(arrival: Arrival) -> None:
        if arrival.header.reading == BARE.encode():
            arrival.reply(bytes(SMALL))
            return
        decode_parts(arrival.parts, arrival.header)
        began = time.perf_counter_ns()
        time.sleep(SERVICE_SECONDS)
        service_ns = time.perf_counter_ns() - began
        arrival.reply(pack_values(found), struct.pack("<q", service_ns))

    plane = DataPlane(identity, ("127.0.0.1", 0), arrived=arrived)
    plane.start()
    listener = socket.create_server(("127.0.0.1", 0))
    print(plane.address[1], listener.getsockname()[1], flush=True)
    connection, _ = listener.accept()
    connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    with server_context(identity).wrap_socket(connection, server_side=True) as secured:
        room = memoryview(bytearray(1 << 20))
        while (sizes := receive(secured, room, 8)) is not None:
            size, back = struct.unpack("<II", sizes)
            receive(secured, room, size)
            secured.sendall(room[:back])
    plane.close()


def receive(stream: socket.socket, room: memoryview, size: int) -> memoryview | None:
    got = 0
    while got < size:
        count = stream.recv_into(room[got:size])
        if not count:
            return None
        got += count
    return room[:size]


class Wire:
    """A raw TLS socket."""

    def __init__(self, identity: Identity, port: int) -> None:
        plain = socket.create_connection(("127.0.0.1", port))
        plain.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.stream = client_context(identity).wrap_socket(plain)
        self.room = memoryview(bytearray(1 << 20))

    def call(self, payload: bytes, back: int) -> int:
        began = time.perf_counter_ns()
        self.stream.sendall(struct.pack("<II", len(payload), back))
        self.stream.sendall(payload)
        receive(self.stream, self.room, back)
        return time.perf_counter_ns() - began


class Origin:
    """The data plane of the node that offloads; one call at a time."""

    def __init__(self, identity: Identity, peer: Peer) -> None:
        self.plane = DataPlane(identity, ("127.0.0.1", 0), arrived=lambda arrival: None)
        self.plane.start()
        self.peer = peer
        self.ended = threading.Event()
        self.outcome: Reply | Failure | None = None

    def done(self, outcome: Reply | Failure) -> None:
        self.outcome = outcome
        self.ended.set()

    def deliver(self, header: GroupHeader, parts: list[bytes]) -> Reply:
        self.ended.clear()
        self.plane.deliver(
            self.peer, os.urandom(16), header, parts, time_left_ns=5 * SECOND, done=self.done
        )
        self.ended.wait()
        if not isinstance(self.outcome, Reply):
            raise SystemExit(f"a call failed: {self.outcome}")
        return self.outcome

    def offload(self, pictures: list[np.ndarray], codec: str) -> tuple[int, int, int]:
        """Nanoseconds less the service; bytes there; bytes back."""
        began = time.perf_counter_ns()
        headers, parts = encode_pictures(pictures, codec)
        reply = self.deliver(GroupHeader(1, 2, 0, codec, headers), parts)
        unpack_values(reply.body, expected=len(pictures))
        took = time.perf_counter_ns() - began
        (service_ns,) = struct.unpack("<q", reply.provenance)
        return took - service_ns, sum(map(len, parts)), len(reply.body)

    def bare(self, payload: bytes) -> int:
        header = GroupHeader(1, 2, 0, "raw", (Picture(1, 1, 0, len(payload)),), BARE.encode())
        began = time.perf_counter_ns()
        self.deliver(header, [payload])
        return time.perf_counter_ns() - began


def scene() -> list[np.ndarray]:
    import cv2

    rng = np.random.default_rng(7)
    pictures = []
    for _ in range(PICTURES):
        rough = rng.integers(0, 255, (30, 30, 3), np.uint8)
        smooth = cv2.resize(rough, (300, 300), interpolation=cv2.INTER_CUBIC).astype(np.int16)
        noise = rng.normal(0, 3, smooth.shape)
        pictures.append(np.clip(smooth + noise, 0, 255).astype(np.uint8))
    return pictures


def measure(origin: Origin, wire: Wire, calls: int) -> dict[str, list[int]]:
    pictures, payload = scene(), os.urandom(LARGE)
    sizes = {codec: origin.offload(pictures, codec)[1:] for codec in (DEFAULT_CODEC, "raw")}
    origin.bare(payload)
    times: dict[str, list[int]] = {}

    def take(number: int, name: str, took: int) -> None:
        if number >= WARM_UP:
            times.setdefault(name, []).append(took)

    for number in range(WARM_UP + calls):
        take(number, "data plane", origin.bare(payload))
        take(number, "TLS socket", wire.call(payload, SMALL))
    for codec, (there, back) in sizes.items():
        for number in range(WARM_UP + calls):
            take(number, codec, origin.offload(pictures, codec)[0])
            take(number, f"wire {codec}", wire.call(bytes(there), back))
    times["sizes"] = [sizes[DEFAULT_CODEC][0], sizes["raw"][0]]
    return times


def quantile(values: list[int], percent: int) -> float:
    return statistics.quantiles(values, n=100)[percent - 1] / 1e6


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--calls", type=int, default=300)
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--serve", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.serve:
        serve(options.serve)
        return
    with tempfile.TemporaryDirectory() as folder:
        authority = Authority.create(Path(folder) / "cluster")
        bundles = [authority.add(name).bundle for name in ("origin", "peer")]
        command = [sys.executable, __file__, "--serve", str(bundles[1])]
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
            assert process.stdout is not None
            data_port, wire_port = map(int, process.stdout.readline().split())
            identity = Identity.load(bundles[0])
            origin = Origin(identity, Peer("peer", ("127.0.0.1", data_port)))
            wire = Wire(identity, wire_port)
            times = measure(origin, wire, options.calls)
            wire.stream.close()
            origin.plane.close()
    report(times, as_json=options.json)


def report(times: dict[str, list[int]], *, as_json: bool) -> None:
    rows: list[dict[str, Any]] = []
    for codec, size in zip((DEFAULT_CODEC, "raw"), times["sizes"], strict=True):
        row: dict[str, Any] = {"group": f"{PICTURES} pictures, {codec}", "bytes": size}
        for percent in (50, 99):
            whole, wire = quantile(times[codec], percent), quantile(times[f"wire {codec}"], percent)
            row |= {
                f"p{percent}_ms": round(whole, 2),
                f"wire_p{percent}_ms": round(wire, 2),
                f"beyond_p{percent}_ms": round(whole - wire, 2),
            }
        rows.append(row)
    bulk = {
        name: [quantile(times[name], p) for p in (50, 99)] for name in ("data plane", "TLS socket")
    }
    ratio = bulk["data plane"][0] / bulk["TLS socket"][0]
    if as_json:
        document = {"schema": 1, "benchmark": "offload", "groups": rows, "calls": len(times["raw"])}
        document["bulk"] = {name: {"p50_ms": a, "p99_ms": b} for name, (a, b) in bulk.items()}
        print(json.dumps({**document, "ratio": round(ratio, 2)}))
        return
    print(f"{'accept to result, ms':26}{'bytes':>9}{'p50':>7}{'wire':>7}{'beyond':>8}", end="")
    print(f"{'p99':>8}{'wire':>7}{'beyond':>8}")
    for row in rows:
        print(f"{row['group']:26}{row['bytes']:>9}", end="")
        print(f"{row['p50_ms']:>7}{row['wire_p50_ms']:>7}{row['beyond_p50_ms']:>8}", end="")
        print(f"{row['p99_ms']:>8}{row['wire_p99_ms']:>7}{row['beyond_p99_ms']:>8}")
    print(f"\n{'500 KB, mutual TLS, ms':35}{'p50':>7}{'p99':>15}")
    for name, (p50, p99) in bulk.items():
        print(f"{name:35}{p50:>7.2f}{p99:>15.2f}")
    print(f"{'ratio of p50':35}{ratio:>7.2f}")


if __name__ == "__main__":
    main()
