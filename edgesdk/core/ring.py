"""Frames in shared memory: one writer, up to 32 readers, in any processes of this machine.

The C library does the work (``native/include/edgesdk/ring.h`` is the contract); here frames become
numpy arrays that lie in the ring's segment, without a copy in either direction::

    with RingWriter("door", slot_bytes=1920 * 1080 * 3) as writer:
        writer.begin(1920 * 1080 * 3)[:] = pixels
        writer.commit(FrameProperties(1920, 1080, PixelFormat.BGR, 1920 * 3, mono_ns, utc_ns))

    with RingReader("door") as reader:
        while reader.wait(1.0):
            for frame in reader.take():
                look_at(frame.pixels())

A frame is held until the last array over it is gone, or :meth:`Frame.release`. Writers and readers
are for one thread at a time; frames may be released by any thread. None of them survives
``fork()``: spawn processes.
"""

from __future__ import annotations

import math
import time
from dataclasses import dataclass
from enum import IntEnum
from types import TracebackType
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from edgesdk.core._native import ffi, lib
from edgesdk.errors import RingBusy, RingError, RingInvalid, RingStale

__all__ = [
    "Bell",
    "ColourRange",
    "ColourSpace",
    "Frame",
    "FrameProperties",
    "PixelFormat",
    "RingFull",
    "RingMissing",
    "RingReader",
    "RingWriter",
    "unlink",
]

Pixels: TypeAlias = NDArray[np.uint8]


class RingMissing(RingError, FileNotFoundError):
    """No ring of this name (yet)."""


class RingFull(RingBusy):
    """Readers hold every slot, or more frames are begun than the ring allows."""


class PixelFormat(IntEnum):
    """What the bytes of a frame are; planes follow one another."""

    BGR = lib.EDGE_FORMAT_BGR
    RGB = lib.EDGE_FORMAT_RGB
    GRAY = lib.EDGE_FORMAT_GRAY
    NV12 = lib.EDGE_FORMAT_NV12
    I420 = lib.EDGE_FORMAT_I420
    JPEG = lib.EDGE_FORMAT_JPEG


class ColourSpace(IntEnum):
    UNKNOWN = lib.EDGE_COLOUR_UNKNOWN
    BT601 = lib.EDGE_COLOUR_BT601
    BT709 = lib.EDGE_COLOUR_BT709
    BT2020 = lib.EDGE_COLOUR_BT2020
    SRGB = lib.EDGE_COLOUR_SRGB


class ColourRange(IntEnum):
    UNKNOWN = lib.EDGE_RANGE_UNKNOWN
    LIMITED = lib.EDGE_RANGE_LIMITED
    FULL = lib.EDGE_RANGE_FULL


@dataclass(frozen=True, slots=True)
class FrameProperties:
    """What a frame is: sizes in pixels, *stride* in bytes a row of the first plane."""

    width: int
    height: int
    format: PixelFormat
    stride: int
    capture_mono_ns: int
    capture_utc_ns: int
    colour_space: ColourSpace = ColourSpace.UNKNOWN
    colour_range: ColourRange = ColourRange.UNKNOWN
    frame_rate: float = 0.0
    """Frames a second; 0 is unknown."""
    qp: int = -1
    """The codec's mean quantisation parameter; -1 is unknown."""


_BUSY = {-lib.EDGE_E_WRITER, -lib.EDGE_E_READERS, -lib.EDGE_E_HOLDS}
_INVALID = {
    -code
    for code in (
        lib.EDGE_E_MAGIC,
        lib.EDGE_E_VERSION,
        lib.EDGE_E_HEADER,
        lib.EDGE_E_TRUNCATED,
        lib.EDGE_E_OWNER,
        lib.EDGE_E_NAME,
    )
}
_FOREVER = 2**64 - 1
_EBUSY, _EAGAIN, _ENOENT, _ENOSPC, _ESTALE, _EBADMSG = -16, -11, -2, -28, -116, -74


