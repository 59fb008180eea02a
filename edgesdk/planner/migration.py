"""Which streams leave a machine first, and which machine takes them."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from edgesdk.planner.running import NOWHERE, RunningFleet

_TRIED = 4
_PUSHED = 24

__all__ = ["MachineKind", "Move", "Rooms", "in_order_of_preference"]

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
Bools = NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class MachineKind:
    """A type of machine that may be rented: dollars an hour, at most *limit* at once."""

    name: str
    capacity: tuple[float, ...]
    price: float
    limit: int | None = None


@dataclass(frozen=True, slots=True)
class Move:
    """A stream's slot and the slot of the machine it goes to."""

    stream: int
    machine: int


def in_order_of_preference(fleet: RunningFleet, streams: Ints, need: Floats) -> Ints:
    """*streams* in the order in which they should migrate.

    The five preferences of Kaseb et al. (IEEE TCC 2017), each breaking the ties of the one before:
    stateless first, then the lowest frame rate, the largest *need* (one amount a stream), the
    highest resolution, the most recently started.
    """
    keys = (
        -fleet.started_s[streams],
        -fleet.pixels[streams],
        -need[streams],
        fleet.fps[streams],
        ~fleet.stateless[streams],
    )
    return streams[np.lexsort(keys)]


class Rooms:
    """What is left on each machine while a decision is made: a draft of the fleet's placement.

    *need* (streams, resources) is what each stream is taken to need, *weight* the worth of one unit
    of each resource. ``machine`` is the draft's placement; the fleet itself is only read.
    """

    def __init__(
        self, fleet: RunningFleet, need: Floats, weight: Floats, open_to_all: Bools
    ) -> None:
        self.fleet = fleet
        self.need = need
        self.weight = weight
        self.machine: Ints = fleet.machine.copy()
        self.used: Floats = fleet.sums(need, self.machine)
        self.takes: Bools = open_to_all.copy()
        self.moved: list[tuple[int, int]] = []
        self.capacity: Floats = fleet.capacity

    def put(self, stream: int, machine: int) -> None:
        before = int(self.machine[stream])
        self.moved.append((stream, before))
        if before != NOWHERE:
            self.used[before] -= self.need[stream]
        if machine != NOWHERE:
            self.used[machine] += self.need[stream]
        self.machine[stream] = machine

    def undo(self, mark: int) -> None:
        """Takes back what was put since ``len(moved)`` was *mark*."""
        for stream, before in reversed(self.moved[mark:]):
            self.put(stream, before)
        del self.moved[mark:]

    def make_room(self, stream: int, share: Floats, movable: Bools) -> bool:
        """Puts *stream* on a machine from which smaller ones go elsewhere; False: nothing changed.

        A large stream finds no place on machines that each have a little left, though all that is
        left together would hold it.
        """
        over = self.used + self.need[stream] - share * self.capacity
        lacking = np.maximum(over, 0) @ self.weight
        lacking[~self.takes] = np.inf
        for machine in np.argsort(lacking, kind="stable")[:_TRIED]:
            if not np.isfinite(lacking[machine]):
                break
            mark = len(self.moved)
            if self._push_out(int(machine), stream, share, movable):
                return True
            self.undo(mark)
        return False

    def _push_out(self, machine: int, stream: int, share: Floats, movable: Bools) -> bool:
        limit = share * self.capacity[machine] - self.need[stream]
        scarce = int(np.argmax((self.used[machine] - limit) * self.weight))
        smaller = self.streams_on(machine)
        smaller = smaller[movable[smaller]]
        smaller = smaller[self.need[smaller, scarce] < 0.5 * self.need[stream, scarce]]
        order = np.argsort(-self.need[smaller, scarce], kind="stable")
        for other in smaller[order][:_PUSHED]:
            if (self.used[machine] <= limit).all():
                break
            target = self.best(int(other), share, but=machine)
            if target != NOWHERE:
                self.put(int(other), target)
        if (self.used[machine] > limit).any():
            return False
        self.put(stream, machine)
        return True

    def best(self, stream: int, share: Floats, *, but: int = NOWHERE) -> int:
        """The machine that it fits with the least worth of room left, filled to *share* at most.

        share: one a resource.
        """
        left = share * self.capacity - self.used - self.need[stream]
        fits = self.takes & (left >= 0).all(axis=1)
        if but != NOWHERE:
            fits[but] = False
        candidates = np.flatnonzero(fits)
        if not len(candidates):
            return NOWHERE
        return int(candidates[np.argmin(left[candidates] @ self.weight)])

    def least_loaded(self, stream: int, *, but: int = NOWHERE) -> int:
        """Where it does the least harm when it fits nowhere: for streams whose machine was lost."""
        share = (self.used + self.need[stream]) / np.maximum(self.capacity, 1e-12)
        worst = np.where(self.takes, share.max(axis=1), np.inf)
        if but != NOWHERE:
            worst[but] = np.inf
        found = int(np.argmin(worst))
        return found if np.isfinite(worst[found]) else NOWHERE

    def fullness(self, machine: int) -> float:
        """The share of its scarcest resource that is used."""
        return float((self.used[machine] / np.maximum(self.capacity[machine], 1e-12)).max())

    def streams_on(self, machine: int) -> Ints:
        return np.flatnonzero(self.fleet.active & (self.machine == machine))
