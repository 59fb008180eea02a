"""A compiled graph: what the runtime runs.

A :class:`Plan` is immutable, holds no state of any stream, and may be shared between threads. How
a frame goes through it::

    passed = set()
    for i in plan.selectors_of[camera]:           # in order
        if plan.operators[i].selectors <= passed and step(i):
            passed.add(i)
    for i in plan.wanted(camera, passed):         # in order: views, inferences, values, state
        ...
    for app in plan.applications_on(camera):
        plan.outputs_of(app, camera, passed)      # its record's outputs; none: not passed
"""

from __future__ import annotations

from collections.abc import Mapping
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Literal, Protocol

from edgesdk.graph.node import Role
from edgesdk.graph.place import Place

if TYPE_CHECKING:
    from edgesdk.graph.application import Application
    from edgesdk.graph.custom import Operator

__all__ = ["Card", "Plan", "PlannedOperator", "PlannedSink", "Step", "Verdict"]

Verdict = Literal["passed", "skipped_sample", "held"]


class Card(Protocol):
    """What a plan needs of a model card: :class:`edgesdk.models.ModelCard` has it."""

    @property
    def name(self) -> str: ...
    @property
    def task(self) -> str: ...
    @property
    def digest(self) -> str: ...
    @property
    def labels(self) -> Mapping[int, str]: ...


class Step(Protocol):
    """An operator on one stream, holding its state. Not thread-safe; frames come in order."""

    def step(self, *args: Any, **kwargs: Any) -> Any:
        """The values of its inputs, in order, and then the frame's FrameInfo."""


@dataclass(frozen=True, eq=False)
class PlannedOperator:
    """One operator of a plan, merged from equal ones of all its applications.

    inputs: indices of those whose values it takes. selectors: indices of those that must all have
    passed before a selector or stateful operator steps; stateless ones run where a consumer wants
    them. gives: its value's type. params: plain data. origin: the applications' own lines. since:
    when the state that its value rests on was begun (see :func:`compile_applications`).
    """

    index: int
    id: str
    kind: str
    role: Role
    gives: str
    camera: str
    inputs: tuple[int, ...]
    selectors: frozenset[int]
    params: Mapping[str, Any]
    model: Any | None
    applications: frozenset[str]
    places: tuple[Place, ...]
    custom: Operator[Any, Any] | None = None
    since: int = 0

    @property
    def key(self) -> tuple[str, int]:
        """What it is on its camera, in this plan and in later ones: its id, and since when."""
        return self.id, self.since

    @property
    def card_digest(self) -> str | None:
        """Of its model's card; None without a model."""
        return None if self.model is None else str(self.model.digest)

    @property
    def name(self) -> str:
        """Its kind, or the name of a user's operator."""
        return self.kind if self.custom is None else self.custom.name

    @property
    def location(self) -> str:
        """The first place where it was written, ``people.py:9``."""
        return str(self.places[0])

    def start(self) -> Step:
        """A new state for one stream. Sources and inferences have none: the runtime does those.

        A selector's step gives a bool; all others give a value of the type *gives*.
        """
        from edgesdk.graph.operators import start

        return start(self)


@dataclass(frozen=True, eq=False)
class PlannedSink:
    """Where an application's values go. kind: jsonl, callback, mqtt, webhook, with its params.

    *operator*'s value, under the name *output*, makes up the ``outputs`` of its records, which are
    those frames that passed *selectors*.
    """

    application: str
    camera: str
    kind: str
    params: Mapping[str, Any]
    operator: int
    output: str
    selectors: frozenset[int]
    place: Place


@dataclass(frozen=True, eq=False)
class Plan:
    """Applications compiled together, on one camera or several.

    operators: in an order in which inputs and selectors come before what needs them; an operator
    belongs to one camera. outputs: by (application, camera), the operator behind each named output.
    selectors: likewise, what must pass before that output has a value.
    """

    operators: tuple[PlannedOperator, ...]
    applications: Mapping[str, Application[Any]]
    outputs: Mapping[tuple[str, str], Mapping[str, int]]
    selectors: Mapping[tuple[str, str], Mapping[str, frozenset[int]]]
    sinks: tuple[PlannedSink, ...]
    selectors_of: Mapping[str, tuple[int, ...]] = field(init=False)
    cameras: tuple[str, ...] = field(init=False)
    _wanted: dict[tuple[str, frozenset[int]], tuple[int, ...]] = field(
        init=False, default_factory=dict, repr=False
    )

    def __post_init__(self) -> None:
        cameras = tuple(dict.fromkeys(camera for _, camera in self.outputs))
        chosen = {
            camera: tuple(
                p.index for p in self.operators if p.camera == camera and p.role == "selector"
            )
            for camera in cameras
        }
        object.__setattr__(self, "cameras", cameras)
        object.__setattr__(self, "selectors_of", MappingProxyType(chosen))

    @property
    def models(self) -> dict[str, str]:
        """Names of the cards that its operators run, by digest."""
        cards = (operator.model for operator in self.operators if operator.model is not None)
        return {str(card.digest): str(card.name) for card in cards}

    def applications_on(self, camera: str) -> tuple[str, ...]:
        """The applications that run on *camera*."""
        return tuple(app for app, where in self.outputs if where == camera)

    def outputs_of(self, application: str, camera: str, passed: AbstractSet[int]) -> dict[str, int]:
        """The outputs that a frame has for *application*, given the selectors that *passed*."""
        needs = self.selectors[application, camera]
        return {
            name: operator
            for name, operator in self.outputs[application, camera].items()
            if needs[name] <= passed
        }

    def verdict(self, application: str, camera: str, passed: AbstractSet[int]) -> Verdict:
        """What the selectors made of a frame for *application*.

        ``held`` if a gate saw the frame and held it, ``skipped_sample`` if it never got that far.
        """
        if self.outputs_of(application, camera, passed):
            return "passed"
        for needs in self.selectors[application, camera].values():
            waiting = list(needs)
            while waiting:
                selector = self.operators[waiting.pop()]
                if selector.index in passed:
                    continue
                if selector.kind == "gate" and selector.selectors <= passed:
                    return "held"
                waiting.extend(selector.selectors)
        return "skipped_sample"

    def wanted(self, camera: str, passed: AbstractSet[int]) -> tuple[int, ...]:
        """The operators to run on a frame of *camera*, in order; without sources and selectors.

        Those behind an output or sink whose selectors passed, and every stateful operator whose
        own selectors passed: it must not miss a frame because a consumer of its does.
        """
        key = (camera, frozenset(passed))
        found = self._wanted.get(key)
        if found is None:
            found = self._wanted[key] = self._find_wanted(camera, key[1])
        return found

    def _find_wanted(self, camera: str, passed: frozenset[int]) -> tuple[int, ...]:
        waiting = [
            p.index
            for p in self.operators
            if p.camera == camera and p.role == "stateful" and p.selectors <= passed
        ]
        for app in self.applications_on(camera):
            waiting.extend(self.outputs_of(app, camera, passed).values())
        waiting.extend(
            sink.operator
            for sink in self.sinks
            if sink.camera == camera and sink.selectors <= passed
        )
        found: set[int] = set()
        while waiting:
            index = waiting.pop()
            if index not in found:
                found.add(index)
                waiting.extend(self.operators[index].inputs)
        skipped = ("source", "selector")
        return tuple(i for i in sorted(found) if self.operators[i].role not in skipped)
