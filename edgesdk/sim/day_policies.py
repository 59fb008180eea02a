"""What the watching policy is compared with over a day."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from edgesdk.planner.migration import MachineKind, Move, in_order_of_preference
from edgesdk.planner.running import NOWHERE, RunningFleet
from edgesdk.planner.watch import Boot, Decisions

__all__ = ["PaperRules", "Static"]

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

OVERLOAD = 0.9
IDLE = 0.5
_IDLE_FOR_S = 600.0


class _FirstFit:
    """Streams go to the first machine with room, else to a new one, by the paper's FFOD."""

    def __init__(self, fleet: RunningFleet, need: Floats, kinds: tuple[MachineKind, ...]) -> None:
        self.fleet = fleet
        self.need = need
        self.kinds = kinds
        self.machine = fleet.machine.copy()
        self.capacity = fleet.capacity.copy()
        self.there = fleet.there.copy()
        self.used = fleet.sums(need, self.machine)
        self.boots: list[Boot] = []

    def place(self, stream: int) -> None:
        need = self.need[stream]
        fits = self.there & (self.used + need <= OVERLOAD * self.capacity).all(axis=1)
        found = np.flatnonzero(fits)
        machine = int(found[0]) if len(found) else self._boot(need)
        if machine != NOWHERE:
            self.put(stream, machine)

    def put(self, stream: int, machine: int) -> None:
        before = self.machine[stream]
        if before != NOWHERE:
            self.used[before] -= self.need[stream]
        if machine != NOWHERE:
            self.used[machine] += self.need[stream]
        self.machine[stream] = machine

    def _boot(self, need: Floats) -> int:
        """The kind that is cheapest for each of such streams that it would hold."""
        free = np.flatnonzero(~self.there)
        if not len(free):
            return NOWHERE
        rooms = OVERLOAD * np.array([kind.capacity for kind in self.kinds])
        holds = np.floor((rooms / np.maximum(need, 1e-12)).min(axis=1))
        prices = np.array([kind.price for kind in self.kinds])
        kind = int(np.argmin(np.where(holds >= 1, prices / np.maximum(holds, 1), np.inf)))
        machine = int(free[0])
        self.there[machine] = True
        self.capacity[machine] = self.kinds[kind].capacity
        self.boots.append(Boot(machine, kind))
        return machine

    def decisions(self, releases: tuple[int, ...] = ()) -> Decisions:
        changed = np.flatnonzero(self.fleet.active & (self.machine != self.fleet.machine))
        moves = tuple(Move(int(s), int(self.machine[s])) for s in changed)
        return Decisions(boots=tuple(self.boots), moves=moves, releases=releases)


class Static:
    """A fleet for the peak: nothing moves, only newcomers and what was lost are placed.

    need: what each stream is taken to need, its peak, shape (streams, resources).
    """

    def __init__(self, kinds: tuple[MachineKind, ...], need: Floats) -> None:
        self._kinds = kinds
        self._need = need

    def step(self, now_s: float, fleet: RunningFleet) -> Decisions:
        fit = _FirstFit(fleet, self._need, self._kinds)
        for stream in np.flatnonzero(fleet.active & (fleet.machine == NOWHERE)):
            fit.place(int(stream))
        return fit.decisions()


class PaperRules:
    """The resource manager of Kaseb et al. (IEEE TCC 2017) as it is written down there.

    A machine over 90 % of CPU or memory loses streams, by the five preferences, until it is not;
    one under 50 % of both for ten minutes is emptied and released where its streams fit elsewhere.
    Both place by first fit.
    """

    def __init__(self, kinds: tuple[MachineKind, ...]) -> None:
        self._kinds = kinds
        self._idle_since: dict[int, float] = {}

    def step(self, now_s: float, fleet: RunningFleet) -> Decisions:
        fit = _FirstFit(fleet, fleet.measured.copy(), self._kinds)
        waiting = [int(s) for s in np.flatnonzero(fleet.active & (fleet.machine == NOWHERE))]
        over = (fit.used > OVERLOAD * fit.capacity).any(axis=1) & fleet.there
        for machine in np.flatnonzero(over):
            scarce = int(np.argmax(fit.used[machine] / fit.capacity[machine]))
            streams = np.flatnonzero(fleet.active & (fleet.machine == machine))
            for stream in in_order_of_preference(fleet, streams, fit.need[:, scarce]):
                if (fit.used[machine] <= OVERLOAD * fit.capacity[machine]).all():
                    break
                fit.put(int(stream), NOWHERE)
                waiting.append(int(stream))
        for stream in waiting:
            fit.place(stream)
        return fit.decisions(self._release(now_s, fleet, fit))

    def _release(self, now_s: float, fleet: RunningFleet, fit: _FirstFit) -> tuple[int, ...]:
        ready = fleet.there & (fleet.ready_s <= now_s)
        idle = ready & (fit.used < IDLE * np.maximum(fit.capacity, 1e-12)).all(axis=1)
        self._idle_since = {
            int(machine): self._idle_since.get(int(machine), now_s)
            for machine in np.flatnonzero(idle)
        }
        for machine, since in self._idle_since.items():
            if now_s - since < _IDLE_FOR_S:
                continue
            streams = np.flatnonzero(fleet.active & (fit.machine == machine))
            before = fit.machine.copy(), fit.used.copy(), len(fit.boots)
            fit.there[machine] = False
            for stream in streams:
                fit.place(int(stream))
            if len(fit.boots) == before[2]:
                return (machine,)
            fit.machine, fit.used = before[0], before[1]
            for boot in fit.boots[before[2] :]:
                fit.there[boot.machine] = False
            del fit.boots[before[2] :]
            fit.there[machine] = True
        return ()
