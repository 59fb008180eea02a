"""What is to be planned: classes of equal streams, types of machines, and what binds them.

All quantities are integers: needs and capacities in a resource's own unit (microcores, kB), money
in micro-dollars an hour. A plan that holds in these units holds exactly.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

from edgesdk.errors import UsageError

__all__ = [
    "MOST_UNITS",
    "PPM",
    "MachineType",
    "Problem",
    "Resource",
    "StreamClass",
    "Together",
    "Vector",
]

PPM = 1_000_000
Vector = tuple[int, ...]
"""One amount a resource, in the order of ``Problem.resources``."""

MOST_UNITS = 1 << 42
"""The most of one thing that a machine has or a stream needs: a million such fit 64 bits."""

_MOST_COUNT = 1 << 50
_MOST_TOTAL = 1 << 62


@dataclass(frozen=True, slots=True)
class Resource:
    """One thing that machines have and streams need.

    *scale* units make one *unit* for people (1e6 microcores are a core). The packing target does
    not apply to a *whole* resource, such as the number of models a chip holds.
    """

    name: str
    unit: str = ""
    scale: int = 1
    whole: bool = False

    def shown(self, amount: int) -> str:
        """*amount* for people: ``198.1 cores``."""
        value = amount / self.scale
        shown = f"{value:,.0f}" if abs(value) >= 1e6 else f"{value:,.6g}"
        return f"{shown} {self.unit or self.name}"


@dataclass(frozen=True, slots=True)
class StreamClass:
    """*count* streams with equal needs; any of them may take another's place.

    *needs* is one stream's; *needs_on* has those on machines of another device class, by
    ``MachineType.device``. *machines* are the names of the types it may be placed on (None: all).
    *loads* names what it shares with its neighbours, each counted once a machine
    (``Problem.loads``). *at_most* of its streams may be on one machine. *evidence* and *source* say
    where its needs are from, *location* what its place rules out; they change nothing.
    """

    name: str
    count: int
    needs: Vector
    needs_on: Mapping[str, Vector] = field(default_factory=dict)
    machines: frozenset[str] | None = None
    loads: tuple[str, ...] = ()
    at_most: int | None = None
    evidence: str = "stated"
    source: str = ""
    location: str = ""

    def needs_at(self, machine: MachineType) -> Vector:
        return self.needs_on.get(machine.device, self.needs)


@dataclass(frozen=True, slots=True)
class MachineType:
    """Machines of one kind: rented at *microusd* an hour, or there already (0).

    *capacity* is the whole machine's; a plan uses the target's share of it. *limit* machines may
    be used at most (None: any number). *price_source* and *price_date* say where the price is from.
    """

    name: str
    capacity: Vector
    microusd: int
    limit: int | None = None
    device: str = ""
    region: str = ""
    price_source: str = ""
    price_date: str = ""


@dataclass(frozen=True, slots=True)
class Together:
    """Classes whose streams must share a machine.

    ``each="stream"`` pairs them one by one (their counts are equal): the i-th stream of each is on
    one machine. ``each="all"`` puts all of their streams on one machine.
    """

    classes: tuple[str, ...]
    each: Literal["stream", "all"] = "stream"


@dataclass(frozen=True, slots=True)
class Problem:
    """Streams, machines, and the rules between them.

    Machines are filled to *target_ppm* millionths of their capacity; over *overload_ppm* a machine
    counts as overloaded. *loads* are the needs of what neighbours share (a resident model). Of
    each set in *apart* no two classes share a machine. *relief*, where it is given, is by how much
    all streams together need less than their classes say: bounds take it off. Raises UsageError
    where it contradicts itself.
    """

    resources: tuple[Resource, ...]
    classes: tuple[StreamClass, ...]
    machines: tuple[MachineType, ...]
    target_ppm: int = 700_000
    overload_ppm: int = 900_000
    loads: Mapping[str, Vector] = field(default_factory=dict)
    apart: tuple[tuple[str, ...], ...] = ()
    together: tuple[Together, ...] = ()
    relief: Vector = ()

    def __post_init__(self) -> None:
        _once("resource", [r.name for r in self.resources])
        _once("class", [c.name for c in self.classes])
        _once("machine type", [m.name for m in self.machines])
        if not self.resources:
            raise UsageError("a problem without resources: expected at least one")
        if not 0 < self.target_ppm <= PPM:
            raise UsageError(f"target_ppm {self.target_ppm}: expected 1 to {PPM}")
        self._check_amounts()
        self._check_rules()

    def room(self, machine: MachineType) -> Vector:
        """What a plan may use of one machine, each resource rounded down to whole units."""
        return tuple(
            amount if resource.whole else amount * self.target_ppm // PPM
            for amount, resource in zip(machine.capacity, self.resources, strict=True)
        )

    def streams(self) -> int:
        return sum(c.count for c in self.classes)

    def price_step(self) -> int:
        """The greatest amount of micro-dollars of which every plan's cost is a multiple."""
        return math.gcd(*(m.microusd for m in self.machines)) or 1

    def _check_amounts(self) -> None:
        width = len(self.resources)
        vectors = [(f"class {c.name}", c.needs) for c in self.classes]
        vectors += [(f"class {c.name}", v) for c in self.classes for v in c.needs_on.values()]
        vectors += [(f"machine type {m.name}", m.capacity) for m in self.machines]
        vectors += [(f"load {name}", v) for name, v in self.loads.items()]
        for what, vector in vectors:
            if len(vector) != width:
                raise UsageError(f"{what}: {len(vector)} amounts: expected {width}, one a resource")
            for amount, resource in zip(vector, self.resources, strict=True):
                if not 0 <= amount <= MOST_UNITS:
                    raise UsageError(
                        f"{what}: {resource.name} {amount}: expected 0 to {MOST_UNITS} units"
                    )
        for c in self.classes:
            if not 0 <= c.count <= _MOST_COUNT:
                raise UsageError(f"class {c.name}: count {c.count}: expected 0 to {_MOST_COUNT}")
            for amount, resource in zip(c.needs, self.resources, strict=True):
                if amount * c.count > _MOST_TOTAL // max(1, len(self.classes)):
                    raise UsageError(
                        f"class {c.name}: {c.count} streams need {resource.shown(amount * c.count)}"
                        f" of {resource.name}: more than can be counted exactly; expected less"
                    )
            if c.at_most is not None and c.at_most < 1:
                raise UsageError(f"class {c.name}: at_most {c.at_most}: expected 1 or more")
        for m in self.machines:
            if not 0 <= m.microusd <= _MOST_COUNT or (m.limit is not None and m.limit < 0):
                raise UsageError(
                    f"machine type {m.name}: price {m.microusd}, limit {m.limit}: expected neither "
                    "to be below zero"
                )

    def _check_rules(self) -> None:
        classes = {c.name: c for c in self.classes}
        types = {m.name for m in self.machines}
        for c in self.classes:
            for name in c.loads:
                _known("load", name, self.loads, f"class {c.name}")
            for name in c.machines or ():
                _known("machine type", name, types, f"class {c.name}")
        for names in self.apart:
            for name in names:
                _known("class", name, classes, "apart")
        bundled: set[str] = set()
        for rule in self.together:
            for name in rule.classes:
                _known("class", name, classes, "together")
                if name in bundled:
                    raise UsageError(f"class {name} is in two rules of together: expected one")
                bundled.add(name)
            counts = {classes[name].count for name in rule.classes}
            if rule.each == "stream" and len(counts) > 1:
                raise UsageError(
                    f"together {', '.join(rule.classes)}: counts {sorted(counts)}: expected equal "
                    "ones, since their streams are paired"
                )
            for names in self.apart:
                both = sorted(set(names) & set(rule.classes))
                if len(both) > 1:
                    raise UsageError(f"classes {', '.join(both)} must share and must not: one goes")


def _once(what: str, names: list[str]) -> None:
    seen: set[str] = set()
    for name in names:
        if name in seen:
            raise UsageError(f"{what} {name} is there twice: expected each name once")
        seen.add(name)


def _known(what: str, name: str, known: object, where: str) -> None:
    assert isinstance(known, (dict, set, Mapping))
    if name not in known:
        raise UsageError(f"{where}: no {what} is named {name!r}; there are {', '.join(known)}")
