"""What handing a frame group to a peer costs, beside raw TLS sockets in the same run.

usage: python benchmarks/offload.py [--calls N] [--json]

Two processes on loopback, with certificates of a cluster made for the occasion, and two questions:

* a group of 4 pictures of 300 x 300, from the peer's accept to decoded results here, with a service
  of 3 ms that is taken off: data plane, thread hand-overs, decoding of pictures, values. Coding is
  over by then, since a node codes while its peers think about the offer; what it takes stands
  beside, and how much of the rest is decoding. The pictures are of the demo's videos, or raw. The
  wire is a raw TLS socket that carries as many bytes both ways; "beyond" is a quantile less the
  wire's same quantile;
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
from dataclasses import dataclass, field
from itertools import islice
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
        came = time.perf_counter_ns()
        decode_parts(arrival.parts, arrival.header)
        decoded = time.perf_counter_ns()
        time.sleep(SERVICE_SECONDS)
        ended = time.perf_counter_ns()
        arrival.reply(pack_values(found), struct.pack("<qq", decoded - came, ended - decoded))

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
        self.ended_ns = 0

    def done(self, outcome: Reply | Failure) -> None:
        """As in a node, the values are read on the data plane's thread."""
        self.outcome = outcome
        if isinstance(outcome, Reply) and outcome.provenance:
            unpack_values(outcome.body, expected=PICTURES)
        self.ended_ns = time.perf_counter_ns()
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

    def code(self, pictures: list[np.ndarray], codec: str) -> tuple[GroupHeader, list[bytes]]:
        headers, parts = encode_pictures(pictures, codec)
        return GroupHeader(1, 2, 0, codec, headers), parts

    def offload(self, header: GroupHeader, parts: list[bytes]) -> tuple[int, int, int]:
        """Nanoseconds less the service; those of decoding pictures among them; bytes back."""
        began = time.perf_counter_ns()
        reply = self.deliver(header, parts)
        decoding_ns, service_ns = struct.unpack("<qq", reply.provenance)
        return self.ended_ns - began - service_ns, decoding_ns, len(reply.body)

    def bare(self, payload: bytes) -> int:
        header = GroupHeader(1, 2, 0, "raw", (Picture(1, 1, 0, len(payload)),), BARE.encode())
        began = time.perf_counter_ns()
        self.deliver(header, [payload])
        return self.ended_ns - began


@dataclass(frozen=True)
class Scene:
    """Pictures and how they travel."""

    words: str
    codec: str
    pictures: list[np.ndarray]


def scenes() -> list[Scene]:
    film, street = frames_of("bigbuckbunny.mp4"), frames_of("bikes.mp4")
    return [
        Scene("720p film, jpeg-95", DEFAULT_CODEC, film),
        Scene("street, jpeg-95", DEFAULT_CODEC, street),
        Scene("raw", "raw", film),
    ]


def frames_of(video: str) -> list[np.ndarray]:
    """Frames of one of the demo's videos, in the size of a detector's input."""
    import av
    import cv2

    from edgesdk.config import NodeConfig
    from edgesdk.models import ModelRegistry

    path = ModelRegistry(NodeConfig().cache).asset(video)
    with av.open(str(path)) as container:
        frames = islice(container.decode(video=0), 20, 20 + PICTURES)
        wide = [frame.to_ndarray(format="rgb24") for frame in frames]
    return [np.asarray(cv2.resize(frame, (300, 300)), np.uint8) for frame in wide]


@dataclass(frozen=True)
class Times:
    """Of one kind of call, ns; of the coding before it, the decoding in it, the wire beside it."""

    sent: int
    calls: list[int] = field(default_factory=list)
    coding: list[int] = field(default_factory=list)
    decoding: list[int] = field(default_factory=list)
    wire: list[int] = field(default_factory=list)


def measure(origin: Origin, wire: Wire, calls: int) -> dict[str, Times]:
    payload = os.urandom(LARGE)
    bulk = Times(LARGE)
    for _ in range(WARM_UP + calls):
        bulk.calls.append(origin.bare(payload))
        bulk.wire.append(wire.call(payload, SMALL))
    found = {"bulk": bulk}
    for scene in scenes():
        sent = sum(map(len, origin.code(scene.pictures, scene.codec)[1]))
        times = found[scene.words] = Times(sent)
        for _ in range(WARM_UP + calls):
            began = time.perf_counter_ns()
            group = origin.code(scene.pictures, scene.codec)
            times.coding.append(time.perf_counter_ns() - began)
            took, decoding, back = origin.offload(*group)
            times.calls.append(took)
            times.decoding.append(decoding)
            times.wire.append(wire.call(bytes(sent), back))
    for times in found.values():
        for values in (times.calls, times.coding, times.decoding, times.wire):
            del values[:WARM_UP]
    return found


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


def report(times: dict[str, Times], *, as_json: bool) -> None:
    bulk = times.pop("bulk")
    rows: list[dict[str, Any]] = []
    for words, one in times.items():
        row: dict[str, Any] = {"group": words, "bytes": one.sent}
        row["coded_before_ms"] = round(quantile(one.coding, 50), 2)
        row["decoded_ms"] = round(quantile(one.decoding, 50), 2)
        for percent in (50, 99):
            whole, wire = quantile(one.calls, percent), quantile(one.wire, percent)
            row |= {
                f"p{percent}_ms": round(whole, 2),
                f"wire_p{percent}_ms": round(wire, 2),
                f"beyond_p{percent}_ms": round(whole - wire, 2),
            }
        rows.append(row)
    kinds = {"data plane": bulk.calls, "TLS socket": bulk.wire}
    both = {name: [quantile(values, p) for p in (50, 99)] for name, values in kinds.items()}
    ratio = both["data plane"][0] / both["TLS socket"][0]
    if as_json:
        document = {"schema": 1, "benchmark": "offload", "groups": rows, "calls": len(bulk.calls)}
        document["bulk"] = {name: {"p50_ms": a, "p99_ms": b} for name, (a, b) in both.items()}
        print(json.dumps({**document, "ratio": round(ratio, 2)}))
        return
    titles = ("bytes", "coded", "decoded", "p50", "wire", "beyond", "p99", "wire", "beyond")
    print(f"{'accept to result, ms':22}" + "".join(f"{title:>8}" for title in titles))
    for row in rows:
        print(f"{row.pop('group'):22}" + "".join(f"{value:>8}" for value in row.values()))
    print(f"\n{'500 KB, mutual TLS, ms':46}{'p50':>8}{'p99':>24}")
    for name, (p50, p99) in both.items():
        print(f"{name:46}{p50:>8.2f}{p99:>24.2f}")
    print(f"{'ratio of p50':46}{ratio:>8.2f}")


if __name__ == "__main__":
    main()
