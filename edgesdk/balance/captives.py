"""Groups that no other node may or can run, and the room that what others bring leaves for them.

Without it a node that serves its peers well has no place for a camera whose frames stay at home:
those of others come with accepts, wait in line before it, and it has nowhere else to go (in a
cluster at its limits such a camera kept 0.36 of its frames, and 1.0 without any cluster).
"""

from __future__ import annotations

from edgesdk.balance.rates import Rate
from edgesdk.balance.settings import SECOND, Settings

__all__ = ["Captives"]

_FRESH_NS = 10 * SECOND


class Captives:
    """What this node's captive groups need of one lane, such as its accelerator."""

    __slots__ = ("_heaviest_ns", "_left_ns", "_seen_ns", "_slack", "_work")

    def __init__(self, settings: Settings) -> None:
        # A promise gives its peer but this share of the slack it was made with.
        self._slack = max(0.1, 1.0 - settings.firmness)
        self._work = Rate()
        self._heaviest_ns = self._left_ns = 0
        self._seen_ns: int | None = None

    def note(self, cost_ns: int, left_ns: int, now_ns: int) -> None:
        """A captive group of *cost_ns* came, with *left_ns* to its deadline."""
        if self._stale(now_ns):
            self._heaviest_ns = self._left_ns = 0
        self._work.add(cost_ns, now_ns)
        self._heaviest_ns = max(self._heaviest_ns, cost_ns)
        self._left_ns = max(self._left_ns, left_ns)
        self._seen_ns = now_ns

    def gap_ns(self, now_ns: int) -> int:
        """What other groups must leave free before their deadlines; 0 where there are no captives.

        As much as captives bring within their time, and room for one that is heavy, once more for
        what a promise takes of its slack.
        """
        if self._stale(now_ns):
            return 0
        usual = self._work.beginning(now_ns) / SECOND * self._left_ns
        return int(max(usual, self._heaviest_ns) / self._slack)

    def _stale(self, now_ns: int) -> bool:
        return self._seen_ns is None or now_ns - self._seen_ns > _FRESH_NS
