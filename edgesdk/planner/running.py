"""Machines and the streams on them, as the watching policy sees them.

Arrays over slots: a slot of a stream or machine that is not there is not ``active``. Amounts are
floats in the unit of their resource; times are seconds of the caller's clock.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

__all__ = ["NOWHERE", "RunningFleet"]

NOWHERE = -1

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
Bools = NDArray[np.bool_]

_FAST_S = 180.0
_SLOW_S = 900.0
_STEADY = 0.002


class RunningFleet:
    """Not thread-safe; owned by whoever runs the policy, which only reads it.

    Streams: machine (where; NOWHERE if lost or not yet placed), group (equal ones grow alike: a
    program, a resolution, a place), need (streams, resources: what it uses now, smoothed over 3
    minutes), stateless, fps, pixels, started_s, moved_s (-inf if never). Machines: kind (index of
    the type), capacity (machines, resources), price (dollars an hour), began_s, ready_s.
    """

    def __init__(self, *, resources: int, streams: int, machines: int, groups: int) -> None:
        self.machine: Ints = np.full(streams, NOWHERE, np.int64)
        self.active: Bools = np.zeros(streams, bool)
        self.group: Ints = np.zeros(streams, np.int64)
        self.need: Floats = np.zeros((streams, resources))
        self.stateless: Bools = np.zeros(streams, bool)
        self.fps: Floats = np.zeros(streams)
        self.pixels: Ints = np.zeros(streams, np.int64)
        self.started_s: Floats = np.zeros(streams)
        self.moved_s: Floats = np.full(streams, -np.inf)
        self.there: Bools = np.zeros(machines, bool)
        self.kind: Ints = np.zeros(machines, np.int64)
        self.capacity: Floats = np.zeros((machines, resources))
        self.price: Floats = np.zeros(machines)
        self.began_s: Floats = np.zeros(machines)
        self.ready_s: Floats = np.zeros(machines)
        self.measured: Floats = np.zeros((streams, resources))
        self._spread: Floats = np.zeros((groups, resources))
        self._fast: Floats = np.zeros((groups, resources))
        self._slow: Floats = np.zeros((groups, resources))
        self._seen_s: float | None = None

    @property
    def resources(self) -> int:
        return int(self.need.shape[1])

    def used(self) -> Floats:
        """What the streams on each machine need now, shape (machines, resources)."""
        return self.sums(self.need, self.machine)

    def sums(self, amounts: Floats, machine: Ints) -> Floats:
        """*amounts* (streams, resources) of the active streams, summed by *machine*."""
        placed = self.active & (machine != NOWHERE)
        where = machine[placed]
        count = len(self.there)
        # Of no streams at all bincount makes integers.
        return np.column_stack(
            [np.bincount(where, column[placed], minlength=count) for column in amounts.T]
        ).astype(np.float64)

    def observe(self, now_s: float, measured: Floats) -> None:
        """Takes what every stream used (streams, resources) since the last time."""
        active = self.active
        span = 60.0 if self._seen_s is None else max(now_s - self._seen_s, 1e-9)
        fresh = active & (self.need.sum(axis=1) == 0)
        share = 1.0 - np.exp(-span / _FAST_S)
        self.need[active] += share * (measured[active] - self.need[active])
        self.need[fresh] = measured[fresh]
        self.measured[:] = measured
        off = np.abs(measured - self.need) / np.maximum(self.need, 1e-12)
        self._spread += share * (self._group_means(off) - self._spread)
        means = self._group_means(measured)
        if self._seen_s is None:
            self._fast[:], self._slow[:] = means, means
        else:
            self._fast += share * (means - self._fast)
            self._slow += (1.0 - np.exp(-span / _SLOW_S)) * (means - self._slow)
        self._seen_s = now_s

    def steady(self) -> Bools:
        """Which resources no stream's need of which changes: they can be filled to the brim."""
        shares: Bools = np.asarray((self._spread < _STEADY).all(axis=0))
        return shares

    def growth(self) -> Floats:
        """By what share of itself a stream's need grows a second, shape (streams, resources).

        From the group, not the stream: one stream's noise and bursts are no trend.
        """
        slope = (self._fast - self._slow) / (_SLOW_S - _FAST_S)
        relative = np.divide(slope, self._fast, out=np.zeros_like(slope), where=self._fast > 0)
        return relative[self.group]

    def forecast(self, horizon_s: float) -> Floats:
        """Each stream's need *horizon_s* from now, if its group goes on as it does."""
        return self.need * np.maximum(0.0, 1.0 + self.growth() * (horizon_s + _FAST_S))

    def _group_means(self, measured: Floats) -> Floats:
        groups = len(self._fast)
        where = self.group[self.active]
        count = np.maximum(np.bincount(where, minlength=groups), 1)
        return np.column_stack(
            [
                np.bincount(where, column[self.active], minlength=groups) / count
                for column in measured.T
            ]
        )
