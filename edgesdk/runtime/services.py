"""What a camera's flow needs of the node around it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

from edgesdk.graph.frames import FrameInfo, FrameView
from edgesdk.records import Provenance
from edgesdk.runtime.latency import Durations
from edgesdk.runtime.outlet import Delivery
from edgesdk.runtime.program import Stage
from edgesdk.runtime.request import Outcome, Terms
from edgesdk.snapshot import Histogram

__all__ = ["Port", "Services", "StageClock"]


class Services(Protocol):
    """What a flow needs of the node."""

    name: str

    def infer(
        self,
        port: Port,
        pictures: Sequence[Any],
        deadline_ns: int,
        done: Callable[[Outcome], None],
    ) -> None:
        """Submits one group; *done* is called on the dispatcher."""
        ...

    def place(
        self,
        port: Port,
        pictures: Sequence[Any],
        deadline_ns: int,
        done: Callable[[Outcome], None],
        captured_ns: int,
    ) -> None:
        """The same where other nodes may do it: *port* has terms."""
        ...

    def call(self, app: str, function: Callable[[], Any], done: Callable[[Outcome], None]) -> None:
        """Runs a user's operator on its application's thread; *done* as above."""
        ...

    def provenance(self, stage: Stage, camera: str) -> Provenance | None:
        """The entry of what does *stage* here; None where its model never was here."""
        ...

    def provenance_of(self, stage: Stage, camera: str, outcome: Outcome) -> Provenance:
        """The entry of what did *stage* on another node."""
        ...

    def observed(
        self, camera: str, info: FrameInfo, view: FrameView, results: Sequence[Delivery]
    ) -> None:
        """A frame with its pixels (see ``keep_pixels``), once all of its results are there."""
        ...


@dataclass(frozen=True, slots=True)
class Port:
    """Where an inference stage of one camera, or a call of an own operator, enters a scheduler.

    *terms*: there where its requests may be placed on other nodes too. *exact*: see Request.
    """

    stream: int
    group: int  # pictures a request may have
    model: Any  # of runnable.Asked
    options: tuple[tuple[str, Any], ...] = ()
    terms: Terms | None = None
    exact: bool = False


@dataclass(eq=False, slots=True)
class StageClock:
    """How long a stage takes; one for each planned operator, over all cameras."""

    kind: str
    id: str
    durations: Durations = field(default_factory=Durations)
    histogram: Histogram = field(default_factory=Histogram)

    def add(self, ns: int) -> None:
        self.durations.add(ns)
        self.histogram.observe(ns / 1e9)
