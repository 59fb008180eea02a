"""From a plan and its models to executors, and to the ports by which cameras reach them."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

from edgesdk.errors import AdmissionRefused
from edgesdk.graph.plan import Plan
from edgesdk.runtime.camera import LOSSLESS_OPEN
from edgesdk.runtime.executor import Executor, Outcome
from edgesdk.runtime.flow import NO_DEADLINE_NS, Port
from edgesdk.runtime.program import CameraProgram, Stage
from edgesdk.runtime.sessions import LoadedModel

__all__ = ["Wiring", "batches_wanted", "connect"]

# Pictures in one request (DESIGN 3: a frame group), and crops of a stream that may wait.
_GROUP = 8
_CROPS_WAITING = 64


@dataclass(frozen=True, eq=False)
class Wiring:
    """Executors by device, and the ports of each camera's inference stages by stage index."""

    executors: dict[str, Executor] = field(default_factory=dict)
    ports: dict[str, dict[int, Port]] = field(default_factory=dict)

    def executor_of(self, model: LoadedModel) -> Executor:
        return self.executors[model.spec.device]


def batches_wanted(plan: Plan, index: int) -> tuple[int, ...]:
    """Batch sizes that the model of operator *index* may meet: 1 for one stream of whole frames."""
    operator = plan.operators[index]
    same = [p for p in plan.operators if p.card_digest == operator.card_digest]
    crops = any(len(p.inputs) > 1 for p in same)
    largest = _GROUP if crops else min(_GROUP, len(same))
    return tuple(size for size in (1, 2, 4, 8) if size <= largest)


def connect(
    plan: Plan,
    programs: Sequence[CameraProgram],
    models: Mapping[str, LoadedModel],
    *,
    queues: Mapping[str, int],
    lossless: Mapping[str, bool],
    report: Callable[[Sequence[Outcome]], None],
) -> Wiring:
    """Makes every executor, application, model and stream known to the scheduler.

    *models* are by card digest; *queues* and *lossless* by camera. Raises AdmissionRefused, with
    the operator and the figure, where a deadline cannot be kept on this node.
    """
    wiring = Wiring()
    heaviest = max((app.weight for app in plan.applications.values()), default=1.0)
    app_numbers: dict[tuple[str, str], int] = {}
    model_numbers: dict[str, int] = {}
    for digest, model in models.items():
        device = model.spec.device
        if device not in wiring.executors:
            wiring.executors[device] = Executor(device, report)
        model_numbers[digest] = wiring.executors[device].add_model(model)
    for program in programs:
        ports = wiring.ports[program.camera] = {}
        for stage in program.inferences:
            digest = stage.planned.card_digest or ""
            model = models[digest]
            executor = wiring.executor_of(model)
            app = _payer(plan, stage)
            key = (executor.device, app)
            if key not in app_numbers:
                # Weights matter relative to each other only; the scheduler takes 0.001 to 1000.
                weight = 1000 * plan.applications[app].weight / heaviest
                app_numbers[key] = executor.add_app(max(0.001, weight))
            waits = lossless[program.camera]
            depth = max(queues[program.camera], LOSSLESS_OPEN if waits else 1)
            try:
                stream = executor.add_stream(
                    app_numbers[key],
                    model_numbers[digest],
                    period_ns=0,
                    deadline_ns=NO_DEADLINE_NS if waits else _shortest_deadline(plan, stage),
                    depth=depth * _CROPS_WAITING if stage.crops else depth,
                )
            except AdmissionRefused as error:
                message = f"{stage.planned.location}: {stage.planned.name}: {error}"
                raise AdmissionRefused(message, needed_ns=error.needed_ns) from None
            group = min(_GROUP, model.max_batch)
            ports[stage.index] = Port(stream, group, model, stage.options)
    return wiring


def _payer(plan: Plan, stage: Stage) -> str:
    """Whose share a merged operator is charged to: that of the heaviest of its applications."""
    return max(sorted(stage.planned.applications), key=lambda app: plan.applications[app].weight)


def _shortest_deadline(plan: Plan, stage: Stage) -> int:
    return min(plan.applications[app].deadline_ns for app in stage.planned.applications)
