"""The ring as Python sees it, between real processes."""

from __future__ import annotations

import gc
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest

from edgesdk.core.ring import (
    Bell,
    ColourRange,
    ColourSpace,
    FrameProperties,
    PixelFormat,
    RingMissing,
    RingReader,
    RingWriter,
    unlink,
)
from edgesdk.errors import RingBusy, RingError, RingInvalid, RingStale

WRITER = """
import sys, time
import numpy as np
from edgesdk.core.ring import *
name, size = sys.argv[1], int(sys.argv[2])
writer = RingWriter(name, slot_bytes=size, slots=6)
print("ready", flush=True)
n = 0
while True:
    view = writer.begin(size)
    n += 1
    view[:] = n % 251
    writer.commit(FrameProperties(size, 1, PixelFormat.GRAY, size, n, n))
"""

HOLDER = """
import sys
from edgesdk.core.ring import *
reader = RingReader(sys.argv[1])
held = []
while not held:
    held = reader.take(2)
print("holding", flush=True)
sys.stdin.read()
"""


def gray(n: int = 16, at: int = 1) -> FrameProperties:
    return FrameProperties(n, 1, PixelFormat.GRAY, n, at, at)


def publish(writer: RingWriter, value: int, n: int = 16) -> int:
    return writer.publish(np.full(n, value, np.uint8), gray(n))


def until(condition: Callable[[], object], seconds: float = 10.0) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "condition never held"
        os.sched_yield()


@pytest.fixture
def name(request: pytest.FixtureRequest) -> Iterator[str]:
    unique = f"pytest.{os.getpid()}.{abs(hash(request.node.name)) % 10**9}"
    yield unique
    gc.collect()
    for left in Path("/dev/shm").glob(f"edgesdk.*.{unique}*"):
        left.unlink()


