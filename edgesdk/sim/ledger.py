"""Every group ends exactly once, at its origin; what comes second is a duplicate."""

from __future__ import annotations

from collections import Counter

from edgesdk.sim.workload import Workload

__all__ = ["Ledger"]

OPEN, OK, LATE, DROPPED, LOST, AWAY = range(6)


class Ledger:
    """The ends of groups by index. ``LOST``: on an executor that crashed. ``AWAY``: the camera
    itself crashed; its frames leave the denominator."""

    def __init__(self, workload: Workload) -> None:
        self._arrivals = workload.arrivals
        self._deadline_ns = round(workload.parameters.deadline_ms * 1e6)
        self.ends = bytearray(len(workload.arrivals))
        self.latency_ns: list[int] = [0] * len(workload.arrivals)
        self.duplicates = 0
        self.reasons: Counter[str] = Counter()
        """Groups dropped, by reason."""

    def deadline_ns(self, group: int) -> int:
        return self._arrivals[group].captured_ns + self._deadline_ns

    def result(self, group: int, now: int) -> None:
        """The values of *group* are at its origin."""
        if self.ends[group]:
            self.duplicates += 1
            return
        taken = now - self._arrivals[group].captured_ns
        self.latency_ns[group] = taken
        self.ends[group] = OK if taken <= self._deadline_ns else LATE

    def drop(self, group: int, reason: str) -> None:
        if not self.ends[group]:
            self.ends[group] = DROPPED
            self.reasons[reason] += 1

    def leave(self, group: int) -> None:
        """Its camera is down."""
        if not self.ends[group]:
            self.ends[group] = AWAY

    def close(self) -> int:
        """Ends what is still open as lost; returns how many groups that were."""
        lost = self.ends.count(OPEN)
        self.ends = bytearray(end or LOST for end in self.ends)
        return lost
