"""Another mix of machines under streams that run: few machines go, few streams are exchanged.

When needs have changed, the cheapest mix is another one. Of the mixes that cost at most a little
more than it, one is chosen that leaves most machines as they are and some room; the streams of the
machines that go find places, and exchanges mend what is over.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray

from edgesdk.planner.apportioning import apportion
from edgesdk.planner.balancing import settle
from edgesdk.planner.highs import new_highs
from edgesdk.planner.items import UNLIMITED, Items, make_items
from edgesdk.planner.mix import resource_cuts
from edgesdk.planner.plan import Machine
from edgesdk.planner.problem import Problem

__all__ = ["retarget"]

Ints = NDArray[np.int64]

_THRIFT = 0.0001  # of a machine over capacity is worth moving one stream
_MOST_CLASSES = 20_000  # beyond, looking at exchanges takes too long
_ROUNDS = 900
_SPLIT_SECONDS = 0.5


def retarget(
    problem: Problem,
    machines: Sequence[Machine],
    *,
    microusd: int,
    room: float,
    expired: Callable[[], bool],
    rng: np.random.Generator,
) -> list[Machine] | None:
    """*machines*, which may be too full, made to hold *problem* for at most *microusd*.

    *room*: how many of the streams a hundredth of free room is worth moving, as a share of all.
    Machines that stay keep their ids; new ones have the id "". None where nothing was found, or
    there are rules that this does not know.
    """
    items = make_items(problem)
    if problem.together or len(problem.classes) > _MOST_CLASSES or not items.same_need:
        return None
    names = [m.name for m in problem.machines]
    have = Counter(machine.type for machine in machines)
    mix = _near_mix(items, [have[n] for n in names], microusd, room, len(machines))
    if mix is None:
        return None
    kept: list[Machine] = []
    for kind, name in enumerate(names):
        there = [m for m in machines if m.type == name]
        there.sort(key=lambda m: -sum(m.streams.values()))
        kept += there[: int(mix[kind])]
        kept += [Machine("", name, {})] * (int(mix[kind]) - min(len(there), int(mix[kind])))
    kind_of = {
        name: item
        for item, units in enumerate(items.units)
        for bundle, _ in units
        for name in bundle
    }
    counts = np.zeros((len(kept), items.kinds), np.int64)
    for row, machine in enumerate(kept):
        for name, count in machine.streams.items():
            if name in kind_of:
                counts[row, kind_of[name]] += count
    kinds = np.array([names.index(machine.type) for machine in kept])
    settled = settle(items, kinds, counts, expired, rng=rng, rounds=_ROUNDS, thrift=_THRIFT)
    return None if settled is None else _named(problem, kept, kind_of, settled)


def _near_mix(
    items: Items, have: Sequence[int], microusd: int, room: float, size: int
) -> Ints | None:
    """Machines of each type for at most *microusd*: few go, and what room is left counts."""
    import highspy

    highs = new_highs(time_limit=0.2, mip_rel_gap=1e-3)
    types = items.types
    for kind in range(types):
        limit = float(items.limit[kind])
        upper = highspy.kHighsInf if limit >= UNLIMITED else limit
        highs.addCol(0.0, 0.0, upper, 0, np.zeros(0, np.int32), np.zeros(0))
    for _ in range(types):  # how many of the type go
        highs.addCol(1.0 / max(1, size), 0.0, highspy.kHighsInf, 0, np.zeros(0, np.int32), [])
    highs.addCol(-100.0 * room, 0.0, 0.05, 0, np.zeros(0, np.int32), [])
    columns = np.arange(types, dtype=np.int32)
    highs.changeColsIntegrality(types, columns, np.ones(types, dtype=np.uint8))
    highs.addRow(-highspy.kHighsInf, microusd / 1e6, types, columns, items.price / 1e6)
    with_room = np.append(columns, 2 * types).astype(np.int32)
    cuts = resource_cuts(items)
    if (apportioned := apportion(items, seconds=_SPLIT_SECONDS)) is not None:
        cuts.append(apportioned.cut)
    for cut in cuts:
        shares = np.append(cut.holds / cut.value, -1.0)
        highs.addRow(1.0, highspy.kHighsInf, types + 1, with_room, shares)
    for kind in range(types):
        pair = np.array([kind, types + kind], np.int32)
        highs.addRow(float(have[kind]), highspy.kHighsInf, 2, pair, np.ones(2))
    highs.run()
    solution = np.array(highs.getSolution().col_value)
    feasible = highs.getInfo().primal_solution_status == 2
    if not feasible or len(solution) != 2 * types + 1:
        return None
    mix: Ints = np.rint(solution[:types]).astype(np.int64)
    return mix


def _named(
    problem: Problem, machines: Sequence[Machine], kind_of: dict[str, int], settled: Ints
) -> list[Machine]:
    """*settled* kinds as streams of classes: those that were there stay, as many as may."""
    left = {c.name: c.count for c in problem.classes if c.count}
    wanted = settled.copy()
    streams: list[dict[str, int]] = []
    for row, machine in enumerate(machines):
        held: dict[str, int] = {}
        for name, count in machine.streams.items():
            if name in left:
                stay = min(count, left[name], int(wanted[row, kind_of[name]]))
                if stay:
                    held[name] = stay
                    left[name] -= stay
                    wanted[row, kind_of[name]] -= stay
        streams.append(held)
    pools: dict[int, list[str]] = {}
    for name in left:
        pools.setdefault(kind_of[name], []).append(name)
    for row, item in np.argwhere(wanted > 0):
        for name in pools[int(item)]:
            count = min(left[name], int(wanted[row, item]))
            if count:
                streams[row][name] = streams[row].get(name, 0) + count
                left[name] -= count
                wanted[row, item] -= count
    return [Machine(m.id, m.type, s) for m, s in zip(machines, streams, strict=True) if s]
