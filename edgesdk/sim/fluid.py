"""What no policy can beat: the pooled accelerators as one fluid machine, without a network."""

from __future__ import annotations

import heapq

from edgesdk.sim.hardware import BATCH
from edgesdk.sim.workload import Workload

__all__ = ["pooled"]


def pooled(workload: Workload) -> float:
    """An upper bound of the goodput on *workload*, crashes left out.

    A frame costs the share of the pool that its cheapest class able to end it in time is worth
    (see :class:`edgesdk.sim.hardware.Pool`). Groups are taken by deadline, as Moore and Hodgson
    do; where one would be late, the most expensive work of the same busy period is shed, in parts
    if that is enough (the relaxation).
    """
    parameters = workload.parameters
    limit = round(parameters.deadline_ms * 1e6)
    warm = round(parameters.warm_up_s * 1e9)
    kinds = {node.kind for node in workload.nodes}
    prices, costs = workload.pool.prices, workload.service.costs
    known: dict[tuple[int, int, int], float | None] = {}

    def work(model: int, items: int, left: int) -> float | None:
        """Of a frame, in ns of the whole pool; None if no class could end the group."""
        able = [kind for kind in kinds if costs[kind][model][items - 1] <= left]
        if not able:
            return None
        key = (model, items, sum(1 << kind for kind in able))
        if key not in known:
            known[key] = min(prices[kind] * costs[kind][model][BATCH - 1] / BATCH for kind in able)
        return known[key]

    frames = shed = 0.0
    free_at = 0.0
    busy: list[tuple[float, int, float, bool]] = []  # of the busy period: -work, order, frames left
    for order, arrival in enumerate(sorted(workload.arrivals, key=lambda a: a.captured_ns)):
        counts = arrival.captured_ns >= warm
        frames += arrival.items if counts else 0
        deadline = arrival.captured_ns + limit
        each = work(arrival.model, arrival.items, deadline - arrival.at_ns)
        if each is None:
            shed += arrival.items if counts else 0
            continue
        if free_at <= arrival.at_ns:
            busy.clear()
            free_at = float(arrival.at_ns)
        free_at += each * arrival.items
        heapq.heappush(busy, (-each, order, float(arrival.items), counts))
        while free_at > deadline and busy:
            cost, number, left, counted = heapq.heappop(busy)
            part = min(left, (free_at - deadline) / -cost) if cost else left
            free_at += cost * part
            shed += part if counted else 0.0
            if left > part:
                heapq.heappush(busy, (cost, number, left - part, counted))
                break
    return 1.0 - shed / frames if frames else 1.0
