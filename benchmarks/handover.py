"""Hands 1080p frames from one process to another, by the ring and by what else there is.

usage: python benchmarks/handover.py [--frames N] [--json]

Each transport copies a BGR frame once into itself in the producer and gives the consumer something
numpy can read; the consumer reads one byte a page of it. Two runs each: paced at 60 frames a second
for the latency from the stamp before the copy to the view, then as fast as it goes for the CPU time
a frame costs both processes together (the ring and iceoryx2 never wait for a slow reader, the
others do). ``iceoryx2`` takes part where it is installed.
"""

from __future__ import annotations

import argparse
import ctypes
import json
import multiprocessing
import os
import statistics
import time
from collections.abc import Callable, Iterator
from multiprocessing import shared_memory
from multiprocessing.connection import Connection
from typing import Any

import numpy as np

WIDTH, HEIGHT = 1920, 1080
SHAPE = (HEIGHT, WIDTH, 3)
NBYTES = WIDTH * HEIGHT * 3
SLOTS = 4
PAGE = 4096

Receive = Callable[[], tuple[int, np.ndarray]]


def ring_sender(name: str, shared: dict[str, Any]) -> Callable[[np.ndarray], None]:
    from edgesdk.core.ring import FrameProperties, PixelFormat, RingWriter

    writer = RingWriter(name, slot_bytes=NBYTES, slots=SLOTS)
    shared["close"] = writer.close
    shared["ready"].set()

    def send(frame: np.ndarray) -> None:
        stamp = time.monotonic_ns()
        np.copyto(writer.begin(NBYTES), frame.ravel())
        writer.commit(
            FrameProperties(
                width=WIDTH,
                height=HEIGHT,
                format=PixelFormat.BGR,
                stride=WIDTH * 3,
                capture_mono_ns=stamp,
                capture_utc_ns=0,
            )
        )

    return send


def ring_receiver(name: str, shared: dict[str, Any]) -> Receive:
    from edgesdk.core.ring import RingReader

    shared["ready"].wait()
    reader = RingReader(name)

    def receive() -> tuple[int, np.ndarray]:
        while True:
            frames = reader.take(1)
            if frames:
                return frames[0].properties.capture_mono_ns, frames[0].data
            if not reader.wait(1.0):
                raise TimeoutError

    return receive


def semaphore_sender(name: str, shared: dict[str, Any]) -> Callable[[np.ndarray], None]:
    segment = shared_memory.SharedMemory(name, create=True, size=SLOTS * (NBYTES + PAGE))
    shared["close"] = segment.unlink
    slots = np.frombuffer(segment.buf, np.uint8).reshape(SLOTS, NBYTES + PAGE)
    slots[:] = 0
    shared["ready"].set()
    sent = 0

    def send(frame: np.ndarray) -> None:
        nonlocal sent
        stamp = time.monotonic_ns()
        shared["free"].acquire()
        slot = slots[sent % SLOTS]
        np.copyto(slot[PAGE:], frame.ravel())
        slot[:8].view(np.uint64)[0] = stamp
        sent += 1
        shared["filled"].release()

    return send


def semaphore_receiver(name: str, shared: dict[str, Any]) -> Receive:
    shared["ready"].wait()
    segment = shared_memory.SharedMemory(name)
    shared["keep"] = segment
    slots = np.frombuffer(segment.buf, np.uint8).reshape(SLOTS, NBYTES + PAGE)
    taken = 0

    def receive() -> tuple[int, np.ndarray]:
        nonlocal taken
        if taken:
            shared["free"].release()
        if not shared["filled"].acquire(timeout=1.0):
            raise TimeoutError
        slot = slots[taken % SLOTS]
        taken += 1
        return int(slot[:8].view(np.uint64)[0]), slot[PAGE:]

    return receive


def queue_sender(name: str, shared: dict[str, Any]) -> Callable[[np.ndarray], None]:
    return lambda frame: shared["queue"].put((time.monotonic_ns(), frame))


def queue_receiver(name: str, shared: dict[str, Any]) -> Receive:
    import queue

    def receive() -> tuple[int, np.ndarray]:
        try:
            stamp, frame = shared["queue"].get(timeout=1.0)
        except queue.Empty:
            raise TimeoutError from None
        return stamp, frame.ravel()

    return receive


def iceoryx_ports(name: str) -> tuple[Any, Any, Any]:
    import iceoryx2 as iox

    iox.set_log_level(iox.LogLevel.Fatal)
    node = iox.NodeBuilder.new().create(iox.ServiceType.Ipc)
    data = (
        node.service_builder(iox.ServiceName.new(f"{name}/data"))
        .publish_subscribe(iox.Slice[ctypes.c_uint8])
        .subscriber_max_buffer_size(SLOTS)
        .open_or_create()
    )
    event = node.service_builder(iox.ServiceName.new(f"{name}/event")).event().open_or_create()
    return node, data, event


def iceoryx_sender(name: str, shared: dict[str, Any]) -> Callable[[np.ndarray], None]:
    node, data, event = iceoryx_ports(name)
    publisher = data.publisher_builder().initial_max_slice_len(NBYTES + 8).create()
    notifier = event.notifier_builder().create()
    shared["keep"] = (node, data, event)
    shared["ready"].set()

    def send(frame: np.ndarray) -> None:
        stamp = time.monotonic_ns()
        sample = publisher.loan_slice_uninit(NBYTES + 8)
        payload = np.frombuffer(sample.payload().as_memory_view(), np.uint8)
        np.copyto(payload[8:], frame.ravel())
        payload[:8].view(np.uint64)[0] = stamp
        sample.assume_init().send()
        notifier.notify()

    return send


