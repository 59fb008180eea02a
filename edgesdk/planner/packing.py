"""The search for the cheapest plan: first fit at once, then columns, then mixes of machines.

Any-time: whatever is found is told through *progress* at once, cheaper and cheaper, each with the
bound that is proven by then. Time comes in through *clock*; HiGHS is given what is left of it.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable

import numpy as np

from edgesdk.errors import PlanError, PlanInfeasible, UsageError
from edgesdk.planner.aligning import align_cheapest
from edgesdk.planner.allotting import pack_apportioned
from edgesdk.planner.apportioning import Apportioned, apportion
from edgesdk.planner.bounds import Cut, cut_bound, round_up
from edgesdk.planner.columns import Columns
from edgesdk.planner.diving import dive
from edgesdk.planner.heuristics import Packed, best_first_fit
from edgesdk.planner.insisting import insist
from edgesdk.planner.items import make_items
from edgesdk.planner.mix import best_mix, resource_cuts
from edgesdk.planner.mixing import pack_mix
from edgesdk.planner.plan import Plan, make_plan
from edgesdk.planner.problem import Problem
from edgesdk.planner.rounding import choose, floored
from edgesdk.planner.shortage import least_machines, shortages, unplaced
from edgesdk.planner.shrinking import shrunk
from edgesdk.planner.snug import snug_patterns
from edgesdk.planner.verifier import verify

__all__ = ["Clock", "solve"]

Clock = Callable[[], float]

_CHOOSE_FIRST = 20  # with so many kinds a choice of columns finds more than a mix's packing
_TELLING = 0.25  # of the time so far
_TRIALS = 30  # of first fit where machines are scarce, however little time there is
_MOST_MACHINES = 1_000_000  # each is listed
_FEW_ITEMS = 2000  # beyond, columns of equal items find more than exchanges of single ones
_MANY_APPORTIONED = 300  # kinds; of fewer, columns make better use of each type
_MANY_KINDS = 1200  # beyond, a master with a row a kind is no use


def solve(
    problem: Problem,
    *,
    clock: Clock,
    seconds: float = 30.0,
    gap: float = 0.0,
    progress: Callable[[Plan], None] | None = None,
    seed: int = 1,
) -> Plan:
    """The cheapest plan found within about *seconds* of *clock*, verified.

    It ends earlier where the plan is proven to be within *gap* (a share of its cost) of the
    cheapest, and where it gets no better. *progress* is called with better plans as they come, the
    first of them always, and takes a quarter of the time at most. Raises PlanInfeasible where no
    plan exists, with what is short; PlanError where none was found, UsageError where a plan would
    list more than a million machines.
    """
    search = _Search(problem, clock, seconds, gap, progress, seed)
    return search.run()


class _Search:
    def __init__(
        self,
        problem: Problem,
        clock: Clock,
        seconds: float,
        gap: float,
        progress: Callable[[Plan], None] | None,
        seed: int,
    ) -> None:
        self._problem, self._clock, self._gap, self._progress = problem, clock, gap, progress
        self._start = clock()
        self._end = self._start + seconds
        self._items = make_items(problem)
        self._rng = np.random.default_rng(seed)
        self._best: Packed | None = None
        self._partial: Packed | None = None
        self._bound = 0
        self._cuts: list[Cut] = []
        self._telling = 0.0

    def run(self) -> Plan:
        items = self._items
        if short := shortages(items):
            raise PlanInfeasible("no plan exists: " + "; ".join(short), shortages=tuple(short))
        least, name = least_machines(items)
        if least > _MOST_MACHINES:
            raise UsageError(
                f"class {name}: its streams alone need {least:,} machines: expected a plan of "
                f"{_MOST_MACHINES:,} at most; lower its count, or plan for larger machines"
            )
        self._cuts = resource_cuts(items)
        for cut in self._cuts:
            self._raise_bound(cut_bound(items, cut), cuts_only=True)
        apportioned = self._apportioned()
        with contextlib.suppress(ImportError):
            if (mix := best_mix(items, self._cuts, seconds=1.0)) is not None:
                self._raise_bound(mix.bound, cuts_only=True)
        self._offer(best_first_fit(items, quick=True))
        if items.kinds <= _MANY_KINDS and not self._proven():
            self._offer(best_first_fit(items))  # however little time there is
        if self._best is None:
            self._insist()
        if not self._done():
            with contextlib.suppress(ImportError):
                expired = self._after(self._left() / 8)
                self._offer(align_cheapest(items, self._cuts, expired, self._rng))
        if not self._done() and apportioned is not None and items.kinds > _MANY_APPORTIONED:
            expired = self._after(self._left() / 2)
            below = None if self._best is None else self._best.microusd
            packed = pack_apportioned(items, apportioned, expired, below=below, rng=self._rng)
            self._offer(packed)
        few = items.kinds > _CHOOSE_FIRST and items.demand.sum() <= _FEW_ITEMS
        if not self._done() and self._best is not None and few:
            expired = self._after(self._left() / 10)
            self._offer(shrunk(items, self._best, expired, rng=self._rng))
        if not self._done() and items.kinds <= _MANY_KINDS:
            with contextlib.suppress(ImportError):  # without HiGHS first fit is what there is
                self._improve()
        return self._plan()

    def _apportioned(self) -> Apportioned | None:
        found: Apportioned | None = None
        with contextlib.suppress(ImportError):
            found = apportion(self._items, seconds=max(0.1, min(2.0, self._left() / 10)))
        if found is not None:
            self._cuts.append(found.cut)
            self._raise_bound(cut_bound(self._items, found.cut))
        return found

    def _insist(self) -> None:
        assert self._partial is not None  # first fit leaves one or the other
        trials = _TRIALS if self._items.kinds <= _MANY_KINDS else 1
        expired = self._after(self._left() / 4)
        self._offer(insist(self._items, self._partial, expired, trials=3 * _TRIALS, atleast=trials))

    def _improve(self) -> None:
        columns = Columns(self._items)
        for packed in (self._best, self._partial):
            if packed is not None:
                columns.add(packed.patterns)
        for kind in range(self._items.types):
            columns.add(snug_patterns(self._items, kind, self._rng))
        self._generate(columns, share=0.4)
        if not self._done() and self._items.kinds > _CHOOSE_FIRST:
            self._dive(columns)
            self._choose(columns)
        self._squeeze(columns)

    def _generate(self, columns: Columns, share: float) -> None:
        """Columns until the bound is near, with a whole plan from them now and then."""
        end = self._clock() + self._left() * share
        while not self._done() and self._clock() < end:
            columns.generate(lambda: self._clock() > end, enough=1e-3, rounds=20)
            self._raise_bound(columns.bound)
            if columns.lacking < 1e-6:
                self._offer(floored(self._items, columns.amounts_of()))
            if columns.converged or columns.stalled:
                break
        self._cuts += columns.cuts[-40:]

    def _squeeze(self, columns: Columns) -> None:
        """Mixes of machines from the cheapest up: packed, or cut off as proven not to do."""
        items = self._items
        unresolved = 0
        over = 0.0
        while not self._done() and unresolved < 6:
            mix = best_mix(items, self._cuts, seconds=max(0.1, self._left()), over=over)
            if mix is None:
                if not over:
                    self._raise_bound(float("inf"))
                return
            if not over:
                self._raise_bound(mix.bound)
            cost = int(mix.machines @ items.price)
            if self._done() or (self._best is not None and cost >= self._best.microusd):
                return
            answer = pack_mix(
                items,
                columns,
                mix.machines,
                left=self._left,
                attempts=8,
                rng=self._rng,
            )
            if answer.cuts:
                self._cuts += answer.cuts[-3:]
            elif answer.packed is not None:
                self._offer(answer.packed)
                over, unresolved = 0.0 if self._bound == cost else over, 0
                if over:
                    return
            else:
                unresolved += 1
                self._choose(columns)
                best = self._best.microusd if self._best else cost * 2
                over = (cost + best) / 2 if best > cost else cost + 1

    def _dive(self, columns: Columns) -> None:
        expired = self._after(0.7 * self._left())
        columns.solve()
        while not self._done() and not expired() and self._best is not None:
            before = self._best.microusd
            self._offer(dive(self._items, columns, expired, below=before))
            if self._best.microusd == before:
                return

    def _choose(self, columns: Columns) -> None:
        start = None if self._best is None else self._best.patterns
        found = choose(
            self._items, columns.patterns, seconds=max(0.1, self._left() / 4), start=start
        )
        self._offer(found)

    def _after(self, seconds: float) -> Callable[[], bool]:
        end = self._clock() + seconds
        return lambda: self._clock() > end

    def _left(self) -> float:
        return self._end - self._clock()

    def _done(self) -> bool:
        return self._left() <= 0 or self._proven()

    def _proven(self) -> bool:
        best = self._best
        return best is not None and best.microusd - self._bound <= self._gap * best.microusd

    def _raise_bound(self, bound: float, *, cuts_only: bool = False) -> None:
        if any(self._problem.relief) and not cuts_only:
            return  # the values of single kinds do not know of it
        if not np.isfinite(bound):
            if self._best is not None:
                self._bound = self._best.microusd
                return
            raise self._infeasible()
        whole = round_up(bound, self._problem.price_step())
        if self._best is not None:
            whole = min(whole, self._best.microusd)
        self._bound = max(self._bound, whole)

    def _offer(self, packed: Packed | None) -> None:
        if packed is None:
            return
        if not packed.whole:
            if self._partial is None or packed.left.sum() < self._partial.left.sum():
                self._partial = packed
            return
        if self._best is not None and packed.microusd >= self._best.microusd:
            return
        self._best = packed
        self._bound = min(self._bound, packed.microusd)
        self._tell()

    def _tell(self) -> None:
        """Progress, where it does not take more than its share of the time: to list and verify the
        machines of a million streams takes as long as to find better ones."""
        now = self._clock()
        if self._progress is None or self._telling > _TELLING * (now - self._start):
            return
        self._progress(self._plan())
        self._telling += self._clock() - now

    def _plan(self) -> Plan:
        if self._best is None:
            raise self._not_found()
        plan = make_plan(
            self._problem,
            self._items.machines(self._best.patterns),
            bound_microusd=self._bound,
            seconds=self._clock() - self._start,
            method=self._best.method,
        )
        faults = verify(self._problem, plan)
        if faults:
            raise PlanError(f"a plan that breaks rules was found, a bug: {'; '.join(faults)}")
        return plan

    def _infeasible(self) -> PlanInfeasible:
        left = [] if self._partial is None else unplaced(self._items, self._partial.left)
        message = "no plan exists: the machines' limits do not hold all streams, however they are "
        message += "split. In the best attempt " + "; ".join(left)
        return PlanInfeasible(message, shortages=tuple(left))

    def _not_found(self) -> PlanError:
        left = [] if self._partial is None else unplaced(self._items, self._partial.left)
        return PlanError(
            "no plan was found in the time given, nor proven that none exists. In the best attempt "
            + "; ".join(left)
        )
