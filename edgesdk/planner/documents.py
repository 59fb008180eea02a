"""What ``edgesdk plan --json`` prints."""

from __future__ import annotations

from typing import Annotated, Literal

import msgspec

from edgesdk.errors import ConfigError, PlanError, PlanInfeasible
from edgesdk.planner.incremental import Replan
from edgesdk.planner.paper import Optima, PaperRow
from edgesdk.planner.plan import Machine, Plan
from edgesdk.planner.problem import Problem
from edgesdk.records import ErrorBody, error_document

__all__ = [
    "PaperDocument",
    "PlanDocument",
    "earlier_plan",
    "needs_sources",
    "paper_document",
    "plan_document",
    "price_sources",
    "refusal_document",
]

Amount = Annotated[float, msgspec.Meta(ge=0)]
Count = Annotated[int, msgspec.Meta(ge=0)]


class Assignment(msgspec.Struct, frozen=True, kw_only=True):
    """One machine: how many streams of each class it holds, and the share used of each resource.

    *used* is of the whole machine, not of the target's share.
    """

    instance: str
    type: str
    streams: dict[str, int]
    used: dict[str, float]


class PricesDocument(msgspec.Struct, frozen=True, kw_only=True):
    """Where the prices of the machine *types* are from; *date* is null where nobody said."""

    types: list[str]
    source: str
    date: str | None


class NeedsDocument(msgspec.Struct, frozen=True, kw_only=True):
    """Where the needs of the classes *streams* are from. *evidence*: ``stated`` in the input,
    measured (``real``), measured on a ``stand-in`` for hardware that is not there, or a
    ``published`` figure."""

    streams: list[str]
    evidence: str
    source: str


class TradeOffDocument(msgspec.Struct, frozen=True, kw_only=True):
    """What a plan costs for which so many streams move."""

    moved: Count
    usd_per_hour: Amount


class PlanDocument(msgspec.Struct, frozen=True, kw_only=True):
    """What ``edgesdk plan FILE --json`` prints; costs are dollars an hour.

    *status* is ``optimal`` only where the bound proves it. Where it is ``infeasible``, proven, or
    ``unknown``, there is no plan: *shortages* and *error* say why. *gap* is the share of the cost
    by which the plan may be above the cheapest; *instances* counts machines by type. With
    ``--replan``, *moved* streams change machines against the earlier plan, a fresh one costs
    *fresh_usd_per_hour*, and *trade_off* has what more or fewer moves cost. *prices* are those of
    the types that may be rented.
    """

    schema: Literal[1] = 1
    command: Literal["plan"] = "plan"
    scenario: str | None = None
    usd_per_hour: Amount | None
    lower_bound_usd_per_hour: Amount | None
    gap: Amount | None
    status: Literal["optimal", "feasible", "infeasible", "unknown"]
    method: str = ""
    target: Amount
    streams: Count
    instances: dict[str, int]
    assignments: list[Assignment]
    shortages: list[str] = []
    moved: int | None = None
    fresh_usd_per_hour: float | None = None
    trade_off: list[TradeOffDocument] = []
    prices: list[PricesDocument] = []
    needs: list[NeedsDocument] = []
    verified: bool
    seconds: Amount
    error: ErrorBody | None = None


class PaperRowDocument(msgspec.Struct, frozen=True, kw_only=True):
    """A published row, and ours by *rule*; *reproduced* where the machines are the same."""

    table: int
    scenario: str
    strategy: str
    published: dict[str, int]
    published_usd_per_hour: float
    rule: str
    ours: dict[str, int]
    ours_usd_per_hour: float
    reproduced: bool


class OptimumDocument(msgspec.Struct, frozen=True, kw_only=True):
    """*types* is ``paper`` for those of the scenario's table, ``all`` for all six."""

    table: int
    scenario: str
    types: Literal["paper", "all"]
    usd_per_hour: float
    lower_bound_usd_per_hour: float
    status: Literal["optimal", "feasible"]
    instances: dict[str, int]
    seconds: float


class PaperDocument(msgspec.Struct, frozen=True, kw_only=True):
    """What ``edgesdk plan --paper --json`` prints; the requirement vectors are reconstructed."""

    schema: Literal[1] = 1
    command: Literal["plan"] = "plan"
    vectors: Literal["reconstructed"] = "reconstructed"
    reproduced: int
    rows: list[PaperRowDocument]
    optima: list[OptimumDocument]


def refusal_document(
    problem: Problem, error: PlanError, *, scenario: str | None, seconds: float
) -> PlanDocument:
    """The document that stands for no plan."""
    proven = isinstance(error, PlanInfeasible)
    return PlanDocument(
        scenario=scenario,
        usd_per_hour=None,
        lower_bound_usd_per_hour=None,
        gap=None,
        status="infeasible" if proven else "unknown",
        target=problem.target_ppm / 1e6,
        streams=problem.streams(),
        instances={},
        assignments=[],
        shortages=list(error.shortages) if isinstance(error, PlanInfeasible) else [],
        verified=False,
        seconds=round(seconds, 4),
        error=error_document(error).error,
    )


