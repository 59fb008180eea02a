"""Plans that change little: after a loss, and when needs have changed.

Streams stay where they are unless they must move, or moving them saves money within the churn that
is allowed. Machines keep their ids; new ones get new ids.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Collection, Iterable
from dataclasses import dataclass, replace

import numpy as np

from edgesdk.errors import PlanError, UsageError
from edgesdk.planner.carrying import carried
from edgesdk.planner.fleet import Bundle, Fleet
from edgesdk.planner.heuristics import best_first_fit
from edgesdk.planner.items import make_items
from edgesdk.planner.matching import matched
from edgesdk.planner.packing import Clock, solve
from edgesdk.planner.plan import Machine, Plan, make_plan
from edgesdk.planner.problem import MachineType, Problem
from edgesdk.planner.restoring import restored
from edgesdk.planner.retargeting import retarget
from edgesdk.planner.shortage import unplaced
from edgesdk.planner.verifier import verify

__all__ = ["Replan", "TradeOff", "moved_streams", "repair", "replan"]


def repair(problem: Problem, plan: Plan, lost: Collection[str]) -> Plan:
    """*plan* without the machines whose ids are in *lost*: only their streams move.

    They go into the room that is left, tightest first, then onto new machines. A lost machine that
    cost nothing does not come back; a rented type can be rented again. Raises PlanError where the
    streams find no place, UsageError for an id that the plan does not have.
    """
    ids = {machine.id for machine in plan.machines}
    if unknown := sorted(set(lost) - ids):
        raise UsageError(f"the plan has no machine {', '.join(unknown)}")
    gone = [machine for machine in plan.machines if machine.id in lost]
    fleet = Fleet(problem, (m for m in plan.machines if m.id not in lost))
    waiting: Counter[Bundle] = Counter()
    for machine in gone:
        waiting.update(dict(fleet.bundles(machine.streams)))
    _put_all(fleet, waiting)
    used = Counter(m.type for m in fleet.machines)
    used.update(m.type for m in gone if _price(problem, m.type) == 0)
    new = _rented(problem, waiting, used, ids)
    return _finished(problem, [*fleet.result(), *new], "repaired")


@dataclass(frozen=True, slots=True)
class TradeOff:
    """A plan that could be had: how many streams move for it, and what it costs."""

    moved: int
    microusd: int


@dataclass(frozen=True, slots=True)
class Replan:
    """*plan* moves *moved* of the streams that ran before; *fresh* is a plan from nothing.

    *trade_off* has the plans between, by streams moved: what more churn would save.
    """

    plan: Plan
    moved: int
    fresh: Plan
    trade_off: tuple[TradeOff, ...]


def replan(
    problem: Problem,
    plan: Plan,
    *,
    clock: Clock,
    seconds: float = 10.0,
    churn: float = 0.1,
) -> Replan:
    """A plan for *problem*, whose needs or counts differ from those *plan* was made for.

    Of the streams that ran before at most the share *churn* moves, unless more must. Classes are
    matched by name; arrivals and departures are not moves. Raises as ``solve`` does.
    """
    start = clock()
    fresh = solve(problem, clock=clock, seconds=seconds / 2)
    named = matched(plan.machines, fresh.machines)
    expired = _after(clock, clock() + _RESTORING * seconds)
    named = restored(problem, plan.machines, named, expired)
    fresh = replace(fresh, machines=tuple(named))
    half, end = (start + clock() + seconds) / 2, start + seconds
    budget = int(churn * sum(sum(m.streams.values()) for m in plan.machines))
    found = [(moved_streams(plan.machines, fresh.machines), fresh.microusd, list(fresh.machines))]
    rng = np.random.default_rng(1)
    for trial in range(_MOST_TRIALS):
        near = fresh.microusd * (1 + (_NEAR if clock() < half else _FAIR))
        if trial and (
            clock() > end or any(moved <= budget and cost <= near for moved, cost, _ in found)
        ):
            break
        share, order = _TRIALS[trial] if trial < len(_TRIALS) else (0.95, "chance")
        try:
            machines = _kept(problem, plan, int(budget * share), order, clock, rng)
        except PlanError:  # what is left over finds no place beside what stays
            continue
        moved = moved_streams(plan.machines, machines)
        cost = sum(_price(problem, m.type) for m in machines)
        found.append((moved, cost, machines))
        if trial in _RETARGETED and (moved > budget or cost > near):
            until = clock() + _RETARGETING * (end - clock())
            found += _retargeted(problem, plan, fresh, budget, clock, until, rng)
    within = [f for f in found if f[0] <= budget] or [min(found, key=lambda f: f[0])]
    cheapest = min(cost for _, cost, _ in within)
    moved, _, machines = min((f for f in within if f[1] <= cheapest), key=lambda f: f[0])
    chosen = _finished(problem, machines, "replanned").bounded(fresh.bound_microusd)
    points = {(m, c) for m, c, _ in found}
    front = [
        TradeOff(m, c)
        for m, c in sorted(points)
        if all(c < other for moves, other in points if moves < m)
    ]
    return Replan(chosen, moved, fresh, tuple(front))


def _after(clock: Clock, end: float) -> Callable[[], bool]:
    return lambda: clock() > end


def _retargeted(
    problem: Problem,
    plan: Plan,
    fresh: Plan,
    budget: int,
    clock: Clock,
    end: float,
    rng: np.random.Generator,
) -> list[tuple[int, int, list[Machine]]]:
    """Plans on other mixes, until one moves no more than *budget*.

    Each mix gets its part of the time until *end*: one on which nothing is found takes all of it.
    """
    known = carried(problem, plan.machines)
    ids = {machine.id for machine in plan.machines}
    found = []
    for tried, (level, room) in enumerate(_LEVELS):
        if clock() > end:
            break
        expired = _after(clock, clock() + (end - clock()) / (len(_LEVELS) - tried))
        allowed = int(fresh.microusd * (1 + level))
        try:
            machines = retarget(
                problem, known, microusd=allowed, room=room, expired=expired, rng=rng
            )
        except ImportError:
            break
        if machines is None:
            continue
        new = _renamed((m for m in machines if not m.id), ids)
        machines = [*(m for m in machines if m.id), *new]
        expired = _after(clock, clock() + _RESTORING * (end - clock()))
        machines = restored(problem, plan.machines, machines, expired)
        moved = moved_streams(plan.machines, machines)
        found.append((moved, sum(_price(problem, m.type) for m in machines), machines))
        if moved <= budget:
            break
    return found


_RETARGETING = 0.5  # of the time that is left
_RESTORING = 0.1
_LEVELS = ((0.0095, 0.2), (0.0095, 0.02), (0.006, 0.2), (0.0095, 1.0))
"""How much dearer than a fresh plan, and how much free room is worth in moves."""

_TRIALS = (
    (0.0, "waste"),
    *((share, order) for share in (0.9, 0.5, 0.2, 0.7) for order in ("waste", "idle", "streams")),
)
"""How much of the churn is spent on dissolving machines, and which go first."""

_RETARGETED = (0, 5, 13, 30)  # trials after which other mixes are tried
_MOST_TRIALS = 60
_NEAR, _FAIR = 0.003, 0.0095
"""How near to a fresh plan's cost is enough, in the first half of the time and in the second."""


