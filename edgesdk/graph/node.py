"""The symbolic graph: what a user's function builds, before any model or camera is known."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal

from edgesdk.graph.place import Place

if TYPE_CHECKING:
    from edgesdk.graph.custom import Operator

__all__ = ["Build", "Node", "Role", "Sink"]

Role = Literal["source", "selector", "value", "inference", "stateful"]


@dataclass(frozen=True, eq=False)
class Sink:
    """A place that a stream's values go to, as the user declared it."""

    kind: str
    params: Mapping[str, Any]
    node: Node
    selectors: tuple[Node, ...]
    name: str | None  # as the user said, if at all
    place: Place


@dataclass(eq=False)
class Build:
    """One call of one application's function: streams of two builds never mix."""

    application: str
    camera: str
    place: Place
    sinks: list[Sink] = field(default_factory=list)
    entered: list[str] = field(default_factory=list)  # applications whose functions are running
    pace: float = 1.0  # what each sample's rate is multiplied by
    rates: list[float] = field(default_factory=list)  # of the samples, as they were written

    def __str__(self) -> str:
        return f"application {self.application!r} on camera {self.camera!r}"


@dataclass(frozen=True, eq=False)
class Node:
    """One operator as it was written: compared by identity, merged by id when compiled.

    inputs: the nodes whose values it takes. selectors: those that must pass before it runs; kept
    only by roles whose own id they enter (selector, stateful). gives: the name of its value's type.
    """

    kind: str
    role: Role
    build: Build
    place: Place
    gives: str
    inputs: tuple[Node, ...] = ()
    selectors: tuple[Node, ...] = ()
    params: Mapping[str, Any] = field(default_factory=dict)
    model: str | None = None
    custom: Operator[Any, Any] | None = None
    written: str = ""  # what the user wrote, where that is not the kind
