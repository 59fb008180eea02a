"""How many frames our policy gathers before it asks: as many as the deadline leaves time for."""

from __future__ import annotations

from statistics import median_low

from edgesdk.balance.grouping import group_size
from edgesdk.sim.workload import Arrival, Workload, regroup

__all__ = ["gathered"]


def gathered(workload: Workload) -> Workload:
    """*workload* with its groups cut to the size of :func:`edgesdk.balance.group_size`, by what a
    middling holder of the model needs; never larger than the parameters say."""
    parameters = workload.parameters
    costs = workload.service.costs
    sizes: dict[int, int] = {}
    wire = 8000 / min(filter(None, (parameters.nic_mbps, parameters.radio_mbps)))

    def most(arrival: Arrival) -> int:
        model = arrival.model
        if model not in sizes:
            holders = [n.kind for n in workload.nodes if model in n.residents]
            kinds = holders or [n.kind for n in workload.nodes]
            middling = median_low(costs[kind][model] for kind in kinds)
            sizes[model] = group_size(
                deadline_ns=round(parameters.deadline_ms * 1e6),
                period_ns=round(1e9 / parameters.fps),
                cost_ns=lambda n: middling[n - 1],
                wire_ns=lambda n: round(n * parameters.frame_bytes * wire),
                most=parameters.group,
            )
        return sizes[model]

    return regroup(workload, most)
