"""Machines that the fleet would be cheaper without: emptied, or exchanged for a better one."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from edgesdk.planner.migration import MachineKind, Rooms
from edgesdk.planner.running import NOWHERE

__all__ = ["Saving", "find_saving"]

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
Bools = NDArray[np.bool_]

_TRIES = 12
_RELEASED = 4
_WORTH_IT = 0.02  # of the fleet's mean machine, an hour


@dataclass(frozen=True)
class Saving:
    """Which machines go, where their streams do; *boots*: slot and kind of one that comes."""

    releases: tuple[int, ...]
    boots: tuple[tuple[int, int], ...]
    targets: dict[int, int]
    usd_an_hour: float


def find_saving(
    rooms: Rooms,
    machines: Ints,
    kinds: Sequence[MachineKind],
    *,
    share: Floats,
    settled: Bools,
    most_moves: float,
    exchange: bool,
) -> Saving | None:
    """The first saving found: a machine emptied, else several exchanged for a new one.

    rooms: streams' needs for as long as the saving should last; left as it was but for what the
    saving changes. machines: those that may go, the best candidates first. share: how full others
    are made. settled: streams that may move.
    """
    for machine in machines[:_TRIES]:
        mark = len(rooms.moved)
        if not _empty(rooms, int(machine), share, settled):
            continue
        if len(rooms.moved) - mark <= most_moves:
            return _saving(rooms, mark, [int(machine)], (), float(rooms.fleet.price[machine]))
        _take_back(rooms, mark, [int(machine)])
    for kind in range(len(kinds)) if exchange else ():
        found = _exchange(rooms, machines, kinds, kind, share, settled, most_moves)
        if found is not None:
            return found
    return None


def _exchange(
    rooms: Rooms,
    machines: Ints,
    kinds: Sequence[MachineKind],
    kind: int,
    share: Floats,
    settled: Bools,
    most_moves: float,
) -> Saving | None:
    """A new machine of *kind* for as many others as its room, and what is left, replaces."""
    fleet = rooms.fleet
    free = np.flatnonzero(~rooms.takes & ~fleet.there)
    limit = kinds[kind].limit
    if not len(free) or (limit is not None and (fleet.kind[rooms.takes] == kind).sum() >= limit):
        return None
    new = int(free[0])
    before = rooms.capacity
    rooms.capacity = before.copy()
    rooms.capacity[new] = kinds[kind].capacity
    rooms.takes[new] = True
    mark = len(rooms.moved)
    gone: list[int] = []
    saved = -kinds[kind].price
    for machine in machines[:_TRIES]:
        if fleet.kind[machine] == kind or len(gone) == _RELEASED:
            continue
        step = len(rooms.moved)
        if not _empty(rooms, int(machine), share, settled):
            continue
        if len(rooms.moved) - mark > most_moves:
            _take_back(rooms, step, [int(machine)])
            break
        gone.append(int(machine))
        saved += float(fleet.price[machine])
    if saved > _WORTH_IT * float(fleet.price[fleet.there].mean()):
        return _saving(rooms, mark, gone, ((new, kind),), saved)
    _take_back(rooms, mark, gone)
    rooms.takes[new] = False
    rooms.capacity = before
    return None


def _empty(rooms: Rooms, machine: int, share: Floats, settled: Bools) -> bool:
    """Moves all its streams elsewhere and closes it; False: nothing changed."""
    streams = rooms.streams_on(machine)
    if not settled[streams].all():
        return False
    mark = len(rooms.moved)
    rooms.takes[machine] = False
    size = rooms.need[streams] @ rooms.weight
    for stream in streams[np.argsort(-size, kind="stable")]:
        target = rooms.best(int(stream), share)
        if target != NOWHERE:
            rooms.put(int(stream), target)
        elif not rooms.make_room(int(stream), share, settled):
            _take_back(rooms, mark, [machine])
            return False
    return True


def _take_back(rooms: Rooms, mark: int, machines: Sequence[int]) -> None:
    rooms.undo(mark)
    rooms.takes[list(machines)] = True


def _saving(
    rooms: Rooms,
    mark: int,
    releases: Sequence[int],
    boots: tuple[tuple[int, int], ...],
    usd: float,
) -> Saving:
    targets = {stream: int(rooms.machine[stream]) for stream, _ in rooms.moved[mark:]}
    return Saving(tuple(releases), boots, targets, usd)