def iceoryx_receiver(name: str, shared: dict[str, Any]) -> Receive:
    import iceoryx2 as iox

    node, data, event = iceoryx_ports(name)
    subscriber = data.subscriber_builder().create()
    listener = event.listener_builder().create()
    shared["keep"] = (node, data, event)
    shared["ready"].wait()
    held: list[Any] = []

    def receive() -> tuple[int, np.ndarray]:
        while True:
            sample = subscriber.receive()
            if sample is not None:
                held[:] = [sample]
                payload = np.frombuffer(sample.payload().as_memory_view(), np.uint8)
                return int(payload[:8].view(np.uint64)[0]), payload[8:]
            # A notification may have been taken together with an earlier one: never wait long.
            listener.timed_wait(iox.Duration.from_millis(20))
            shared["waits"] = shared.get("waits", 0) + 1
            if shared["waits"] > 500:
                raise TimeoutError

    return receive


TRANSPORTS: dict[str, tuple[Any, Any]] = {
    "edgesdk ring": (ring_sender, ring_receiver),
    "shared_memory + semaphore": (semaphore_sender, semaphore_receiver),
    "multiprocessing.Queue": (queue_sender, queue_receiver),
    "iceoryx2": (iceoryx_sender, iceoryx_receiver),
}


def consume(transport: str, name: str, shared: dict[str, Any], report: Connection) -> None:
    receive = TRANSPORTS[transport][1](name, shared)
    delays = []
    shared["attached"].set()
    start = None
    try:
        while True:
            stamp, view = receive()
            delays.append(time.monotonic_ns() - stamp)
            if start is None:
                start = time.process_time_ns()
            int(view[::PAGE].sum())
    except TimeoutError:
        pass
    cpu = time.process_time_ns() - (start or 0)
    report.send((delays, cpu))
    os._exit(0)  # no transport's tear-down is part of this


def run(transport: str, frames: int, period: float) -> tuple[list[int], float, float]:
    """Delays in ns, CPU microseconds a frame sent (both processes), frames sent a second."""
    context = multiprocessing.get_context("spawn")
    shared: dict[str, Any] = {
        "ready": context.Event(),
        "attached": context.Event(),
        "free": context.Semaphore(SLOTS),
        "filled": context.Semaphore(0),
        "queue": context.Queue(SLOTS),
    }
    name = f"bench{os.getpid()}"
    frame = np.random.default_rng(0).integers(0, 255, SHAPE, np.uint8)
    mine, theirs = context.Pipe()
    consumer = context.Process(target=consume, args=(transport, name, dict(shared), theirs))
    send = TRANSPORTS[transport][0](name, shared)
    consumer.start()
    shared["attached"].wait()
    began_cpu, began = time.process_time_ns(), time.monotonic()
    for number in pace(frames, period):
        frame[0, 0, 0] = number & 0xFF
        send(frame)
    seconds = time.monotonic() - began
    if transport == "multiprocessing.Queue":  # its feeder thread works on after put()
        while not shared["queue"].empty():
            time.sleep(0.01)
    cpu = time.process_time_ns() - began_cpu
    delays, consumer_cpu = mine.recv()
    consumer.join()
    shared.get("close", lambda: None)()
    return delays, (cpu + consumer_cpu) / frames / 1e3, frames / seconds


def pace(frames: int, period: float) -> Iterator[int]:
    due = time.monotonic()
    for number in range(frames):
        if period:
            due += period
            time.sleep(max(0.0, due - time.monotonic()))
        yield number


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--frames", type=int, default=300)
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    rows = []
    for transport in TRANSPORTS:
        if transport == "iceoryx2":
            try:
                import iceoryx2  # noqa: F401
            except ImportError:
                continue
        frames = options.frames if transport != "multiprocessing.Queue" else options.frames // 3
        paced, paced_cpu, _ = run(transport, frames, 1 / 60)
        _, flat_cpu, rate = run(transport, frames, 0.0)
        quantiles = statistics.quantiles(paced, n=100)
        rows.append(
            {
                "transport": transport,
                "p50_us": round(quantiles[49] / 1e3, 1),
                "p99_us": round(quantiles[98] / 1e3, 1),
                "cpu_us_paced": round(paced_cpu, 1),
                "cpu_us_flat": round(flat_cpu, 1),
                "fps_flat": round(rate),
                "received": len(paced),
            }
        )
    if options.json:
        print(json.dumps({"schema": 1, "benchmark": "handover", "rows": rows}))
        return
    print(
        f"{'transport':28}{'p50 us':>10}{'p99 us':>10}{'CPU us, 60 fps':>16}{'flat':>8}{'fps':>8}"
    )
    for row in rows:
        print(
            f"{row['transport']:28}{row['p50_us']:>10}{row['p99_us']:>10}"
            f"{row['cpu_us_paced']:>16}{row['cpu_us_flat']:>8}{row['fps_flat']:>8}"
        )


if __name__ == "__main__":
    main()