def check(code: int, what: str) -> int:
    """*code* if it is no error; else raises the class for it, with *what* and the C text."""
    if code >= 0:
        return code
    text = f"{what}: {ffi.string(lib.edge_strerror(code)).decode()}"
    if code == _ENOENT:
        raise RingMissing(text, code)
    if code == _ENOSPC:
        text += "; /dev/shm has no room for the ring: use fewer slots, or make it larger"
        raise RingError(text + " (docker run --shm-size)", code)
    if code == _ESTALE:
        raise RingStale(text, code)
    if code in (_EAGAIN, _EBUSY):
        raise RingFull(text, code)
    if code in _BUSY:
        raise RingBusy(text, code)
    if code in _INVALID or code == _EBADMSG:
        raise RingInvalid(text, code)
    raise RingError(text, code)


def timeout_ns(seconds: float) -> int:
    """Nanoseconds for the C library; infinity, and what is as long, waits for ever."""
    if math.isnan(seconds):
        raise ValueError("timeout is not a number")
    return int(_FOREVER if seconds > 1e9 else max(0.0, seconds) * 1e9)


def unlink(name: str) -> None:
    """Removes a ring whose writer is dead. RingBusy: it lives; RingMissing: there is none."""
    check(lib.edge_ring_unlink(name.encode()), f"ring {name!r}")


class Bell:
    """One waiter for many rings: give it to each :class:`RingReader`, then wait here.

    At most 4096 readers. One thread waits; any thread may :meth:`ring`.
    """

    def __init__(self, name: str) -> None:
        out = ffi.new("edge_bell **")
        check(lib.edge_bell_create(out, name.encode(), 0), f"bell {name!r}")
        self.name = name
        self._bell = ffi.gc(out[0], lib.edge_bell_close)
        self._tags = ffi.new("uint32_t[]", 256)
        self._readers: dict[int, RingReader] = {}
        self._rung: list[RingReader] = []

    def wait(self, timeout: float) -> bool:
        """Waits at most *timeout* seconds for any ring: True if one rang that is still open.

        False also when :meth:`ring` ended the wait. Which rings rang: :meth:`rung`.
        """
        n = check(
            lib.edge_bell_wait(self._open(), timeout_ns(timeout), self._tags, len(self._tags)),
            f"bell {self.name!r}",
        )
        known = [self._readers.get(tag) for tag in self._tags[0:n]]
        self._rung = [reader for reader in known if reader is not None]
        return bool(self._rung)

    def rung(self) -> list[RingReader]:
        """The readers whose rings rang in the last :meth:`wait`, each once."""
        return self._rung

    def ring(self) -> None:
        """Wakes the waiter, from any thread."""
        check(lib.edge_bell_ring(self._open(), lib.EDGE_BELL_TAGS), f"bell {self.name!r}")

    def close(self) -> None:
        """Removes the bell. Readers that have it stay usable, nothing rings for them."""
        if self._bell is not None:
            ffi.release(self._bell)
            self._bell = None

    def __enter__(self) -> Bell:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()

    def _open(self) -> Any:
        if self._bell is None:
            raise ValueError(f"bell {self.name!r} is closed")
        return self._bell

    def _add(self, reader: RingReader) -> int:
        for tag in range(lib.EDGE_BELL_TAGS):
            if tag not in self._readers:
                self._readers[tag] = reader
                return tag
        raise RingBusy(f"bell {self.name!r} has {lib.EDGE_BELL_TAGS} rings already")

    def _remove(self, tag: int) -> None:
        self._readers.pop(tag, None)


