"""Two or three items that fill a machine to the last unit of every resource.

Where there are such, a plan that wastes nothing is made of them, and no heuristic that looks at one
item after the other finds them: the third is looked up by what two leave.
"""

from __future__ import annotations

import numpy as np

from edgesdk.planner.items import Items, Pattern, as_pattern

__all__ = ["snug_patterns"]

_MOST = 20_000


def snug_patterns(items: Items, kind: int, rng: np.random.Generator) -> list[Pattern]:
    """Patterns of two or three items that leave nothing of type *kind*, 20,000 at most.

    None where items share loads or must be apart, as its sums do not know of these.
    """
    most, room = items.most[kind], items.room[kind]
    there = np.flatnonzero(most > 0)
    if not items.plain or len(there) < 2 or not room.any():
        return []
    need = items.need[kind][there]
    # A vector's key is a random sum, exact modulo 2^64: equal vectors have equal keys.
    factors = rng.integers(1, 1 << 62, need.shape[1], dtype=np.int64) * 2 + 1
    keys = need @ factors
    order = np.argsort(keys, kind="stable")
    ordered = keys[order]
    found: list[Pattern] = []
    for first in range(len(there)):
        rest = room - need[first] - need[first:]
        wanted = rest @ factors
        low = np.searchsorted(ordered, wanted, "left")
        high = np.searchsorted(ordered, wanted, "right")
        alone = np.flatnonzero((rest == 0).all(axis=1))
        sets: list[tuple[int, ...]] = [(first, first + int(second)) for second in alone]
        for second in np.flatnonzero(high > low):
            thirds = order[low[second] : high[second]]
            sets += [
                (first, first + int(second), int(third))
                for third in thirds
                if third >= first + second and (need[third] == rest[second]).all()
            ]
        for members in sets:
            counts = np.zeros(items.kinds, np.int64)
            np.add.at(counts, there[list(members)], 1)
            if (counts <= most).all():
                found.append(as_pattern(kind, counts))
        if len(found) >= _MOST:
            break
    return found[:_MOST]
