"""How long users' operators take lately, and what that means for what comes before them.

In a cluster an executor runs what ends in time, and no sooner than it must. Were that the frame's
own deadline, frames would have their turn just before it, and all operators behind would be late.
"""

from __future__ import annotations

from collections.abc import Mapping

from edgesdk.runtime.program import CameraProgram
from edgesdk.runtime.services import StageClock

__all__ = ["OwnTimes"]

_LOOK_NS = 500_000_000
# Another node is further away than this, and a place between the calls of others is soon found.
_BRIEF_NS = 2_000_000
_HANDING_ON_NS = 10_000_000


class OwnTimes:
    """Of one camera's stages, by index. Owned by the dispatcher; costs nothing where no operator
    is the user's own."""

    def __init__(self) -> None:
        self._look_ns = 0
        self._seen: dict[int, tuple[int, int]] = {}  # calls, and what they took together
        self._took: dict[int, int] = {}
        self._tails: dict[int, int] = {}

    def is_brief(self, index: int) -> bool:
        """Whether operator *index* is over before it could have gone elsewhere."""
        return self._took.get(index, _BRIEF_NS) < _BRIEF_NS

    def after(self, index: int) -> int:
        """Nanoseconds that the operators after stage *index* take."""
        return self._tails.get(index, 0)

    def until(self, index: int, deadline_ns: int, now_ns: int) -> int:
        """By when stage *index* must have ended for its frame to make *deadline_ns*, which itself
        is given where there is too little time anyway."""
        sooner = deadline_ns - self.after(index)
        return sooner if sooner > now_ns else deadline_ns

    def look(self, program: CameraProgram, clocks: Mapping[int, StageClock], now_ns: int) -> None:
        """Sees what the operators of *program* took since the last look; now and then."""
        if now_ns < self._look_ns:
            return
        self._look_ns = now_ns + _LOOK_NS
        own = [stage.index for stage in program.stages.values() if stage.own]
        for index in own:
            took = clocks[index].durations
            calls, total_ns = self._seen.get(index, (0, 0))
            self._seen[index] = took.count, took.total_ns
            if took.count > calls:
                mean = (took.total_ns - total_ns) // (took.count - calls)
                self._took[index] = (self._took.get(index, mean) + mean) // 2
        after: dict[int, set[int]] = {}
        for index in own:
            for before in _before(program, index):
                after.setdefault(before, set()).add(index)
        # They have one thread, and may find it in the longest of them.
        longest = max((self._took.get(index, 0) for index in own), default=0)
        wait = longest + longest // 16 + _HANDING_ON_NS
        self._tails = {
            index: wait + sum(self._took.get(later, 0) for later in found)
            for index, found in after.items()
        }


def _before(program: CameraProgram, index: int) -> set[int]:
    """The stages that the value of stage *index* is made of."""
    found: set[int] = set()
    waiting = list(program.stages[index].inputs)
    while waiting:
        at = waiting.pop()
        if at not in found:
            found.add(at)
            waiting += program.stages[at].inputs
    return found