class RingWriter:
    """The one writer of ring *name*; RingBusy if another process is.

    *slot_bytes* is the size of the largest frame expected; a larger one moves the ring to a new
    segment by itself, and readers get :class:`RingStale`. *slots* lie in /dev/shm, prefaulted.
    *max_holds* bounds the frames one reader holds (default: all that leave the writer its own).
    A segment that a dead writer left is continued: numbers go on, :attr:`epoch` rises.
    """

    def __init__(
        self, name: str, *, slot_bytes: int, slots: int = 4, max_holds: int = 0, mode: int = 0o600
    ) -> None:
        self.name = name
        self.epoch = 0
        """Which writer of this ring this is, from 1; known after the first commit."""
        self._begun = False
        self._writer: Any = None
        self._frame = ffi.new("edge_frame *")
        config = ffi.new(
            "edge_ring_config *",
            {"slot_bytes": slot_bytes, "slots": slots, "max_holds": max_holds, "mode": mode},
        )
        out = ffi.new("edge_ring_writer **")
        self._check(lib.edge_ring_create(out, name.encode(), config))
        self._writer = out[0]
        self.epoch = int(lib.edge_ring_epoch(self._writer))

    def begin(self, nbytes: int) -> Pixels:
        """A writable array of *nbytes* in the segment, valid until :meth:`commit` or :meth:`abort`.

        A frame that was begun before is given up. RingFull: try again.
        """
        if self._begun:
            self.abort()
        self._check(lib.edge_ring_begin(self._open(), nbytes, self._frame))
        self._begun = True
        return np.frombuffer(ffi.buffer(self._frame.data, nbytes), np.uint8)

    def commit(self, properties: FrameProperties, nbytes: int | None = None) -> int:
        """Publishes the begun frame, the first *nbytes* of it if given. Returns its sequence."""
        if not self._begun:
            raise ValueError(f"ring {self.name!r}: commit without begin")
        frame = self._frame
        if nbytes is not None:
            frame.bytes = nbytes
        frame.width = properties.width
        frame.height = properties.height
        frame.format = properties.format
        frame.stride = properties.stride
        frame.capture_mono_ns = properties.capture_mono_ns
        frame.capture_utc_ns = properties.capture_utc_ns
        frame.colour_space = properties.colour_space
        frame.colour_range = properties.colour_range
        frame.frame_rate_mhz = round(properties.frame_rate * 1000)
        frame.qp = properties.qp
        self._check(lib.edge_ring_commit(self._open(), frame))
        self._begun = False
        return int(frame.sequence)

    def abort(self) -> None:
        """Gives the begun frame up; no sequence number is used."""
        if self._begun:
            self._begun = False
            self._check(lib.edge_ring_abort(self._open(), self._frame))

    def publish(self, array: NDArray[np.uint8], properties: FrameProperties) -> int:
        """Copies *array* into the ring as a frame. Returns its sequence."""
        self.begin(array.nbytes).reshape(array.shape)[...] = array
        return self.commit(properties)

    def wait_taken(self, timeout: float) -> bool:
        """Waits until every living reader took or passed the newest frame; False if time is up.

        For a source that can wait, such as a file, and wants no frame lost.
        """
        code = lib.edge_ring_wait_taken(self._open(), timeout_ns(timeout))
        return bool(self._check(code))

    def end(self) -> None:
        """Says that no frame will follow: readers that have seen all see ``ended``."""
        self._check(lib.edge_ring_end(self._open()))

    def close(self, unlink: bool = True) -> None:
        """Closes; with *unlink* the ring is removed, without, the next writer continues it."""
        if self._writer is not None:
            lib.edge_ring_writer_close(self._writer, unlink)
            self._writer = None
            self._begun = False

    def __del__(self) -> None:
        # A writer that was forgotten must not keep others from writing until the process ends.
        if getattr(self, "_writer", None) is not None:
            self.close(unlink=False)

    def __enter__(self) -> RingWriter:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    def _open(self) -> Any:
        if self._writer is None:
            raise ValueError(f"ring {self.name!r} is closed")
        return self._writer

    def _check(self, code: int) -> int:
        return check(code, f"ring {self.name!r}")


