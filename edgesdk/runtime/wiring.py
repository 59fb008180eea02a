"""From plans and their models to executors, and to the ports by which cameras reach them."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from edgesdk.errors import AdmissionRefused, UsageError
from edgesdk.graph.plan import Plan
from edgesdk.runtime.blueprint import Blueprint
from edgesdk.runtime.camera import LOSSLESS_OPEN
from edgesdk.runtime.executor import Executor, Outcome
from edgesdk.runtime.flow import NO_DEADLINE_NS, Port
from edgesdk.runtime.installed import Installed
from edgesdk.runtime.program import CameraProgram, Stage
from edgesdk.runtime.request import Reach, Terms
from edgesdk.runtime.sessions import KnownModel, LoadedModel

__all__ = ["BATCHES", "Connection", "Wiring", "batches_wanted"]

# Pictures in one request (DESIGN 3: a frame group), and crops of a stream that may wait.
_GROUP = 8
_CROPS_WAITING = 64
_NO_STREAM = -1
BATCHES = (1, 2, 4, 8)


@dataclass(frozen=True, slots=True)
class _Stream:
    """What makes a stream one and no other: a change of any of it is a new stream."""

    executor: Executor
    app: str
    model: LoadedModel
    deadline_ns: int
    depth: int


@dataclass(frozen=True, eq=False)
class Connection:
    """What one plan has in the executors: *ports* by camera and by stage index."""

    ports: dict[str, dict[int, Port]] = field(default_factory=dict)
    streams: dict[tuple[str, int], tuple[_Stream, int]] = field(default_factory=dict)


class Wiring:
    """The executors of a node, by device, and what streams, models and applications they know.

    *report* is the executors'. *installed*: there where inferences of live cameras, and its own
    operators, go to a placer, so they have terms instead of streams, and executors have one lane.
    Any thread; :meth:`connect` and what undoes it, one at a time.
    """

    def __init__(
        self,
        report: Callable[[Sequence[Outcome]], None],
        *,
        installed: Installed | None = None,
    ) -> None:
        self._installed = installed
        self.executors: Mapping[str, Executor] = {}
        self._report = report
        self._lock = threading.Lock()
        self._models: dict[LoadedModel, int] = {}
        self._started = False
        self._apps: dict[tuple[Executor, str], tuple[int, float]] = {}

    def executor_of(self, model: LoadedModel) -> Executor:
        return self.executors[model.spec.device]

    def add_model(self, model: LoadedModel) -> int:
        """Makes *model* known to its device's scheduler, and gives its number there."""
        device = model.spec.device
        with self._lock:
            if device not in self.executors:
                # Other threads may be reading it.
                alone = self._installed is not None or model.spec.evidence == "stand-in"
                executor = Executor(device, self._report, lanes=1 if alone else 2)
                self.executors = {**self.executors, device: executor}
                if self._started:
                    executor.start()
            if model not in self._models:
                self._models[model] = self.executor_of(model).add_model(model)
            return self._models[model]

    def remove_model(self, model: LoadedModel) -> None:
        """Forgets *model*. Raises UsageError while it has streams, reservations or a batch."""
        with self._lock:
            number = self._models.get(model)
            if number is not None:
                self.executor_of(model).remove_model(number)
                del self._models[model]

    def start(self) -> None:
        """Starts the executors, and those that come later at once."""
        with self._lock:
            self._started = True
            for executor in self.executors.values():
                executor.start()

    def connect(
        self,
        plan: Plan,
        programs: Iterable[CameraProgram],
        models: Mapping[str, KnownModel],
        blueprint: Blueprint,
        before: Connection | None = None,
    ) -> Connection:
        """Streams for every inference of *programs*: those of *before* where nothing of theirs
        changed, the others new. Nothing of *before* is removed: see :meth:`disconnect`.

        *models* are by card digest. Raises AdmissionRefused, with the operator and the figure,
        where a deadline cannot be kept on this node; then it has changed nothing.
        """
        known = {} if before is None else before.streams
        made = Connection()
        try:
            for program in programs:
                camera = program.camera
                depth = blueprint.cameras[camera].queue
                lossless = blueprint.sources[camera].lossless
                ports = made.ports[camera] = {}
                for stage in program.inferences:
                    model = models[stage.planned.card_digest or ""]
                    if isinstance(model, LoadedModel):
                        self.add_model(model)
                    if self._installed is not None and not lossless:
                        terms = _terms(plan, stage, blueprint.cameras[camera].frames)
                        ports[stage.index] = Port(
                            _NO_STREAM, _GROUP, model, stage.options, terms, terms.exact
                        )
                        continue
                    if not isinstance(model, LoadedModel):
                        raise UsageError(
                            f"camera {camera} waits for each result (pace=fast), so it needs model "
                            f"{model.card.name!r} on this node, which has no room for it"
                        )
                    wanted = self._wanted(plan, stage, model, depth, lossless)
                    at = camera, stage.index
                    found = known.get(at)
                    number = found[1] if found and found[0] == wanted else -1
                    if number < 0:
                        number = self._open(plan, stage, wanted)
                    made.streams[at] = wanted, number
                    ports[stage.index] = Port(
                        number,
                        min(_GROUP, model.max_batch),
                        model,
                        stage.options,
                        exact=_exact(plan, stage),
                    )
                if self._installed is not None and not lossless:
                    ports |= self._calls(self._installed, plan, program, blueprint)
        except BaseException:
            self.disconnect(made, before)
            raise
        return made

    def _calls(
        self, installed: Installed, plan: Plan, program: CameraProgram, blueprint: Blueprint
    ) -> dict[int, Port]:
        """The ports of *program*'s own operators that other nodes may do."""
        reach = blueprint.cameras[program.camera].frames
        ports = {}
        for stage in program.stages.values():
            operator = installed.find(stage.planned.id)
            if operator is not None:
                terms = _terms(plan, stage, reach)
                ports[stage.index] = Port(_NO_STREAM, 1, operator, terms=terms, exact=terms.exact)
        return ports

    def disconnect(self, connection: Connection, kept: Connection | None) -> None:
        """Removes the streams of *connection* that *kept* lacks; what is queued there is dropped
        (``shutdown``)."""
        for executor, number in self.left_over(connection, kept):
            executor.remove_stream(number)

    def left_over(
        self, connection: Connection, kept: Connection | None
    ) -> list[tuple[Executor, int]]:
        """The streams of *connection* that *kept* lacks, with their executors."""
        numbers = (
            set() if kept is None else {(s.executor, number) for s, number in kept.streams.values()}
        )
        mine = [(stream.executor, number) for stream, number in connection.streams.values()]
        return [found for found in mine if found not in numbers]

    def weigh(self, plan: Plan) -> None:
        """Gives the applications of *plan* their weights, and forgets those that it lacks."""
        for (executor, app), (number, before) in list(self._apps.items()):
            if app not in plan.applications:
                # While a batch of it runs it has to wait for the next time.
                with contextlib.suppress(UsageError):
                    executor.remove_app(number)
                    del self._apps[executor, app]
                continue
            weight = _weight(plan, app)
            if weight != before:
                executor.set_weight(number, weight)
                self._apps[executor, app] = number, weight

    def _wanted(
        self, plan: Plan, stage: Stage, model: LoadedModel, depth: int, waits: bool
    ) -> _Stream:
        depth = max(depth, LOSSLESS_OPEN if waits else 1)
        return _Stream(
            self.executor_of(model),
            _payer(plan, stage),
            model,
            NO_DEADLINE_NS if waits else _shortest_deadline(plan, stage),
            depth * _CROPS_WAITING if stage.crops else depth,
        )

    def _open(self, plan: Plan, stage: Stage, wanted: _Stream) -> int:
        executor = wanted.executor
        if (executor, wanted.app) not in self._apps:
            weight = _weight(plan, wanted.app)
            self._apps[executor, wanted.app] = executor.add_app(weight), weight
        try:
            return executor.add_stream(
                self._apps[executor, wanted.app][0],
                self._models[wanted.model],
                period_ns=0,
                deadline_ns=wanted.deadline_ns,
                depth=wanted.depth,
            )
        except AdmissionRefused as error:
            message = f"{stage.planned.location}: {stage.planned.name}: {error}"
            raise AdmissionRefused(message, needed_ns=error.needed_ns) from None


