"""What a frame costs a Python program at the ring, beside the calls it is made of.

usage: python benchmarks/ring_calls.py [--json]

One process, 64-byte frames, so that only calls count: nanoseconds, the least of 7 rounds. The
references: one call of the C library through cffi, and put + get of ``queue.SimpleQueue``, which
hands over a reference within one process and keeps nothing safe from a crash.
"""

from __future__ import annotations

import argparse
import json
import os
import queue
import time
from collections.abc import Callable

from edgesdk.core._native import lib
from edgesdk.core.ring import FrameProperties, PixelFormat, RingReader, RingWriter

CALLS = 20_000
BYTES = 64
BATCH = 8


def nanoseconds(function: Callable[[], object], calls: int = CALLS) -> float:
    best = float("inf")
    for _ in range(7):
        began = time.perf_counter_ns()
        for _ in range(calls):
            function()
        best = min(best, (time.perf_counter_ns() - began) / calls)
    return round(best, 1)


def rows() -> list[dict[str, object]]:
    properties = FrameProperties(
        width=8,
        height=8,
        format=PixelFormat.GRAY,
        stride=8,
        capture_mono_ns=1,
        capture_utc_ns=1,
    )
    held: queue.SimpleQueue[object] = queue.SimpleQueue()

    def put_get() -> None:
        held.put(properties)
        held.get()

    with (
        RingWriter(f"bench.calls.{os.getpid()}", slot_bytes=BYTES, slots=BATCH + 4) as writer,
        RingReader(writer.name) as reader,
    ):

        def push() -> None:
            writer.begin(BYTES)
            writer.commit(properties)

        def push_take() -> None:
            push()
            for frame in reader.take(1):
                frame.release()

        def push_batch_take() -> None:
            for _ in range(BATCH):
                push()
            for frame in reader.take(BATCH):
                frame.release()

        call = lib.edge_version
        found = {
            "one cffi call": nanoseconds(call),
            "queue.SimpleQueue put + get": nanoseconds(put_get),
            "push (begin + commit)": nanoseconds(push),
            "push + take + release": nanoseconds(push_take),
            f"the same, taken {BATCH} at a time": round(
                nanoseconds(push_batch_take, CALLS // BATCH) / BATCH, 1
            ),
        }
    return [{"what": what, "ns": ns} for what, ns in found.items()]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    if options.json:
        print(json.dumps({"schema": 1, "benchmark": "ring_calls", "rows": rows()}))
        return
    for row in rows():
        print(f"{row['what']:32}{row['ns']:>10} ns")


if __name__ == "__main__":
    main()
