"""From a finished simulation's ledger to its figures."""

from __future__ import annotations

from collections import defaultdict

from edgesdk.sim.documents import Figures, Moment
from edgesdk.sim.hardware import CLASSES, MODELS
from edgesdk.sim.ledger import AWAY, LATE, LOST, OK
from edgesdk.sim.simulation import Simulation

__all__ = ["figures"]

_MOMENT_NS = 5_000_000_000


def figures(name: str, simulation: Simulation) -> Figures:
    """The figures of a simulation that has run, under the policy's *name*."""
    parameters = simulation.parameters
    warm = round(parameters.warm_up_s * 1e9)
    ledger = simulation.ledger
    by_camera: dict[int, _Share] = defaultdict(_Share)
    by_model: dict[int, _Share] = defaultdict(_Share)
    by_class: dict[int, _Share] = defaultdict(_Share)
    by_moment: dict[int, _Share] = defaultdict(_Share)
    whole = _Share()
    late = lost = 0
    latencies = []
    for arrival, end, latency in zip(
        simulation.arrivals, ledger.ends, ledger.latency_ns, strict=True
    ):
        if end == AWAY:
            continue
        ok = arrival.items if end == OK else 0
        by_moment[arrival.captured_ns // _MOMENT_NS].add(arrival.items, ok)
        if arrival.captured_ns < warm:
            continue
        kind = simulation.nodes[arrival.node].kind
        for share in (whole, by_camera[arrival.node], by_model[arrival.model], by_class[kind]):
            share.add(arrival.items, ok)
        late += arrival.items if end == LATE else 0
        lost += arrival.items if end == LOST else 0
        if latency:
            latencies.append(latency)
    latencies.sort()
    cameras = sorted(share.value for share in by_camera.values())
    seconds = parameters.duration_s - parameters.warm_up_s
    nodes = len(simulation.nodes)
    loads = simulation.loads
    models = [by_model[m].value for m in range(len(MODELS)) if m in by_model]
    return Figures(
        policy=name,
        goodput=_rounded(whole.value),
        p10_camera=_rounded(cameras[len(cameras) // 10] if cameras else 1.0),
        worst_model=_rounded(min(models, default=1.0)),
        by_model=[_rounded(value) for value in models],
        by_class={
            kind.name: _rounded(by_class[k].value)
            for k, kind in enumerate(CLASSES)
            if k in by_class
        },
        frames=whole.frames,
        late=late,
        lost=lost,
        dropped=dict(sorted(ledger.reasons.items())),
        duplicates=ledger.duplicates,
        groups=len(simulation.arrivals),
        executed=simulation.executed,
        offloaded_share=_rounded(simulation.offloaded / max(ledger.ends.count(OK), 1)),
        latency_p50_ms=_quantile_ms(latencies, 0.5),
        latency_p99_ms=_quantile_ms(latencies, 0.99),
        control_bytes_mean=round(sum(simulation.control_bytes) / nodes / seconds, 1),
        control_bytes_max=round(max(simulation.control_bytes) / seconds, 1),
        control_bytes_received_max=round(max(simulation.control_received) / seconds, 1),
        data_bytes=round(simulation.data_bytes / nodes / parameters.duration_s, 1),
        loads=len(loads),
        loads_per_node=_rounded(len(loads) / nodes),
        timeline=[
            Moment(
                at_s=moment * _MOMENT_NS / 1e9,
                goodput=_rounded(by_moment[moment].value),
                loads=sum(1 for at in loads if at // _MOMENT_NS == moment),
            )
            for moment in sorted(by_moment)
        ],
        events=simulation.engine.events,
    )


class _Share:
    __slots__ = ("frames", "ok")

    def __init__(self) -> None:
        self.frames = 0
        self.ok = 0

    def add(self, frames: int, ok: int) -> None:
        self.frames += frames
        self.ok += ok

    @property
    def value(self) -> float:
        return self.ok / self.frames if self.frames else 1.0


def _rounded(value: float) -> float:
    return round(value, 5)


def _quantile_ms(ordered: list[int], quantile: float) -> float:
    if not ordered:
        return 0.0
    return round(ordered[min(int(quantile * len(ordered)), len(ordered) - 1)] / 1e6, 2)
