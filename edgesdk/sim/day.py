"""A day of a fleet in virtual time: machines boot, streams move, money is spent.

The policy is the one that runs live (:mod:`edgesdk.planner.watch`); what stands beside it are a
static fleet, the paper's rules, and what one could pay at least who knew each hour beforehand.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from edgesdk.planner.migration import MachineKind
from edgesdk.planner.running import NOWHERE, RunningFleet
from edgesdk.planner.watch import Decisions
from edgesdk.sim.day_world import MINUTES, Day

__all__ = ["DayResult", "Policy", "clairvoyant_usd", "fleet_of", "run_day"]

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

BOOT_S = 120.0
GAP_STATELESS_S = 10.0
GAP_STATEFUL_S = 60.0
OVERLOAD = 0.9
_SOON_S = 1800.0


class Policy(Protocol):
    """What decides; :class:`edgesdk.planner.watch.Watcher` does."""

    def step(self, now_s: float, fleet: RunningFleet) -> Decisions: ...


@dataclass(frozen=True)
class DayResult:
    """What a day cost and how well its streams were served.

    eta: by program, the mean share of the desired rate that its streams were analysed at.
    overloaded: share of machine-minutes over 90 % of CPU or memory. migrations: moves of streams
    that ran somewhere, losses of machines left out; flapping: those within 30 minutes of the
    stream's last. restarts: streams that moved because their machine was lost.
    """

    usd_per_second_billing: float
    usd_hourly_billing: float
    eta: dict[str, float]
    overloaded: float
    migrations: int
    migrations_a_stream: float
    flapping: int
    restarts: int
    boots: int
    releases: int
    machines_mean: float
    machines_most: int


def fleet_of(day: Day, machines: int) -> RunningFleet:
    """An empty fleet with slots for all streams of *day*; groups are classes by zone."""
    fleet = RunningFleet(
        resources=2,
        streams=len(day.kind),
        machines=machines,
        groups=len(day.kinds) * len(day.settings.zones),
    )
    fleet.group[:] = day.kind * len(day.settings.zones) + day.zone
    for name, dtype in (("fps", float), ("pixels", int), ("stateless", bool)):
        values = np.array([getattr(kind, name) for kind in day.kinds], dtype)
        getattr(fleet, name)[:] = values[day.kind]
    return fleet


class _Run:
    def __init__(self, day: Day, fleet: RunningFleet, kinds: Sequence[MachineKind]) -> None:
        self.day = day
        self.fleet = fleet
        self.kinds = kinds
        self.runs_on: Ints = np.full(len(day.kind), NOWHERE, np.int64)
        self.program = np.array([kind.program for kind in day.kinds])[day.kind]
        self.served = {kind.program: 0.0 for kind in day.kinds}
        self.wanted = {kind.program: 0.0 for kind in day.kinds}
        self.machine_minutes = 0
        self.overloaded = 0
        self.seconds: dict[int, tuple[float, float]] = {}
        self.per_second = 0.0
        self.hourly = 0.0
        self.migrations = self.flapping = self.restarts = self.boots = self.releases = 0
        self.most = 0
        self.leaving: set[int] = set()

    def start(self, machine: int, kind: int, now_s: float, ready_s: float) -> None:
        fleet = self.fleet
        fleet.there[machine] = True
        fleet.kind[machine] = kind
        fleet.capacity[machine] = self.kinds[kind].capacity
        fleet.price[machine] = self.kinds[kind].price
        fleet.began_s[machine] = now_s
        fleet.ready_s[machine] = ready_s

    def end(self, machine: int, now_s: float) -> None:
        """Pays for it."""
        fleet = self.fleet
        lasted = now_s - float(fleet.began_s[machine])
        price = float(fleet.price[machine])
        self.per_second += price * lasted / 3600
        self.hourly += price * max(1, math.ceil(lasted / 3600 - 1e-9))
        fleet.there[machine] = False
        fleet.capacity[machine] = 0
        fleet.price[machine] = 0
        self.leaving.discard(machine)

    def carry_out(self, decisions: Decisions, now_s: float) -> None:
        fleet = self.fleet
        for boot in decisions.boots:
            self.start(boot.machine, boot.kind, now_s, now_s + BOOT_S)
            self.boots += 1
        for move in decisions.moves:
            before = fleet.machine[move.stream]
            if before != NOWHERE and fleet.there[before]:
                self.migrations += 1
                self.flapping += bool(now_s - fleet.moved_s[move.stream] < _SOON_S)
                fleet.moved_s[move.stream] = now_s
            fleet.machine[move.stream] = move.machine
        self.leaving.update(decisions.releases)
        self.releases += len(decisions.releases)

    def minute(self, minute: int) -> None:
        """Streams go where they are meant to be, as far as machines are ready; rates are summed."""
        fleet = self.fleet
        now_s = minute * 60.0
        active = fleet.active
        target = fleet.machine
        ready = fleet.there & (fleet.ready_s <= now_s)
        can = active & (target != NOWHERE) & (target != self.runs_on)
        can[can] = ready[target[can]]
        gap = np.where(fleet.stateless, GAP_STATELESS_S, GAP_STATEFUL_S)
        first = can & (fleet.started_s == now_s)
        rate = np.where(can & ~first, 1.0 - gap / 60.0, 1.0)
        self.runs_on[can] = target[can]
        for machine in sorted(self.leaving):
            if not (active & (self.runs_on == machine)).any():
                self.end(machine, now_s)
        cpu = self.day.cpu(minute)
        measured = np.column_stack([cpu, self.day.memory])
        used = fleet.sums(measured, self.runs_on)
        capacity = np.maximum(fleet.capacity, 1e-12)
        over = (used > OVERLOAD * capacity).any(axis=1) & ready
        self.overloaded += int(over.sum())
        self.machine_minutes += int(ready.sum())
        slower = np.minimum(1.0, (capacity / np.maximum(used, 1e-12)).min(axis=1))
        placed = active & (self.runs_on != NOWHERE)
        rate[placed] *= slower[self.runs_on[placed]]
        rate[~placed] = 0.0
        for program in self.served:
            mine = active & (self.program == program)
            self.served[program] += float(rate[mine].sum())
            self.wanted[program] += int(mine.sum())
        self.most = max(self.most, int(fleet.there.sum()))
        fleet.observe(now_s, measured)

    def come_and_go(self, minute: int) -> None:
        fleet = self.fleet
        active = self.day.active(minute)
        gone = fleet.active & ~active
        fleet.machine[gone] = NOWHERE
        self.runs_on[gone] = NOWHERE
        came = active & ~fleet.active
        fleet.started_s[came] = minute * 60.0
        fleet.active[:] = active

    def lose(self, draw: float, now_s: float) -> None:
        """A machine dies; which is decided by *draw* in [0, 1)."""
        fleet = self.fleet
        there = np.flatnonzero(fleet.there & (fleet.ready_s <= now_s))
        machine = int(there[int(draw * len(there))])
        lost = fleet.active & ((fleet.machine == machine) | (self.runs_on == machine))
        self.restarts += int(lost.sum())
        fleet.machine[lost & (fleet.machine == machine)] = NOWHERE
        self.runs_on[lost & (self.runs_on == machine)] = NOWHERE
        self.end(machine, now_s)


def run_day(
    day: Day,
    policy: Policy,
    kinds: Sequence[MachineKind],
    initial: Sequence[tuple[int, Ints]],
    *,
    machines: int = 256,
) -> DayResult:
    """Runs *policy* from the fleet *initial*: each a kind's index and the streams on it."""
    fleet = fleet_of(day, machines)
    run = _Run(day, fleet, kinds)
    run.come_and_go(0)
    for machine, (kind, streams) in enumerate(initial):
        run.start(machine, kind, 0.0, 0.0)
        fleet.machine[streams] = machine
        run.runs_on[streams] = machine
    losses = list(zip(day.losses, day.loss_draws, strict=True))
    total = 0
    for minute in range(MINUTES):
        now_s = minute * 60.0
        if minute:
            run.come_and_go(minute)
        while losses and losses[0][0] == minute:
            run.lose(losses.pop(0)[1], now_s)
        run.minute(minute)
        total += int(fleet.active.sum())
        run.carry_out(policy.step(now_s, fleet), now_s)
    machine_mean = run.machine_minutes / MINUTES
    for left in np.flatnonzero(fleet.there):
        run.end(int(left), MINUTES * 60.0)
    return DayResult(
        usd_per_second_billing=run.per_second,
        usd_hourly_billing=run.hourly,
        eta={name: run.served[name] / max(run.wanted[name], 1) for name in run.served},
        overloaded=run.overloaded / max(run.machine_minutes, 1),
        migrations=run.migrations,
        migrations_a_stream=run.migrations / (total / MINUTES),
        flapping=run.flapping,
        restarts=run.restarts,
        boots=run.boots,
        releases=run.releases,
        machines_mean=machine_mean,
        machines_most=run.most,
    )