def earlier_plan(data: bytes, problem: Problem, *, file: str) -> Plan:
    """The plan in a document that ``edgesdk plan --json`` printed. Raises ConfigError."""
    try:
        document = msgspec.json.decode(data, type=PlanDocument)
    except msgspec.DecodeError as error:
        raise ConfigError(f"{file}: {error}: expected what edgesdk plan --json printed") from None
    seen: set[str] = set()
    for at, assigned in enumerate(document.assignments):
        where = f"{file}: assignments[{at}]"
        if assigned.instance in seen:
            raise ConfigError(f"{where}.instance = {assigned.instance!r}: expected each one once")
        seen.add(assigned.instance)
        for name, count in assigned.streams.items():
            if not 1 <= count <= 10**9:
                raise ConfigError(
                    f"{where}.streams.{name} = {count}: expected a whole number, 1 or more"
                )
    prices = {m.name: m.microusd for m in problem.machines}
    machines = tuple(Machine(a.instance, a.type, a.streams) for a in document.assignments)
    cost = sum(prices.get(machine.type, 0) for machine in machines)
    return Plan(machines, cost, 0, "feasible")


def plan_document(
    problem: Problem, plan: Plan, *, scenario: str | None, replanned: Replan | None = None
) -> PlanDocument:
    """The document of a verified plan."""
    trade_off = replanned.trade_off if replanned else ()
    return PlanDocument(
        scenario=scenario,
        usd_per_hour=plan.usd_per_hour,
        lower_bound_usd_per_hour=plan.lower_bound_usd_per_hour,
        gap=plan.gap,
        status=plan.status,
        method=plan.method,
        target=problem.target_ppm / 1e6,
        streams=problem.streams(),
        instances=plan.instances(),
        assignments=_assignments(problem, plan),
        moved=replanned.moved if replanned else None,
        fresh_usd_per_hour=replanned.fresh.usd_per_hour if replanned else None,
        trade_off=[
            TradeOffDocument(moved=point.moved, usd_per_hour=point.microusd / 1e6)
            for point in trade_off
        ],
        prices=price_sources(problem),
        needs=needs_sources(problem),
        verified=True,
        seconds=round(plan.seconds, 4),
    )


def price_sources(problem: Problem) -> list[PricesDocument]:
    """Whose prices *problem* counts with, the types of one source together."""
    types: dict[tuple[str, str], list[str]] = {}
    for machine in problem.machines:
        if machine.microusd:
            types.setdefault((machine.price_source, machine.price_date), []).append(machine.name)
    return [
        PricesDocument(types=names, source=source or "the input file", date=date or None)
        for (source, date), names in types.items()
    ]


def needs_sources(problem: Problem) -> list[NeedsDocument]:
    """Whose figures *problem* counts with, the classes of one source together."""
    classes: dict[tuple[str, str], list[str]] = {}
    for one in problem.classes:
        classes.setdefault((one.evidence, one.source), []).append(one.name)
    return [
        NeedsDocument(streams=names, evidence=evidence, source=source or "the input file")
        for (evidence, source), names in classes.items()
    ]


def _assignments(problem: Problem, plan: Plan) -> list[Assignment]:
    types = {m.name: m for m in problem.machines}
    classes = {c.name: c for c in problem.classes}
    shares: dict[tuple[str, int], dict[str, float]] = {}  # equal machines share one mapping
    found = []
    for machine in plan.machines:
        kind = types[machine.type]
        key = (machine.type, id(machine.streams))
        if key not in shares:
            total = [0] * len(problem.resources)
            for load in {load for name in machine.streams for load in classes[name].loads}:
                for r, need in enumerate(problem.loads[load]):
                    total[r] += need
            for name, count in machine.streams.items():
                for r, need in enumerate(classes[name].needs_at(kind)):
                    total[r] += need * count
            shares[key] = {
                resource.name: round(used / have, 6) if have else 0.0
                for resource, used, have in zip(
                    problem.resources, total, kind.capacity, strict=True
                )
            }
        found.append(
            Assignment(
                instance=machine.id,
                type=machine.type,
                streams=dict(machine.streams),
                used=shares[key],
            )
        )
    return found


def paper_document(rows: list[PaperRow], found: list[Optima]) -> PaperDocument:
    return PaperDocument(
        reproduced=sum(row.reproduced for row in rows),
        rows=[
            PaperRowDocument(
                table=row.table,
                scenario=row.scenario,
                strategy=row.strategy,
                published=row.published,
                published_usd_per_hour=row.published_usd,
                rule=row.rule,
                ours=row.ours,
                ours_usd_per_hour=row.ours_usd,
                reproduced=row.reproduced,
            )
            for row in rows
        ],
        optima=[
            OptimumDocument(
                table=both.table,
                scenario=both.scenario,
                types=types,
                usd_per_hour=plan.usd_per_hour,
                lower_bound_usd_per_hour=plan.lower_bound_usd_per_hour,
                status=plan.status,
                instances=plan.instances(),
                seconds=round(plan.seconds, 3),
            )
            for both in found
            for types, plan in _both(both)
        ],
    )


def _both(both: Optima) -> tuple[tuple[Literal["paper"], Plan], tuple[Literal["all"], Plan]]:
    return ("paper", both.paper_types), ("all", both.all_types)
