"""What a fleet would cost if: other frame rates, caps, sizes; less goodput; a better machine.

Everything is answered by planning again, so each figure is a plan's, verified, with its bound.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import msgspec

from edgesdk.errors import EdgeError
from edgesdk.planner.packing import Clock, solve
from edgesdk.planner.plan import Plan
from edgesdk.planner.plan_entries import PlanInput
from edgesdk.planner.plan_file import Estimator, problem_of
from edgesdk.planner.problem import MachineType, Problem, StreamClass

__all__ = [
    "Answer",
    "Degraded",
    "Upgrade",
    "cost_of_caps",
    "cost_of_goodputs",
    "cost_of_rates",
    "cost_of_sizes",
    "orderly",
    "upgrades",
]

_SECONDS = 5.0
_NEAR = 0.002


@dataclass(frozen=True, slots=True)
class Answer:
    """At *x* (a factor, a cap, a goodput) the fleet costs this; *why* where there is no plan."""

    x: float
    usd_per_hour: float | None
    lower_bound_usd_per_hour: float | None
    machines: int | None
    why: str = ""


@dataclass(frozen=True, slots=True)
class Degraded:
    """The cheapest fleet for a goodput, and by how many streams fewer each class is served."""

    answer: Answer
    left_out: dict[str, int]


@dataclass(frozen=True, slots=True)
class Upgrade:
    """What the fleet costs with one machine of *type* of twice the capacity, and what that saves.

    None where there is no plan even then; infinite where there was none before.
    """

    type: str
    usd_per_hour: float | None
    saves_usd_per_hour: float


def cost_of_rates(
    given: PlanInput, factors: Sequence[float], clock: Clock, estimate: Estimator | None = None
) -> list[Answer]:
    """With every stream's frame rate multiplied."""

    def problem(factor: float) -> Problem:
        streams = {
            name: msgspec.structs.replace(s, fps=None if s.fps is None else s.fps * factor)
            for name, s in given.streams.items()
        }
        changed = msgspec.structs.replace(given, streams=streams)
        return problem_of(changed, estimate=estimate)

    answers = [_answer(factor, lambda f=factor: problem(f), clock) for factor in factors]  # type: ignore[misc]
    return orderly(answers, hardest_is_largest=True)


def cost_of_caps(problem: Problem, caps: Sequence[float], clock: Clock) -> list[Answer]:
    """With machines planned to be this full."""
    answers = [
        _answer(cap, lambda c=cap: replace(problem, target_ppm=round(c * 1e6)), clock)  # type: ignore[misc]
        for cap in caps
    ]
    return orderly(answers, hardest_is_largest=False)


def cost_of_sizes(problem: Problem, factors: Sequence[float], clock: Clock) -> list[Answer]:
    """With every class's number of streams multiplied, rounded up."""
    answers = [_answer(f, lambda f=f: _sized(problem, f), clock) for f in factors]  # type: ignore[misc]
    return orderly(answers, hardest_is_largest=True)


def cost_of_goodputs(problem: Problem, goodputs: Sequence[float], clock: Clock) -> list[Degraded]:
    """The cheapest fleet that serves this share of the streams.

    Every stream counts alike, whatever its frame rate: by frames, the slowest programs would be
    left out whole. Those go first that cost most on the machine that is cheapest for them.
    """
    dear = sorted(problem.classes, key=lambda c: _usd_of_one(problem, c))[::-1]
    found = []
    for goodput in goodputs:
        spare = int((1.0 - goodput) * problem.streams() + 1e-9)
        left_out: dict[str, int] = {}
        for one in dear:
            count = min(one.count, spare)
            if count:
                left_out[one.name] = count
                spare -= count
        classes = tuple(
            replace(c, count=c.count - left_out.get(c.name, 0)) for c in problem.classes
        )
        smaller = replace(problem, classes=classes)
        found.append(Degraded(_answer(goodput, lambda p=smaller: p, clock), left_out))  # type: ignore[misc]
    answers = orderly([one.answer for one in found], hardest_is_largest=True)
    return [replace(one, answer=answer) for one, answer in zip(found, answers, strict=True)]


def upgrades(problem: Problem, clock: Clock) -> list[Upgrade]:
    """For each type of machine that is there already, what doubling one of them saves; best first.

    Where the fleet cannot be planned as it is, an upgrade that makes it possible comes first.
    """
    now = _usd(problem, clock)
    found = []
    for machine in problem.machines:
        if machine.microusd or machine.limit == 0:
            continue
        usd = _usd(_upgraded(problem, machine), clock)
        saves = 0.0
        if usd is not None:
            saves = float("inf") if now is None else now - usd
        found.append(Upgrade(machine.name, usd, saves))
    return sorted(found, key=lambda upgrade: -upgrade.saves_usd_per_hour)


def orderly(answers: Sequence[Answer], *, hardest_is_largest: bool) -> list[Answer]:
    """*answers* of which none costs more than a harder one: that one's plan would do as well.

    Plans are near the cheapest, and not always equally near.
    """
    found: dict[float, Answer] = {}
    best: Answer | None = None
    for own in sorted(answers, key=lambda a: a.x, reverse=hardest_is_largest):
        usd = own.usd_per_hour
        if best is None or (usd is not None and usd <= (best.usd_per_hour or 0.0)):
            best = best if usd is None else own
            found[own.x] = own
            continue
        bound = own.lower_bound_usd_per_hour or 0.0
        found[own.x] = replace(best, x=own.x, lower_bound_usd_per_hour=bound)
    return [found[answer.x] for answer in answers]


def _upgraded(problem: Problem, machine: MachineType) -> Problem:
    better = replace(
        machine,
        name=f"{machine.name} (upgraded)",
        capacity=tuple(2 * amount for amount in machine.capacity),
        limit=1,
    )
    others = replace(machine, limit=None if machine.limit is None else machine.limit - 1)
    machines = tuple(others if m is machine else m for m in problem.machines)
    classes = tuple(
        c
        if c.machines is None or machine.name not in c.machines
        else replace(c, machines=c.machines | {better.name})
        for c in problem.classes
    )
    return replace(problem, machines=(*machines, better), classes=classes)


def _sized(problem: Problem, factor: float) -> Problem:
    classes = tuple(replace(c, count=-int(-c.count * factor // 1)) for c in problem.classes)
    return replace(problem, classes=classes)


def _usd_of_one(problem: Problem, one: StreamClass) -> float:
    """Micro-dollars that one stream's share of a rented machine costs where that is cheapest."""
    costs = []
    for machine in problem.machines:
        if not machine.microusd:
            continue
        if one.machines is not None and machine.name not in one.machines:
            continue
        pairs = zip(one.needs_at(machine), problem.room(machine), strict=True)
        shares = [need / room if room else float("inf") for need, room in pairs if need]
        costs.append(machine.microusd * max(shares, default=0.0))
    return min(costs, default=0.0)


def _usd(problem: Problem, clock: Clock) -> float | None:
    return _answer(0.0, lambda: problem, clock).usd_per_hour


def _answer(x: float, problem: Callable[[], Problem], clock: Clock) -> Answer:
    try:
        plan: Plan = solve(problem(), clock=clock, seconds=_SECONDS, gap=_NEAR)
    except EdgeError as error:
        return Answer(x, None, None, None, str(error))
    return Answer(x, plan.usd_per_hour, plan.lower_bound_usd_per_hour, len(plan.machines))
