"""All patterns of a machine at once, where they are few: pricing is then a look at each.

Machines that hold a handful of items have few maximal patterns (those to which nothing can be
added, which are all that covering needs). They are enumerated level by level in numpy.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgesdk.planner.items import Items
from edgesdk.planner.pricing import Priced, unlike

__all__ = ["Pool", "pool_of"]

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

_MOST_ITEMS = 8  # on one machine
_MOST_STATES = 250_000
_MOST_CELLS = 20_000_000  # of one block of comparisons
_MOST_WORK = 1_500_000_000  # comparisons of one level
_SAFE = 1e-9


class Pool:
    """The maximal patterns of one type, as kinds of items, padded with *kinds*. Shape (n, most)."""

    def __init__(self, members: Ints, kinds: int) -> None:
        self._members, self._kinds = members, kinds

    def price(self, values: Floats, floor: float, width: int, *, wanted: int = 4) -> Priced:
        """As ``Pricer.price``, and exact."""
        padded = np.append(values, 0.0)
        worth = padded[self._members].sum(axis=1)
        bound = float(worth.max(initial=0.0)) * (1 + _SAFE)
        beyond = np.flatnonzero(worth > floor)
        best = beyond[np.argsort(-worth[beyond], kind="stable")][: wanted * 8]
        patterns = np.zeros((len(best), self._kinds + 1), np.int64)
        np.add.at(patterns, (np.arange(len(best))[:, None], self._members[best]), 1)
        patterns = patterns[:, :-1]
        chosen = unlike(patterns, wanted)
        return Priced(patterns[chosen], worth[best[chosen]], bound)


def pool_of(items: Items, kind: int) -> Pool | None:
    """All maximal patterns of type *kind*, or None where there are too many or rules bind them."""
    if not items.plain or items.kinds > 2000 or not (items.most[kind] > 0).any():
        return None
    need, room, most = items.need[kind], items.room[kind], items.most[kind]
    if _holds(need, room, most) > _MOST_ITEMS:
        return None
    never = int(room.max()) + 1
    needs = np.where((most > 0)[:, None], np.minimum(need, never), never)
    needs = needs.astype(np.int16 if never < 2**15 else np.int64)
    left, members = room.astype(needs.dtype)[None, :], np.zeros((1, 0), np.int64)
    whole: list[Ints] = []
    found = 0
    for _ in range(_MOST_ITEMS + 1):
        if len(left) * needs.size > _MOST_WORK:
            return None
        grown_left, grown, full = _grown(left, members, needs, most)
        whole.append(full)
        found += len(full) + len(grown)
        if found > _MOST_STATES:
            return None
        if not len(grown):
            break
        left, members = grown_left, grown
    else:
        return None
    widest = max(full.shape[1] for full in whole)
    padded = [
        np.pad(full, ((0, 0), (0, widest - full.shape[1])), constant_values=items.kinds)
        for full in whole
    ]
    return Pool(np.concatenate(padded), items.kinds)


def _holds(need: Ints, room: Ints, most: Ints) -> int:
    """How many items fit one machine at most: in each resource, the smallest first."""
    fewest = 10**9
    for r in range(need.shape[1]):
        order = np.argsort(need[:, r])
        sizes = np.repeat(need[order, r], np.minimum(most[order], _MOST_ITEMS + 1))
        fewest = min(fewest, int((np.cumsum(sizes) <= room[r]).sum()))
    return fewest


def _grown(left: Any, members: Ints, needs: Any, most: Ints) -> tuple[Any, Ints, Ints]:
    """Each pattern with one item more, kinds in ascending order; and those that take no more."""
    block = max(1, _MOST_CELLS // max(1, needs.size))
    lefts, grown, full = [], [], []
    for start in range(0, len(left), block):
        have, there = left[start : start + block], members[start : start + block]
        fits = np.ones((len(have), len(needs)), bool)
        for r in range(needs.shape[1]):
            fits &= have[:, r, None] >= needs[None, :, r]
        if there.shape[1]:
            rows = np.arange(len(there))
            for column in range(there.shape[1]):
                kind = there[:, column]
                fits[rows, kind] &= (there == kind[:, None]).sum(axis=1) < most[kind]
            full.append(there[~fits.any(axis=1)])
            fits &= np.arange(len(needs)) >= there[:, -1:]
        rows, kinds = np.nonzero(fits)
        lefts.append(have[rows] - needs[kinds])
        grown.append(np.concatenate([there[rows], kinds[:, None]], axis=1))
        if sum(len(part) for part in grown) > _MOST_STATES:
            break
    width = members.shape[1]
    none = np.zeros((0, width), np.int64)
    return np.concatenate(lefts), np.concatenate(grown), np.concatenate([none, *full])
