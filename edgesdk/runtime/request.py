"""What is asked of a model, and how it ended: on this node, on another one, or for another one."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from edgesdk.runtime.execution import Execution
from edgesdk.runtime.runnable import Asked

__all__ = ["Outcome", "Reach", "Request", "Terms", "Times"]

Reach = Literal["node", "site", "cluster"]


@dataclass(frozen=True, slots=True)
class Times:
    """Nanoseconds of one request; *prepare*, *infer* and *decode* are those of its batch.

    *wire*: what the way to another node and back took, beside the four others.
    """

    queue: int = 0
    prepare: int = 0
    infer: int = 0
    decode: int = 0
    wire: int = 0


@dataclass(frozen=True, slots=True)
class Terms:
    """What holds for all requests of one operator on one live camera.

    *app* is whose share pays, with its *weight*; *apps* are all that want it. *operator* is its
    id. *reach*: how far the camera's frames may go. *exact*: an application wants the bytes that
    this node's own session gives, so frames travel raw, and only to peers with an equal one.
    """

    camera: str
    app: str
    apps: frozenset[str]
    weight: float
    operator: str
    reach: Reach = "cluster"
    exact: bool = False


def _never() -> bool:
    return False


@dataclass(eq=False, slots=True)
class Request:
    """Pictures of one frame for one model, or a call of an own operator: the unit the scheduler
    decides about. *pictures* are Picture or Shrunk, or one Call.

    *stream* is the scheduler's; *done* is the caller's, never called by the executor. *options*
    are the decoding options (``score``, ``iou``) of the operator that asks. *captured_ns* and
    *terms* are there where the request may be placed on other nodes; *origin* names the node that
    asks where that is another one. *exact*: its values must not depend on what runs beside it.
    *ended* is the node's: set once its first outcome is settled.
    *whole* is the request that this one is a part of. *abandoned* says whether nobody waits for it
    any more: it is then not begun, but dropped (``cancelled``).
    """

    stream: int
    model: Asked
    pictures: Sequence[Any]
    deadline_ns: int
    done: Callable[[Outcome], None]
    options: tuple[tuple[str, Any], ...] = ()
    submitted_ns: int = 0
    captured_ns: int = 0
    terms: Terms | None = None
    origin: str = ""
    exact: bool = False
    ended: bool = False
    whole: Any = None
    abandoned: Callable[[], bool] = _never


@dataclass(eq=False, slots=True)
class Outcome:
    """How a request ended: *values*, one a picture; or *dropped*, the reason; or *error*.

    *request* is None for what was no inference. *execution* says what ran it where that was
    another node.
    """

    request: Request | None = None
    values: Sequence[Any] | None = None
    dropped: str | None = None
    error: Exception | None = None
    times: Times = field(default_factory=Times)
    execution: Execution | None = None
