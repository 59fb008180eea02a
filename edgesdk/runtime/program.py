"""A plan as one camera runs it: which stages a frame needs, and how each of them is run."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from edgesdk.graph.frames import FrameInfo, FrameView
from edgesdk.graph.plan import Plan, PlannedOperator, Step, Verdict
from edgesdk.runtime.own_operator import Call
from edgesdk.runtime.sessions import Picture

__all__ = ["CameraProgram", "Choice", "Stage", "Wish"]


class Stage:
    """One planned operator of one camera, with its state where it keeps any.

    *index* numbers it among the camera's operators, in this plan and those that follow: plans
    number theirs anew. *inputs* are such numbers too. *before* is the same operator of the plan
    before, whose state goes on.
    """

    __slots__ = (
        "app",
        "crops",
        "index",
        "inputs",
        "options",
        "own",
        "planned",
        "stateful",
        "step",
        "takes_frames",
    )

    def __init__(
        self,
        plan: Plan,
        planned: PlannedOperator,
        numbers: Mapping[int, int],
        before: Stage | None = None,
    ) -> None:
        self.planned = planned
        self.index = numbers[planned.index]
        self.inputs = tuple(numbers[i] for i in planned.inputs)
        self.takes_frames = any(plan.operators[i].gives == "frames" for i in planned.inputs)
        self.stateful = planned.role == "stateful"
        self.own = planned.custom is not None
        self.crops = planned.role == "inference" and len(planned.inputs) > 1
        self.app = min(planned.applications)
        self.step: Step | None = None
        if before is not None:
            self.step = before.step
        elif planned.role not in ("source", "inference"):
            self.step = planned.start()
        wanted = ((name, planned.params.get(name)) for name in ("score", "iou"))
        self.options = tuple((name, value) for name, value in wanted if value is not None)

    def run(self, inputs: Sequence[Any], info: FrameInfo) -> Any:
        assert self.step is not None
        return self.step.step(*inputs, info)

    def asks(self, inputs: Sequence[Any], info: FrameInfo) -> Sequence[Picture | Call]:
        """What an inference looks at, the frame or one crop for each detection; of an operator of
        the user's own, the call."""
        if self.own:
            return [Call(tuple(inputs), info)]
        view: FrameView = inputs[0]
        if not self.crops:
            return [Picture(view.image, view.colour, view.box)]
        height, width = view.image.shape[:2]
        pad = float(self.planned.params.get("pad", 0.0))
        return [
            Picture(view.image, view.colour, _crop(box, pad, width, height))
            for box in inputs[1].boxes.tolist()
        ]

    def gathered(self, values: list[Any]) -> Any:
        """The stage's value, from one value a picture."""
        return values if self.crops else values[0]

    @property
    def where(self) -> str:
        """For people: what it is and where it was written."""
        return f"{self.planned.name} ({self.planned.location})"


def _crop(
    box: Sequence[float], pad: float, width: int, height: int
) -> tuple[float, float, float, float]:
    """*box* made wider, within the frame, and at least one pixel large."""
    x1, y1, x2, y2 = box
    dx, dy = pad * (x2 - x1), pad * (y2 - y1)
    left, top = min(max(x1 - dx, 0.0), width - 1.0), min(max(y1 - dy, 0.0), height - 1.0)
    right, bottom = max(min(x2 + dx, width), left + 1.0), max(min(y2 + dy, height), top + 1.0)
    return left, top, right, bottom


@dataclass(frozen=True, slots=True)
class Wish:
    """What one application wants of a frame: operators by output name, and by number of sink."""

    app: str
    verdict: Verdict
    outputs: Mapping[str, int]
    sinks: Mapping[int, int]
    operators: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Choice:
    """What happens to frames that passed one set of selectors."""

    wishes: tuple[Wish, ...]
    stages: tuple[Stage, ...]


class CameraProgram:
    """The part of *plan* that concerns *camera*. Owned by the dispatcher: selectors keep state.

    *before* is the camera's program of the plan before: operators that are in both go on with
    their state under their numbers. *sinks* numbers the plan's sinks; as the plan does if None.
    """

    def __init__(
        self,
        plan: Plan,
        camera: str,
        *,
        before: CameraProgram | None = None,
        sinks: Sequence[int] | None = None,
    ) -> None:
        self.camera = camera
        self.apps = plan.applications_on(camera)
        self._plan = plan
        self._sinks = range(len(plan.sinks)) if sinks is None else sinks
        mine = [p for p in plan.operators if p.camera == camera]
        known: Mapping[tuple[str, int], Stage] = {} if before is None else before.by_key
        first: int = 0 if before is None else before.next_index
        fresh = [p for p in mine if p.key not in known]
        numbers = {p.index: known[p.key].index for p in mine if p.key in known}
        numbers |= {p.index: first + at for at, p in enumerate(fresh)}
        self.next_index: int = first + len(fresh)
        self._planned = {p.index: Stage(plan, p, numbers, known.get(p.key)) for p in mine}
        self.stages = {stage.index: stage for stage in self._planned.values()}
        self.by_key: Mapping[tuple[str, int], Stage] = {
            stage.planned.key: stage for stage in self.stages.values()
        }
        self.inferences = [s for s in self.stages.values() if s.planned.role == "inference"]
        own = [s for s in self.stages.values() if s.own and s.takes_frames]
        self.pixel_stages = [*self.inferences, *own]
        """Those that hold a frame's pixels while they wait and work on another thread."""
        self.source = next(
            (s.index for s in self.stages.values() if s.planned.role == "source"), -1
        )
        self._selectors = [self._planned[i] for i in plan.selectors_of[camera]]
        self._choices: dict[frozenset[int], Choice] = {}

    def look(self, info: FrameInfo, view: FrameView) -> tuple[Choice, dict[int, Any]]:
        """Asks the selectors; also what was computed on the way: views of the frame, by index."""
        values: dict[int, Any] = {self.source: view}
        passed: set[int] = set()
        for stage in self._selectors:
            if stage.planned.selectors <= passed:
                inputs = [self._view(i, info, values) for i in stage.inputs]
                if stage.run(inputs, info):
                    passed.add(stage.planned.index)
        key = frozenset(passed)
        choice = self._choices.get(key)
        if choice is None:
            choice = self._choices[key] = self._choose(key)
        return choice, values

    def _view(self, index: int, info: FrameInfo, values: dict[int, Any]) -> Any:
        if index not in values:
            stage = self.stages[index]
            inputs = [self._view(i, info, values) for i in stage.inputs]
            values[index] = stage.run(inputs, info)
        return values[index]

    def _choose(self, passed: frozenset[int]) -> Choice:
        plan, planned = self._plan, self._planned
        wishes = []
        for app in self.apps:
            outputs = {
                name: planned[index].index
                for name, index in plan.outputs_of(app, self.camera, passed).items()
            }
            sinks = {
                number: planned[sink.operator].index
                for number, sink in zip(self._sinks, plan.sinks, strict=True)
                if (sink.application, sink.camera) == (app, self.camera)
                and sink.selectors <= passed
            }
            verdict = plan.verdict(app, self.camera, passed)
            if sinks:
                verdict = "passed"
            operators = tuple(dict.fromkeys((*outputs.values(), *sinks.values())))
            wishes.append(Wish(app, verdict, outputs, sinks, operators))
        stages = tuple(planned[i] for i in plan.wanted(self.camera, passed))
        return Choice(tuple(wishes), stages)