def clairvoyant_usd(day: Day, kinds: Sequence[MachineKind]) -> float:
    """What 24 fleets cost at least, each holding the busiest minute of its hour.

    Streams are divisible and move at no cost: no fleet that is held for an hour can be cheaper.
    """
    total = 0.0
    for hour in range(24):
        needs = []
        for minute in range(60 * hour, 60 * hour + 60):
            active = day.active(minute)
            cpu = float(day.cpu(minute)[active].sum())
            needs.append((cpu, float(day.memory[active].sum())))
        total += max(fluid_usd(kinds, need) for need in needs)
    return total


def fluid_usd(kinds: Sequence[MachineKind], need: tuple[float, float]) -> float:
    """The least dollars an hour for machines whose room adds up to *need* (two resources).

    A linear program with two rows: one of its optima uses at most two kinds.
    """
    best = math.inf
    rooms = [(OVERLOAD * k.capacity[0], OVERLOAD * k.capacity[1], k.price) for k in kinds]
    for cpu, memory, price in rooms:
        best = min(best, price * max(need[0] / cpu, need[1] / memory))
    for (a, c, p), (b, d, q) in combinations(rooms, 2):
        determinant = a * d - b * c
        if abs(determinant) < 1e-12:
            continue
        x = (need[0] * d - b * need[1]) / determinant
        y = (a * need[1] - need[0] * c) / determinant
        if x >= 0 and y >= 0:
            best = min(best, x * p + y * q)
    return best
