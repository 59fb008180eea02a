"""What an operator takes along when its stream moves to another node, read back with suspicion.

State is plain data, small enough for one operator's part of a request, and has a version: what
another version or another hand wrote is refused as a whole, and the operator starts anew. Times are
of the CLOCK_MONOTONIC of the node that wrote them; the reader is told how far its own is ahead.
"""

from __future__ import annotations

import math
from typing import Annotated, Any, Literal, TypeVar

import msgspec

__all__ = [
    "MOST_TRACKS",
    "Carried",
    "Count",
    "Nanoseconds",
    "Number",
    "TrackId",
    "finite",
    "read_state",
]

MOST_TRACKS = 1200
"""Of a memory, the latest seen: those that may come back into view."""

Count = Annotated[int, msgspec.Meta(ge=0, lt=1 << 53)]
TrackId = Annotated[int, msgspec.Meta(ge=1, lt=1 << 53)]
Nanoseconds = Annotated[int, msgspec.Meta(ge=-(1 << 62), le=1 << 62)]
Number = Annotated[float, msgspec.Meta(ge=-1e15, le=1e15)]

S = TypeVar("S", bound="Carried")


class Carried(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A state that moves. *v* is raised when its meaning changes."""

    v: Literal[1]


def read_state(state: Any, kind: type[S]) -> S:
    """*state*, from another node, as a *kind*. Raises ValueError that says what is wrong."""
    try:
        return msgspec.convert(state, kind)
    except msgspec.ValidationError as error:
        raise ValueError(f"a state that means nothing here: {error}") from None


def finite(*numbers: float) -> None:
    """Raises ValueError if one of *numbers* is none."""
    if not all(map(math.isfinite, numbers)):
        raise ValueError("a state with a number that is none")
