"""The manager: watches a running fleet, migrates, scales. Pure policy.

What it must do is that of Kaseb et al. (IEEE TCC 2017): a machine over the threshold in any
resource loses streams at once; one that is little used is emptied and released if the fleet is
cheaper without it. What is added: needs are forecast by group, so that machines boot before they
are missing; moves come out of an allowance, so that saving never costs more rest than it is worth;
a stream that moved stays; a machine that is paid by the hour stays until its hour is over.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from edgesdk.planner.consolidation import find_saving
from edgesdk.planner.migration import MachineKind, Move, Rooms, in_order_of_preference
from edgesdk.planner.running import NOWHERE, RunningFleet

__all__ = ["Boot", "Decisions", "WatchSettings", "Watcher"]

Floats = NDArray[np.float64]
Bools = NDArray[np.bool_]
Ints = NDArray[np.int64]


@dataclass(frozen=True)
class WatchSettings:
    """Shares of a machine's capacity, seconds, and moves a stream a day.

    overload: what counts as overloaded; react: at that forecast, streams leave; fill: as full are
    machines made; fill_late: as full when one is emptied; brim: as full in what never changes.
    boot_s: what a machine takes to come. stay_s: how long a stream that moved stays, but for
    overload and loss. paid_s: by how much time machines are paid.
    """

    overload: float = 0.9
    react: float = 0.884
    fill: float = 0.863
    fill_late: float = 0.858
    brim: float = 0.897
    horizon_s: float = 240.0
    far_s: float = 600.0
    boot_s: float = 120.0
    stay_s: float = 2400.0
    moves_a_day: float = 0.45
    consider_every_s: float = 300.0
    exchange_every_s: float = 900.0
    paid_s: float = 1.0


@dataclass(frozen=True, slots=True)
class Boot:
    """A machine to be started: its slot and the index of its kind."""

    machine: int
    kind: int


@dataclass(frozen=True)
class Decisions:
    """boots come first: moves may go to them, and happen once they are ready.

    *degraded*: streams of a lost machine that were put where they make others slower until a new
    machine is there; the other lost ones found room.
    """

    boots: tuple[Boot, ...] = ()
    moves: tuple[Move, ...] = ()
    releases: tuple[int, ...] = ()
    degraded: tuple[int, ...] = ()


@dataclass
class _Draft:
    boots: list[Boot] = field(default_factory=list)
    releases: list[int] = field(default_factory=list)
    degraded: list[int] = field(default_factory=list)


class Watcher:
    """One fleet's policy. *kinds* are what may be rented. Call :meth:`step` once a minute or so."""

    def __init__(self, kinds: tuple[MachineKind, ...], settings: WatchSettings) -> None:
        self.kinds = kinds
        self.settings = settings
        self._capacity: Floats = np.array([kind.capacity for kind in kinds])
        self._price: Floats = np.array([kind.price for kind in kinds])
        # The worth of a unit: what it costs where it is cheapest.
        self._weight: Floats = (self._price[:, None] / self._capacity).min(axis=0)
        self._allowance = 0.0
        self._fill = self._fill_late = self._react = np.zeros(len(kinds[0].capacity))
        self._then_s: float | None = None
        self._considered_s = -np.inf
        self._exchanged_s = -np.inf

    def step(self, now_s: float, fleet: RunningFleet) -> Decisions:
        """What to do now. The fleet is only read; the caller carries the decisions out."""
        self._earn(now_s, fleet)
        need = np.maximum(fleet.need, fleet.forecast(self.settings.horizon_s))
        # What is too full already is judged by what was measured, not by what was smoothed.
        over = fleet.sums(fleet.measured, fleet.machine) > self.settings.overload * fleet.capacity
        too_full: Bools = np.asarray(over.any(axis=1))
        hot = too_full[fleet.machine] & (fleet.machine != NOWHERE)
        need[hot] = np.maximum(need[hot], fleet.measured[hot])
        rooms = Rooms(fleet, need, self._weight, fleet.there)
        steady = fleet.steady()
        self._fill = np.where(steady, self.settings.brim, self.settings.fill)
        self._fill_late = np.where(steady, self.settings.brim, self.settings.fill_late)
        self._react = np.where(steady, self.settings.overload, self.settings.react)
        draft = _Draft()
        homeless = np.flatnonzero(fleet.active & (fleet.machine == NOWHERE))
        evicted = self._relieve(now_s, fleet, rooms)
        self._house(now_s, np.concatenate([homeless, evicted]), fleet, rooms, draft)
        lost = bool((fleet.started_s[homeless] < now_s).any())
        due = now_s - self._considered_s >= self.settings.consider_every_s
        if due and not draft.boots and not lost:
            self._considered_s = now_s
            self._empty_some(now_s, fleet, rooms, draft)
        changed = np.flatnonzero(fleet.active & (rooms.machine != fleet.machine))
        moves = tuple(Move(int(s), int(rooms.machine[s])) for s in changed)
        self._allowance -= int((fleet.machine[changed] != NOWHERE).sum())
        return Decisions(tuple(draft.boots), moves, tuple(draft.releases), tuple(draft.degraded))

    def _earn(self, now_s: float, fleet: RunningFleet) -> None:
        if self._then_s is not None:
            a_second = self.settings.moves_a_day * int(fleet.active.sum()) / 86400
            self._allowance += a_second * (now_s - self._then_s)
        self._then_s = now_s

    def _relieve(self, now_s: float, fleet: RunningFleet, rooms: Rooms) -> Ints:
        """Takes streams off machines that are, or soon will be, too full; returns them."""
        settings = self.settings
        evicted: list[int] = []
        full = rooms.used > self._react * rooms.capacity
        for machine in np.flatnonzero(fleet.there & full.any(axis=1)):
            scarce = int(np.argmax(rooms.used[machine] / rooms.capacity[machine]))
            streams = rooms.streams_on(int(machine))
            for stream in in_order_of_preference(fleet, streams, rooms.need[:, scarce]):
                if (rooms.used[machine] <= self._react * rooms.capacity[machine]).all():
                    break
                if now_s - fleet.moved_s[stream] < settings.stay_s:
                    continue
                rooms.put(int(stream), NOWHERE)
                evicted.append(int(stream))
        return np.array(evicted, np.int64)

    def _house(
        self, now_s: float, streams: Ints, fleet: RunningFleet, rooms: Rooms, draft: _Draft
    ) -> None:
        """Finds a machine for each of *streams*, and boots what is missing."""
        size = (rooms.need[streams] / self._capacity.max(axis=0)).max(axis=1)
        waiting = []
        for stream in streams[np.argsort(-size, kind="stable")]:
            before = int(fleet.machine[stream])
            found = rooms.best(int(stream), self._fill, but=before)
            if found == NOWHERE:
                found = rooms.best(int(stream), self._react, but=before)
            if found != NOWHERE:
                rooms.put(int(stream), found)
            elif not self._make_room(now_s, int(stream), fleet, rooms):
                waiting.append(int(stream))
        while waiting:
            machine = self._boot(now_s, waiting, fleet, rooms, draft)
            if machine == NOWHERE:
                self._squeeze(waiting, fleet, rooms, draft)
                return
            left = []
            for stream in waiting:
                fits = self._fill * rooms.capacity[machine] - rooms.used[machine]
                if (rooms.need[stream] <= fits).all():
                    rooms.put(stream, machine)
                else:
                    left.append(stream)
            if len(left) == len(waiting):
                self._squeeze(left, fleet, rooms, draft)
                return
            waiting = left

    def _make_room(self, now_s: float, stream: int, fleet: RunningFleet, rooms: Rooms) -> bool:
        mark = len(rooms.moved)
        settled = now_s - fleet.moved_s >= self.settings.stay_s
        if not rooms.make_room(stream, self._fill, settled):
            return False
        if len(rooms.moved) - mark > self._allowance:
            rooms.undo(mark)
            return False
        return True

    def _boot(
        self, now_s: float, waiting: list[int], fleet: RunningFleet, rooms: Rooms, draft: _Draft
    ) -> int:
        """A new machine of the kind that serves such needs at the least cost; NOWHERE if none."""
        free = np.flatnonzero(~rooms.takes & ~fleet.there)
        if not len(free):
            return NOWHERE
        there = np.bincount(fleet.kind[rooms.takes], minlength=len(self.kinds))
        needs = rooms.need[waiting].sum(axis=0)
        largest = rooms.need[waiting].max(axis=0)
        best, best_cost = NOWHERE, np.inf
        for index, kind in enumerate(self.kinds):
            room = self._fill * self._capacity[index]
            if (kind.limit is not None and there[index] >= kind.limit) or (largest > room).any():
                continue
            times = float((room / np.maximum(needs, 1e-12)).min())
            cost = kind.price / times
            if cost < best_cost:
                best, best_cost = index, cost
        if best == NOWHERE:
            return NOWHERE
        machine = int(free[0])
        rooms.capacity = rooms.capacity.copy()
        rooms.capacity[machine] = self._capacity[best]
        rooms.takes[machine] = True
        draft.boots.append(Boot(machine, best))
        return machine

    def _squeeze(
        self, waiting: list[int], fleet: RunningFleet, rooms: Rooms, draft: _Draft
    ) -> None:
        """No machine may be had: streams go where they do the least harm, at a lower rate."""
        for stream in waiting:
            found = int(fleet.machine[stream])
            if found == NOWHERE or not fleet.there[found]:
                found = rooms.least_loaded(stream)
            if found != NOWHERE:
                rooms.put(stream, found)
                draft.degraded.append(stream)

    def _empty_some(self, now_s: float, fleet: RunningFleet, rooms: Rooms, draft: _Draft) -> None:
        """Empties machines whose streams fit elsewhere, now and for a while, if that saves."""
        settings = self.settings
        for machine in np.flatnonzero(fleet.there):
            if not len(rooms.streams_on(int(machine))) and self._may_go(now_s, fleet, int(machine)):
                rooms.takes[machine] = False
                draft.releases.append(int(machine))
        far = np.maximum(rooms.need, fleet.forecast(settings.far_s))
        later = Rooms(fleet, far, self._weight, rooms.takes)
        for stream in np.flatnonzero(fleet.active & (rooms.machine != fleet.machine)):
            later.put(int(stream), int(rooms.machine[stream]))
        here = later.machine[fleet.active & (later.machine != NOWHERE)]
        counts = np.bincount(here, minlength=len(fleet.there))
        exchange = now_s - self._exchanged_s >= settings.exchange_every_s
        if exchange:
            self._exchanged_s = now_s
        candidates = np.flatnonzero(rooms.takes & fleet.there)
        candidates = candidates[[self._may_go(now_s, fleet, int(m)) for m in candidates]]
        worth = fleet.price[candidates] / np.maximum(counts[candidates], 1)
        found = find_saving(
            later,
            candidates[np.argsort(-worth, kind="stable")],
            self.kinds,
            share=self._fill_late,
            settled=now_s - fleet.moved_s >= settings.stay_s,
            most_moves=self._allowance,
            exchange=exchange,
        )
        if found is None:
            return
        for moved, target in found.targets.items():
            rooms.put(moved, target)
        draft.boots += [Boot(machine, kind) for machine, kind in found.boots]
        draft.releases += found.releases

    def _may_go(self, now_s: float, fleet: RunningFleet, machine: int) -> bool:
        """Whether it has been paid for and used up: its hour is nearly over."""
        paid = self.settings.paid_s
        if paid <= 60:
            return True
        used = (now_s - float(fleet.began_s[machine])) % paid
        return paid - used <= 2 * self.settings.consider_every_s
