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

import time
from types import TracebackType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgesdk.core._native import ffi, lib
from edgesdk.core.bell import Bell
from edgesdk.core.codes import RingFull, RingMissing, check, timeout_ns
from edgesdk.core.frames import (
    ColourRange,
    ColourSpace,
    Frame,
    FrameProperties,
    PixelFormat,
    Pixels,
    ReaderHandle,
    hold,
)

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


def unlink(name: str) -> None:
    """Removes a ring whose writer is dead. RingBusy: it lives; RingMissing: there is none."""
    check(lib.edge_ring_unlink(name.encode()), f"ring {name!r}")


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


class RingReader:
    """A reader of ring *name*. RingMissing, RingBusy (32 readers live), RingInvalid.

    With a *bell*, every commit also rings it. The first :meth:`take` begins with the oldest frame
    that is still there.
    """

    def __init__(self, name: str, *, bell: Bell | None = None, any_user: bool = False) -> None:
        self.name = name
        self._bell = bell
        self._flags = lib.EDGE_RING_ANY_USER if any_user else 0
        self._tag = bell.admit(self) if bell is not None else 0
        self._handle: ReaderHandle | None = None
        self._lost = 0
        self._refused = False
        self._frames = ffi.new("edge_frame[]", lib.EDGE_RING_SLOTS_MAX)
        self._info = ffi.new("edge_ring_info *")
        try:
            self._handle = self._attach()
        except BaseException:
            if bell is not None:
                bell.dismiss(self._tag)
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
        return [hold(handle, self._frames[i]) for i in range(got)]

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
        """Whether a process has the ring open for writing now."""
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
                self._bell.dismiss(self._tag)

    def __enter__(self) -> RingReader:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()

    def _attach(self) -> ReaderHandle:
        out = ffi.new("edge_ring_reader **")
        bell = ffi.NULL if self._bell is None else self._bell.pointer()
        code = lib.edge_ring_open(out, self.name.encode(), self._flags, bell, self._tag)
        self._check(code)
        return ReaderHandle(out[0])

    def _open(self) -> ReaderHandle:
        if self._handle is None:
            raise ValueError(f"ring {self.name!r} is closed")
        return self._handle

    def _read_info(self) -> Any:
        self._check(lib.edge_ring_get_info(self._open().pointer, self._info))
        return self._info

    def _check(self, code: int) -> int:
        return check(code, f"ring {self.name!r}")