def moved_streams(before: Iterable[Machine], after: Iterable[Machine]) -> int:
    """How many streams of *before* are on another machine, by id, in *after*."""
    old = {m.id: m.streams for m in before}
    was: Counter[str] = Counter()
    for streams in old.values():
        was.update(streams)
    gained: Counter[str] = Counter()
    now: Counter[str] = Counter()
    for machine in after:
        there = old.get(machine.id, {})
        for name, count in machine.streams.items():
            now[name] += count
            gained[name] += max(0, count - there.get(name, 0))
    return sum(max(0, gained[name] - max(0, now[name] - was[name])) for name in gained)


def _kept(
    problem: Problem,
    plan: Plan,
    budget: int,
    order: str,
    clock: Clock,
    rng: np.random.Generator,
) -> list[Machine]:
    """*plan* made to hold for *problem*, after dissolving machines of *budget* streams."""
    known = {c.name: c.count for c in problem.classes}
    machines = carried(problem, plan.machines)
    fleet = Fleet(problem, machines)
    fleet.changed = [True] * len(machines)
    waiting: Counter[Bundle] = Counter()
    _depart(fleet, known)
    _evict(fleet, waiting)
    waiting.update(_arrivals(fleet, known, waiting))
    _dissolve(fleet, waiting, budget - sum(waiting.values()), order, rng)
    _put_all(fleet, waiting)
    used = Counter(m.type for m in fleet.machines)
    ids = {m.id for m in plan.machines}
    return [*fleet.result(), *_rented(problem, waiting, used, ids, clock)]