class Frame:
    """A frame that is held. It, and every array over it, holds; the last to go releases it."""

    __slots__ = ("_data", "_held", "_properties", "epoch", "sequence")

    def __init__(self, held: Any, data: Pixels) -> None:
        self.sequence: int = held.sequence
        self.epoch: int = held.epoch
        """Which writer of the ring it is from: counts restarts of the source's process."""
        self._held = held
        self._properties: FrameProperties | None = None
        self._data: Pixels | None = data

    @property
    def properties(self) -> FrameProperties:
        found = self._properties
        if found is None:
            held = self._held
            found = self._properties = FrameProperties(
                held.width,
                held.height,
                _FORMATS.get(held.format, PixelFormat.JPEG),
                held.stride,
                held.capture_mono_ns,
                held.capture_utc_ns,
                _SPACES.get(held.colour_space, ColourSpace.UNKNOWN),
                _RANGES.get(held.colour_range, ColourRange.UNKNOWN),
                held.frame_rate_mhz / 1000,
                held.qp,
            )
        return found

    @property
    def data(self) -> Pixels:
        """The bytes, uint8 [n], read-only, in the segment; the array keeps the hold."""
        if self._data is None:
            raise ValueError(f"frame {self.sequence} is released")
        return self._data

    def pixels(self) -> Pixels:
        """A read-only view in the format's shape.

        BGR and RGB [h, w, 3]; GRAY [h, w]; NV12 and I420 [h * 3 / 2, w]; JPEG [n]. Strides as the
        frame has them. RingInvalid if the properties and the bytes disagree.
        """
        data, p = self.data, self.properties
        if p.format == PixelFormat.JPEG:
            return data
        channels = 3 if p.format in (PixelFormat.BGR, PixelFormat.RGB) else 1
        planar = p.format in (PixelFormat.NV12, PixelFormat.I420)
        rows = p.height * 3 // 2 if planar else p.height
        # The last row need not have the padding that its stride has.
        if (
            p.width * channels > p.stride
            or rows == 0
            or (rows - 1) * p.stride + p.width * channels > data.nbytes
        ):
            raise RingInvalid(
                f"frame {self.sequence}: {data.nbytes} bytes are not {p.width}x{p.height} "
                f"{p.format.name} with {p.stride} bytes a row"
            )
        shape = (rows, p.width, 3) if channels == 3 else (rows, p.width)
        strides = (p.stride, 3, 1) if channels == 3 else (p.stride, 1)
        return np.lib.stride_tricks.as_strided(data, shape, strides, writeable=False)

    def release(self) -> None:
        """Drops this object's hold now. The slot is free once no array over it is left either."""
        self._data = None


class _Handle:
    """The C reader; closed when the RingReader is closed and the last frame is gone."""

    __slots__ = ("pointer",)

    def __init__(self, pointer: Any) -> None:
        self.pointer = pointer

    def __del__(self) -> None:
        lib.edge_ring_reader_close(self.pointer)