@pytest.fixture
def spawn() -> Iterator[Callable[..., subprocess.Popen[str]]]:
    """Starts a process of this interpreter and waits for its first line."""
    processes: list[subprocess.Popen[str]] = []

    def start(program: str, *arguments: object) -> subprocess.Popen[str]:
        process = subprocess.Popen(
            [sys.executable, "-c", program, *map(str, arguments)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        processes.append(process)
        assert process.stdout is not None
        assert process.stdout.readline()
        return process

    yield start
    for process in processes:
        process.kill()
        process.communicate()


def test_a_frame_arrives_with_all_its_properties(name: str) -> None:
    properties = FrameProperties(
        width=4,
        height=2,
        format=PixelFormat.BGR,
        stride=12,
        capture_mono_ns=123,
        capture_utc_ns=1_790_000_000_000_000_000,
        colour_space=ColourSpace.BT709,
        colour_range=ColourRange.LIMITED,
        frame_rate=29.97,
        qp=31,
    )
    pixels = np.arange(24, dtype=np.uint8).reshape(2, 4, 3)
    with RingWriter(name, slot_bytes=24) as writer, RingReader(name) as reader:
        assert reader.take() == []
        assert writer.publish(pixels, properties) == 1
        (frame,) = reader.take()
        assert (frame.sequence, frame.epoch, frame.properties) == (1, 1, properties)
        np.testing.assert_array_equal(frame.pixels(), pixels)


@pytest.mark.parametrize(
    ("kind", "nbytes", "stride", "shape"),
    [
        (PixelFormat.RGB, 3 * 40, 40, (3, 10, 3)),
        (PixelFormat.GRAY, 3 * 16, 16, (3, 10)),
        (PixelFormat.NV12, 6 * 16, 16, (6, 10)),
        (PixelFormat.I420, 6 * 16, 16, (6, 10)),
        (PixelFormat.JPEG, 77, 0, (77,)),
    ],
)
def test_pixels_have_the_formats_shape_whatever_the_stride(
    name: str, kind: PixelFormat, nbytes: int, stride: int, shape: tuple[int, ...]
) -> None:
    height = 4 if kind in (PixelFormat.NV12, PixelFormat.I420) else 3
    with RingWriter(name, slot_bytes=nbytes) as writer, RingReader(name) as reader:
        writer.begin(nbytes)[:] = np.arange(nbytes, dtype=np.uint8)
        writer.commit(FrameProperties(10, height, kind, stride, 1, 1))
        pixels = reader.take()[0].pixels()
        assert pixels.shape == shape
        assert not pixels.flags.writeable
        if stride:
            assert pixels[1].flat[0] == stride


def test_properties_that_do_not_fit_the_bytes_are_refused(name: str) -> None:
    with RingWriter(name, slot_bytes=64) as writer, RingReader(name) as reader:
        writer.begin(64)
        writer.commit(FrameProperties(1920, 1080, PixelFormat.BGR, 1920 * 3, 1, 1))
        with pytest.raises(RingInvalid, match="1920x1080 BGR"):
            reader.take()[0].pixels()


def inode(name: str) -> int:
    return Path(f"/dev/shm/edgesdk.ring.{name}").stat().st_ino


def mapped(segment: int) -> list[tuple[int, int, str]]:
    """Where this process has the segment of that inode, and with what rights."""
    found = []
    for line in Path("/proc/self/maps").read_text().splitlines():
        span, rights, _, _, number = line.split()[:5]
        if int(number) == segment:
            low, high = (int(part, 16) for part in span.split("-"))
            found.append((low, high, rights))
    return found


def test_no_byte_is_copied_between_begin_and_the_readers_array(name: str) -> None:
    size = 1920 * 1080 * 3
    with RingWriter(name, slot_bytes=size) as writer:
        view = writer.begin(size)
        address = view.ctypes.data
        segment = inode(name)
        assert [m[2] for m in mapped(segment) if m[0] <= address < m[1]] == ["rw-s"]
        view[:] = 7
        writer.commit(FrameProperties(1920, 1080, PixelFormat.BGR, 1920 * 3, 1, 1))
        with RingReader(name) as reader:
            (frame,) = reader.take()
            for array in (frame.data, frame.pixels(), frame.pixels()[100:200, ::2]):
                address = array.ctypes.data
                where = [m for m in mapped(segment) if m[0] <= address < m[1]]
                assert [rights for _, _, rights in where] == ["r--s"]
            # What the writer changes in place is seen, as it would not be in a copy.
            view[12345] = 99
            assert frame.data[12345] == 99
            del array, where


def test_the_last_slice_keeps_the_slot_and_its_death_frees_it(name: str) -> None:
    with RingWriter(name, slot_bytes=16, slots=3) as writer, RingReader(name) as reader:
        publish(writer, 1)
        (frame,) = reader.take()
        part = frame.pixels()[0, 3:9]
        frame.release()
        with pytest.raises(ValueError, match="released"):
            _ = frame.data
        for i in range(20):
            publish(writer, 2 + i)
        assert (part == 1).all()
        assert reader.take() == []  # it holds all it may
        del part
        assert [f.sequence for f in reader.take(1, latest=True)] == [21]


def test_frames_outlive_their_closed_reader_and_writer(name: str) -> None:
    with RingWriter(name, slot_bytes=16) as writer, RingReader(name) as reader:
        publish(writer, 5)
        (frame,) = reader.take()
        segment = inode(name)
    assert mapped(segment)
    assert (frame.data == 5).all()
    del frame
    gc.collect()
    assert not mapped(segment)


def test_frames_are_released_by_any_thread(name: str) -> None:
    with RingWriter(name, slot_bytes=16, slots=8) as writer, RingReader(name) as reader:
        for round_ in range(200):
            publish(writer, round_ % 256)
            frames = reader.take()
            thread = threading.Thread(target=frames.clear)
            thread.start()
            thread.join()
        publish(writer, 0)
        assert len(reader.take()) == 1


def test_a_slow_reader_sees_the_gap_and_latest_takes_only_the_newest(name: str) -> None:
    with RingWriter(name, slot_bytes=16, slots=4) as writer, RingReader(name) as reader:
        for i in range(10):
            publish(writer, i)
        assert [f.sequence for f in reader.take(latest=True)] == [10]
        assert reader.overruns == 0
        for i in range(10):
            publish(writer, i)
        assert [f.sequence for f in reader.take(1)] == [17]
        assert reader.overruns == 6


def test_a_larger_frame_moves_the_ring_and_a_reopened_reader_goes_on(name: str) -> None:
    with RingWriter(name, slot_bytes=16) as writer, RingReader(name) as reader:
        publish(writer, 1)
        publish(writer, 2)
        publish(writer, 3, n=100_000)
        old = reader.take()
        assert [f.sequence for f in old] == [1, 2]
        with pytest.raises(RingStale):
            reader.take()
        assert reader.stale
        reader.reopen()
        new = reader.take()
        assert [(f.sequence, f.data.nbytes) for f in new] == [(3, 100_000)]
        assert (old[0].data == 1).all()


def test_an_ended_stream_is_told_from_a_quiet_one(name: str) -> None:
    writer = RingWriter(name, slot_bytes=16)
    with RingReader(name) as reader:
        assert not reader.wait(0.01)
        assert not reader.ended
        publish(writer, 1)
        writer.end()
        writer.close()
        assert not reader.ended
        assert len(reader.take()) == 1
        assert reader.ended
        assert reader.take() == []
        assert not reader.wait(60)
    with pytest.raises(RingMissing):
        RingReader(name)


def test_a_second_writer_and_a_33rd_reader_are_refused(name: str) -> None:
    with RingWriter(name, slot_bytes=16):
        with pytest.raises(RingBusy, match=f"{name}.*writer"):
            RingWriter(name, slot_bytes=16)
        readers = [RingReader(name) for _ in range(32)]
        with pytest.raises(RingBusy, match="places"):
            RingReader(name)
        readers.pop().close()
        readers.append(RingReader(name))
        for reader in readers:
            reader.close()


@pytest.mark.parametrize("bad", ["", "a/b", "Door", "../etc", "x" * 64])
def test_a_name_that_is_none_is_a_named_error(bad: str) -> None:
    with pytest.raises(RingInvalid, match="name"):
        RingWriter(bad, slot_bytes=1)
    with pytest.raises(RingInvalid, match="name"):
        RingReader(bad)


def test_garbage_under_the_name_is_refused_by_readers_and_replaced_by_a_writer(name: str) -> None:
    path = Path(f"/dev/shm/edgesdk.ring.{name}")
    path.write_bytes(os.urandom(5000))
    path.chmod(0o600)
    with pytest.raises(RingInvalid, match="not an edgesdk segment"):
        RingReader(name)
    with RingWriter(name, slot_bytes=16) as writer, RingReader(name) as reader:
        publish(writer, 1)
        assert len(reader.take()) == 1


def test_use_after_fork_is_an_error_and_hurts_nobody(name: str) -> None:
    program = """
import os, sys
import numpy as np
from edgesdk.core.ring import *
from edgesdk.errors import RingError
name = sys.argv[1]
writer, reader = RingWriter(name, slot_bytes=16), RingReader(name)
writer.publish(np.zeros(16, np.uint8), FrameProperties(16, 1, PixelFormat.GRAY, 16, 1, 1))
child = os.fork()
if child == 0:
    caught = 0
    for call in (lambda: writer.begin(16), reader.take, lambda: reader.wait(0)):
        try:
            call()
        except RingError as error:
            caught += "fork" in str(error)
    os._exit(caught)
assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 3
assert len(reader.take()) == 1
writer.close()
"""
    subprocess.run([sys.executable, "-c", program, name], check=True, timeout=30)


def test_a_killed_writer_is_followed_by_another_and_no_frame_is_torn(
    name: str, spawn: Callable[..., subprocess.Popen[str]]
) -> None:
    size = 200_000
    reader = None
    sequence = 0
    for life in range(1, 6):
        writer = spawn(WRITER, name, size)
        if reader is None:
            reader = RingReader(name)
        seen = 0
        while seen < 20:
            assert reader.wait(10)
            for frame in reader.take():
                assert frame.sequence > sequence
                sequence = frame.sequence
                assert (frame.data == frame.data[0]).all()
                seen += frame.epoch == life
        assert reader.writer_alive
        writer.send_signal(signal.SIGKILL)
        writer.wait()
        assert not reader.writer_alive
        assert reader.epoch == life
    assert reader is not None
    reader.close()
    unlink(name)
    with pytest.raises(RingMissing):
        unlink(name)


def test_slots_of_killed_readers_are_back_within_a_second(
    name: str, spawn: Callable[..., subprocess.Popen[str]]
) -> None:
    with RingWriter(name, slot_bytes=16, slots=6) as writer, RingReader(name) as reader:
        publish(writer, 1)
        for i in range(3):
            publish(writer, i)
            holder = spawn(HOLDER, name)
            holder.send_signal(signal.SIGKILL)
            holder.wait()
            reader.take(latest=True)
        died = time.monotonic()
        held: list[object] = []
        while len(held) < 4:  # slots - 1 - the one being written
            publish(writer, 9)
            held += reader.take(1)
        assert time.monotonic() - died < 1.0


def test_a_source_that_can_wait_loses_no_frame(
    name: str, spawn: Callable[..., subprocess.Popen[str]]
) -> None:
    program = """
import sys
from edgesdk.core.ring import *
reader = RingReader(sys.argv[1])
print("ready", flush=True)
n = 0
while not reader.ended:
    reader.wait(1)
    n += len(reader.take())
print(n, reader.overruns, flush=True)
"""
    writer = RingWriter(name, slot_bytes=16, slots=4)
    reader = spawn(program, name)
    for i in range(500):
        publish(writer, i % 256)
        assert writer.wait_taken(10)
    writer.end()
    assert reader.stdout is not None
    assert reader.stdout.readline().split() == ["500", "0"]
    writer.close()


def test_one_bell_serves_many_rings(name: str) -> None:
    with Bell(f"{name}.bell") as bell:
        assert not bell.wait(0)
        writers = [RingWriter(f"{name}.{i}", slot_bytes=16) for i in range(200)]
        readers = [RingReader(f"{name}.{i}", bell=bell) for i in range(200)]
        for chosen in ([3], [0, 63, 64, 199], [7, 8]):
            for i in chosen:
                publish(writers[i], 1)
            rung: set[int] = set()
            while len(rung) < len(chosen):
                assert bell.wait(10)
                rung |= {readers.index(reader) for reader in bell.rung()}
            assert rung == set(chosen)
            assert all(len(readers[i].take()) == 1 for i in chosen)
        for reader, writer in zip(readers, writers, strict=True):
            reader.close()
            writer.close()


def test_a_bell_is_rung_by_another_process_and_by_another_thread(
    name: str, spawn: Callable[..., subprocess.Popen[str]]
) -> None:
    with Bell(f"{name}.bell") as bell:
        writer = spawn(WRITER, name, 64)
        with RingReader(name, bell=bell) as reader:
            until(lambda: bell.wait(1) and reader in bell.rung() and reader.take())
            writer.kill()
            writer.wait()
            while bell.wait(0):
                pass
            reader.take()
            timer = threading.Timer(0.05, bell.ring)
            timer.start()
            begin = time.monotonic()
            bell.wait(30)
            assert time.monotonic() - begin < 20
            timer.join()
        with pytest.raises(RingBusy):
            Bell(f"{name}.bell")
    unlink(name)


def test_closed_things_say_so(name: str) -> None:
    writer, bell = RingWriter(name, slot_bytes=16), Bell(name)
    reader = RingReader(name)
    for thing in (writer, bell, reader):
        thing.close()
        thing.close()
    for call in (lambda: writer.begin(1), lambda: bell.wait(0), reader.take):
        with pytest.raises(ValueError, match="closed"):
            call()


def test_two_fresh_processes_leave_nothing_in_shared_memory(name: str) -> None:
    program = """
import sys
import numpy as np
from edgesdk.core.ring import *
with RingWriter(sys.argv[1], slot_bytes=16) as w, RingReader(sys.argv[1]) as r:
    w.publish(np.zeros(16, np.uint8), FrameProperties(16, 1, PixelFormat.GRAY, 16, 1, 1))
    print(len(r.take()))
"""
    for _ in range(2):
        done = subprocess.run(
            [sys.executable, "-c", program, name], capture_output=True, text=True, timeout=30
        )
        assert (done.stdout, done.stderr) == ("1\n", "")
    assert not list(Path("/dev/shm").glob(f"*{name}*"))


def test_an_error_carries_the_c_librarys_number(name: str) -> None:
    with pytest.raises(RingError) as caught:
        RingReader(name)
    assert caught.value.code == -2
    assert isinstance(caught.value, FileNotFoundError)
