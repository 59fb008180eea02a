"""What the C library returns, as Python's errors and its units."""

from __future__ import annotations

import math

from edgesdk.core._native import ffi, lib
from edgesdk.errors import RingBusy, RingError, RingInvalid, RingStale

__all__ = ["RingFull", "RingMissing", "check", "timeout_ns"]


class RingMissing(RingError, FileNotFoundError):
    """No ring of this name (yet)."""


class RingFull(RingBusy):
    """Readers hold every slot, or more frames are begun than the ring allows."""


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