class RingReader:
    """A reader of ring *name*. RingMissing, RingBusy (32 readers live), RingInvalid.

    With a *bell*, every commit also rings it. The first :meth:`take` begins with the oldest frame
    that is still there.
    """

    def __init__(self, name: str, *, bell: Bell | None = None, any_user: bool = False) -> None:
        self.name = name
        self._bell = bell
        self._flags = lib.EDGE_RING_ANY_USER if any_user else 0
        self._tag = bell._add(self) if bell is not None else 0
        self._handle: _Handle | None = None
        self._lost = 0
        self._refused = False
        self._frames = ffi.new("edge_frame[]", lib.EDGE_RING_SLOTS_MAX)
        self._info = ffi.new("edge_ring_info *")
        try:
            self._handle = self._attach()
        except BaseException:
            if bell is not None:
                bell._remove(self._tag)
            raise

    def take(self, n: int = 8, *, latest: bool = False) -> list[Frame]:
        """Up to *n* unseen frames in order, or only the newest. Never waits; [] if there is none.

        A reader may hold so many frames and no more (``RingWriter.max_holds``): it then gets the
        rest once it has released some. RingStale: all is seen and the ring moved: :meth:`reopen`.
        """
        handle = self._open()
        mode = lib.EDGE_TAKE_LATEST if latest else lib.EDGE_TAKE_NEXT
        n = min(n, len(self._frames))
        got = lib.edge_ring_take(handle.pointer, mode, self._frames, n)
        self._refused = got == -lib.EDGE_E_HOLDS
        if got == -lib.EDGE_E_ENDED or self._refused:
            return []
        self._check(got)
        return [_frame(handle, self._frames[i]) for i in range(got)]

    def wait(self, timeout: float) -> bool:
        """Waits at most *timeout* seconds for an unseen frame that may be taken.

        False at once if the stream ended; False within 5 ms while readers hold all they may.
        RingStale as :meth:`take`.
        """
        code = lib.edge_ring_wait(self._open().pointer, timeout_ns(timeout))
        if code == -lib.EDGE_E_HOLDS or (code == 1 and self._refused):
            # Nothing rings when a reader releases a frame; do not let the caller spin until then.
            self._refused = False
            time.sleep(min(timeout, 0.005))
            return bool(code == 1)
        return code != -lib.EDGE_E_ENDED and bool(self._check(code))

    def reopen(self, timeout: float = 0.2) -> None:
        """Opens the ring of this name anew, after RingStale or a restart of its writer.

        Frames held stay valid. If the new segment goes on with the numbers, so does this reader.
        Waits *timeout* seconds for a name that is just being moved, then raises RingMissing.
        """
        seen = self._read_info().seen
        lost = self.overruns
        deadline = time.monotonic() + timeout
        while True:
            try:
                handle = self._attach()
                break
            except RingMissing:
                if time.monotonic() >= deadline:
                    raise
                time.sleep(0.001)
        self._handle = handle
        self._lost = lost
        if self._read_info().sequence >= seen:
            self._check(lib.edge_ring_skip(handle.pointer, seen))

    @property
    def ended(self) -> bool:
        """The writer said that no frame will follow, and this reader has seen all."""
        info = self._read_info()
        return bool(info.ended) and info.seen >= info.sequence

    @property
    def epoch(self) -> int:
        """How many writers this ring has had."""
        return int(self._read_info().epoch)

    @property
    def writer_alive(self) -> bool:
        return bool(self._read_info().writer)

    @property
    def stale(self) -> bool:
        """The ring moved to another segment, or its name is gone."""
        return bool(self._read_info().stale)

    @property
    def sequence(self) -> int:
        """Sequence of the newest frame in the ring; 0 before the first."""
        return int(self._read_info().sequence)

    @property
    def overruns(self) -> int:
        """Frames overwritten before this reader took them; those ``latest`` passes are not."""
        return self._lost + int(self._read_info().overruns)

    def close(self) -> None:
        """Closes. Frames still held stay valid until they are released."""
        if self._handle is not None:
            self._handle = None
            if self._bell is not None:
                self._bell._remove(self._tag)

    def __enter__(self) -> RingReader:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()

    def _attach(self) -> _Handle:
        out = ffi.new("edge_ring_reader **")
        bell = ffi.NULL if self._bell is None else self._bell._open()
        code = lib.edge_ring_open(out, self.name.encode(), self._flags, bell, self._tag)
        self._check(code)
        return _Handle(out[0])

    def _open(self) -> _Handle:
        if self._handle is None:
            raise ValueError(f"ring {self.name!r} is closed")
        return self._handle

    def _read_info(self) -> Any:
        self._check(lib.edge_ring_get_info(self._open().pointer, self._info))
        return self._info

    def _check(self, code: int) -> int:
        return check(code, f"ring {self.name!r}")


def _frame(handle: _Handle, found: Any) -> Frame:
    held = ffi.new("edge_frame *", found)

    def release(_: object) -> None:
        lib.edge_ring_release(handle.pointer, held, 1)

    owner = ffi.gc(held.data, release)
    data = np.frombuffer(ffi.buffer(owner, held.bytes), np.uint8)
    data.flags.writeable = False
    return Frame(held, data)


_FORMATS = {int(value): value for value in PixelFormat}
_SPACES = {int(value): value for value in ColourSpace}
_RANGES = {int(value): value for value in ColourRange}
