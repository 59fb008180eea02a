"""Runs policies side by side and makes the document of it."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence

from edgesdk import __version__
from edgesdk.errors import UsageError
from edgesdk.sim.documents import SimDocument
from edgesdk.sim.fluid import pooled
from edgesdk.sim.policies import OURS, POLICIES, best_oracle, decision_us, simulate
from edgesdk.sim.workload import Workload

__all__ = ["chosen_policies", "report"]


def chosen_policies(names: str) -> list[str]:
    """The policies that ``a,b`` or ``all`` names.

    Raises:
        UsageError: one of them does not exist.
    """
    chosen = list(POLICIES) if names == "all" else [name.strip() for name in names.split(",")]
    for name in chosen:
        if name not in POLICIES:
            raise UsageError(f"there is no policy {name!r}; there are: {', '.join(POLICIES)}, all")
    return list(dict.fromkeys(chosen))


def report(
    workload: Workload,
    names: Sequence[str],
    *,
    case: str,
    oracle: bool = True,
    timing: bool = False,
    told: Callable[[str], None] = lambda words: None,
) -> SimDocument:
    """Runs the policies *names* on *workload*, one after the other; *told* hears which."""
    began = time.perf_counter()
    found = []
    best = None
    for name in names:
        told(name)
        if name == "omniscient":
            best = best_oracle(workload)
            found.append(best[0])
        else:
            found.append(simulate(workload, name))
    if oracle and best is None:
        told("omniscient")
        best = best_oracle(workload)
    told("the fluid bound")
    bound = pooled(workload)
    first = next((figures for figures in found if figures.policy == OURS), found[0])
    return SimDocument(
        edgesdk=__version__,
        case=case,
        parameters=workload.parameters,
        scale=round(workload.service.scale, 6),
        pooled=round(bound, 5),
        oracle=best[0].goodput if best else None,
        oracle_rule=best[1] if best else None,
        policy=first.policy,
        goodput=first.goodput,
        p10_camera=first.p10_camera,
        worst_model=first.worst_model,
        control_bytes_mean=first.control_bytes_mean,
        control_bytes_max=first.control_bytes_max,
        policies=found,
        decision_us=decision_us(workload) if timing else None,
        seconds=round(time.perf_counter() - began, 2),
    )
