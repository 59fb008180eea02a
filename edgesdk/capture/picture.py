"""What every reader yields: one decoded picture that can write itself into a slot."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from edgesdk.core.ring import ColourRange, ColourSpace
from edgesdk.errors import CaptureError

__all__ = ["SPARE_BYTES", "Picture", "Reader", "Silent", "row_bytes"]


SPARE_BYTES = 64
"""Behind the last row: room for a vector that FFmpeg's conversion stores beyond it."""


def row_bytes(width: int) -> int:
    """Bytes from row to row of a BGR picture: three a pixel, for *width* rounded up to 16.

    FFmpeg converts 8 or 16 pixels at a time. With a tighter stride it leaves the last ones out, or
    writes them past the end of the row. The usual widths are multiples of 16, and then a picture
    has no padding.
    """
    return -(-width // 16) * 48


@dataclass(slots=True, eq=False)
class Picture:
    """A decoded picture, not yet copied anywhere.

    ``write(slot, stride)`` puts its BGR pixels into *slot*, uint8 of one dimension and
    ``height * stride + SPARE_BYTES``, in one pass. It is called at most once, before the reader is
    asked for the next picture.
    """

    width: int
    height: int
    write: Callable[[NDArray[np.uint8], int], None]
    media_ns: int | None = None
    """Time within a file; None for a live source."""
    taken_ns: int = 0
    """When a live source took it, as well as can be told: nanoseconds of CLOCK_MONOTONIC."""
    colour_space: ColourSpace = ColourSpace.UNKNOWN
    """Of the coded picture, from which the BGR pixels were made."""
    colour_range: ColourRange = ColourRange.UNKNOWN
    frame_rate: float = 0.0
    qp: int = -1


class Silent(CaptureError):
    """The source is connected and gives nothing."""


class Reader(Protocol):
    """One connection to a source."""

    codec: str
    decode_errors: int

    def __iter__(self) -> Iterator[Picture]:
        """Pictures until the source ends. Raises CaptureError, Silent among them."""
        ...

    def close(self) -> None:
        """Let go of file, socket or device. Idempotent."""
        ...
