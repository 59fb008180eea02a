"""Who runs the streams of a lost machine until the one that is to have them is there. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np
from numpy.typing import NDArray

from edgesdk.planner.running import RunningFleet

__all__ = ["stand_ins"]

_MOST = 2.0
"""Of what may run slower, such as CPU: so much of it may be asked for, in shares of a machine."""


def stand_ins(
    fleet: RunningFleet, lost: Iterable[int], ready: Sequence[int], hard: NDArray[np.bool_]
) -> dict[int, int]:
    """A slot of *ready* for each of the streams *lost* that one can take: the least loaded.

    hard: resources that nobody can have less of for a while, such as memory; of those no machine
    gives more than it has. Streams that fit nowhere are absent.
    """
    used = fleet.used()
    most = np.where(hard, 1.0, _MOST)
    found: dict[int, int] = {}
    for stream in sorted(lost, key=lambda s: float(fleet.need[s].sum())):
        best, least = None, np.inf
        for slot in ready:
            share = (used[slot] + fleet.need[stream]) / np.maximum(fleet.capacity[slot], 1e-12)
            if (share <= most).all() and float(share.max()) < least:
                best, least = slot, float(share.max())
        if best is not None:
            found[stream] = best
            used[best] += fleet.need[stream]
    return found
