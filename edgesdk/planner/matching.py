"""Which machine of another plan is which of those that run: the names under which least moves."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np
from numpy.typing import NDArray

from edgesdk.planner.plan import Machine

__all__ = ["matched"]

_MOST_WORK = 3 * 10**8  # pairs of machines times classes; beyond, names stay as they are


def matched(before: Sequence[Machine], after: Sequence[Machine]) -> list[Machine]:
    """*after* under ids of *before*, each the machine of its type that holds most of its streams.

    The pairs that share most are matched first. What has no partner gets an id that neither has.
    """
    names = {m.type for m in after}
    taken = {m.id for m in before} | {m.id for m in after}
    found: list[Machine] = []
    for kind in sorted(names):
        old = [m for m in before if m.type == kind]
        new = [m for m in after if m.type == kind]
        partners = _partners(old, new)
        number = 0
        for row, machine in enumerate(new):
            if row in partners:
                found.append(Machine(old[partners[row]].id, kind, machine.streams))
                continue
            number += 1
            while (name := f"{kind}-{number}") in taken:
                number += 1
            taken.add(name)
            found.append(Machine(name, kind, machine.streams))
    return found


def _partners(old: Sequence[Machine], new: Sequence[Machine]) -> dict[int, int]:
    """For rows of *new* the row of *old* that each becomes; few have none where *old* suffices."""
    classes = list({name: None for machine in (*old, *new) for name in machine.streams})
    if not old or len(old) * len(new) * len(classes) > _MOST_WORK:
        return dict(zip(range(len(new)), range(len(old)), strict=False))
    place = {name: column for column, name in enumerate(classes)}
    was, now = _counts(old, place), _counts(new, place)
    shared = np.array([np.minimum(now, row).sum(axis=1) for row in was]).T
    order = np.argsort(-shared, axis=None, kind="stable")
    partners: dict[int, int] = {}
    used: set[int] = set()
    for row, other in zip(*np.unravel_index(order, shared.shape), strict=True):
        if int(row) not in partners and int(other) not in used:
            partners[int(row)] = int(other)
            used.add(int(other))
            if len(partners) == min(len(old), len(new)):
                break
    return partners


def _counts(machines: Iterable[Machine], place: dict[str, int]) -> NDArray[np.int32]:
    rows = list(machines)
    found = np.zeros((len(rows), len(place)), np.int32)
    for row, machine in enumerate(rows):
        for name, count in machine.streams.items():
            found[row, place[name]] = count
    return found