def batches_wanted(plan: Plan, index: int) -> tuple[int, ...]:
    """Batch sizes that the model of operator *index* may meet: 1 for one stream of whole frames."""
    operator = plan.operators[index]
    same = [p for p in plan.operators if p.card_digest == operator.card_digest]
    crops = any(len(p.inputs) > 1 for p in same)
    largest = _GROUP if crops else min(_GROUP, len(same))
    return tuple(size for size in BATCHES if size <= largest)


def _weight(plan: Plan, app: str) -> float:
    """Weights matter relative to each other only; the scheduler takes 0.001 to 1000."""
    heaviest = max(found.weight for found in plan.applications.values())
    return max(0.001, 1000 * plan.applications[app].weight / heaviest)


def _terms(plan: Plan, stage: Stage, reach: Reach) -> Terms:
    app = _payer(plan, stage)
    apps = stage.planned.applications
    return Terms(
        camera=stage.planned.camera,
        app=app,
        apps=apps,
        weight=plan.applications[app].weight,
        operator=stage.planned.id,
        reach=reach,
        exact=_exact(plan, stage),
    )


def _exact(plan: Plan, stage: Stage) -> bool:
    return any(plan.applications[name].exact for name in stage.planned.applications)


def _payer(plan: Plan, stage: Stage) -> str:
    """Whose share a merged operator is charged to: that of the heaviest of its applications."""
    return max(sorted(stage.planned.applications), key=lambda app: plan.applications[app].weight)


def _shortest_deadline(plan: Plan, stage: Stage) -> int:
    return min(plan.applications[app].deadline_ns for app in stage.planned.applications)