def _depart(fleet: Fleet, counts: dict[str, int]) -> None:
    """Streams that are gone leave the machines that are used least."""
    over: Counter[str] = Counter()
    for streams in fleet.streams:
        over.update(streams)
    over.subtract(counts)
    order = np.argsort(-fleet.left.sum(axis=1))
    for row in order:
        for bundle, there in fleet.bundles(fleet.streams[row]):
            excess = min((over[name] // each for name, each in bundle), default=0)
            if (taken := min(excess, there)) > 0:
                fleet.take(int(row), bundle, taken)
                for name, each in bundle:
                    over[name] -= each * taken


def _evict(fleet: Fleet, waiting: Counter[Bundle]) -> None:
    """From machines that hold too much, the fewest streams that make it fit."""
    for row in fleet.overfull():
        while (fleet.left[row] < 0).any():
            short = np.maximum(0, -fleet.left[row])
            best: tuple[float, Bundle] | None = None
            for bundle, _ in fleet.bundles(fleet.streams[row]):
                need = fleet.needs(bundle, fleet.machines[row].type)
                cured = float((np.minimum(need, short) / np.maximum(1, short)).sum())
                spare = float((need / np.maximum(1, fleet.room(row))).sum())
                rank = cured - 1e-3 * spare
                if best is None or rank > best[0]:
                    best = rank, bundle
            if best is None:
                break
            fleet.take(row, best[1], 1)
            waiting[best[1]] += 1


def _arrivals(fleet: Fleet, counts: dict[str, int], waiting: Counter[Bundle]) -> Counter[Bundle]:
    missing = Counter(counts)
    for streams in fleet.streams:
        missing.subtract(streams)
    for bundle, count in waiting.items():
        missing.subtract({name: each * count for name, each in bundle})
    return Counter(dict(fleet.bundles({n: k for n, k in missing.items() if k > 0})))


def _dissolve(
    fleet: Fleet, waiting: Counter[Bundle], budget: int, order: str, rng: np.random.Generator
) -> None:
    """Empty machines that cost money, *budget* streams at most: first those that cost most for
    what they hold, are used least, or hold the fewest streams for their price."""
    if budget <= 0 or not fleet.machines:
        return
    prices = np.array([_price(fleet.problem, m.type) for m in fleet.machines], float)
    rooms = np.array([fleet.room(row) for row in range(len(fleet.machines))])
    sizes = np.array([max(1, sum(s.values())) for s in fleet.streams])
    if order == "waste":
        rank = (prices - (rooms - fleet.left) @ _resource_prices(fleet.problem)) / sizes
    elif order == "idle":
        rank = (fleet.left / np.maximum(1, rooms)).mean(axis=1)
    elif order == "streams":
        rank = prices / sizes
    else:
        rank = rng.random(len(prices))
    gone = []
    for row in np.argsort(-rank, kind="stable"):
        if prices[row] and sizes[row] <= budget:
            gone.append(int(row))
            budget -= int(sizes[row])
    waiting.update(fleet.drop(gone))


def _resource_prices(problem: Problem) -> np.ndarray[tuple[int], np.dtype[np.float64]]:
    """Micro-dollars a unit of each resource, by the machines that are cheapest for the streams."""
    items = make_items(problem)
    total = (items.demand @ items.need[0]).astype(float)
    try:
        from edgesdk.planner.mix import unit_prices
    except ImportError:
        cheapest = np.argmin(items.price / np.maximum(1, items.room).sum(axis=1))
        room = np.maximum(1, items.room[cheapest])
        return np.asarray(items.price[cheapest] / room / len(total), np.float64)
    return unit_prices(items, total)


def _put_all(fleet: Fleet, waiting: Counter[Bundle]) -> None:
    """Place what waits, the largest first; what finds no place keeps waiting."""
    if not fleet.machines:
        return
    scale = np.maximum(1, fleet.left.max(axis=0))
    kind = fleet.machines[0].type
    order = sorted(waiting, key=lambda b: -float((fleet.needs(b, kind) / scale).max()))
    for bundle in order:
        waiting[bundle] = fleet.put(bundle, waiting[bundle])


def _rented(
    problem: Problem,
    waiting: Counter[Bundle],
    used: Counter[str],
    ids: set[str],
    clock: Clock | None = None,
) -> list[Machine]:
    """New machines for what waits, with ids that are not in *ids*; searched for with a *clock*."""
    counts: Counter[str] = Counter()
    for bundle, count in waiting.items():
        for name, each in bundle:
            counts[name] += each * count
    if not +counts:
        return []
    rest = _residual(problem, counts, used)
    if clock is not None:
        return _renamed(solve(rest, clock=clock, seconds=_REST_SECONDS).machines, ids)
    items = make_items(rest)
    packed = best_first_fit(items, quick=items.kinds > _QUICKLY)
    if not packed.whole:
        left = "; ".join(unplaced(items, packed.left))
        raise PlanError(f"the streams that lost their machines find no others: {left}")
    return _renamed(items.machines(packed.patterns), ids)


_REST_SECONDS = 0.3
_QUICKLY = 40  # kinds: of more, every order and rule takes more than the 50 ms there are


def _renamed(machines: Iterable[Machine], ids: set[str]) -> list[Machine]:
    """*machines* under names that are not in *ids*."""
    taken = set(ids)
    new = []
    numbers: Counter[str] = Counter()
    for machine in machines:
        while (name := f"{machine.type}-{numbers[machine.type] + 1}") in taken:
            numbers[machine.type] += 1
        taken.add(name)
        new.append(replace(machine, id=name))
    return new


def _residual(problem: Problem, counts: Counter[str], used: Counter[str]) -> Problem:
    classes = tuple(replace(c, count=counts[c.name]) for c in problem.classes if counts[c.name] > 0)
    names = {c.name for c in classes}
    return Problem(
        problem.resources,
        classes,
        tuple(_less(m, used[m.name]) for m in problem.machines),
        problem.target_ppm,
        problem.overload_ppm,
        problem.loads,
        tuple(tuple(n for n in group if n in names) for group in problem.apart),
        tuple(rule for rule in problem.together if names.issuperset(rule.classes)),
    )


def _less(machine: MachineType, used: int) -> MachineType:
    if machine.limit is None:
        return machine
    return replace(machine, limit=max(0, machine.limit - used))


def _price(problem: Problem, name: str) -> int:
    return next(m.microusd for m in problem.machines if m.name == name)


def _finished(problem: Problem, machines: list[Machine], method: str) -> Plan:
    plan = make_plan(problem, machines, method=method)
    if faults := verify(problem, plan):
        raise PlanError(f"a plan that breaks rules was made, a bug: {'; '.join(faults)}")
    return plan
