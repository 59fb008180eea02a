"""What a node of a cluster can do of operators that applications bring, for any camera."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from collections.abc import Set as AbstractSet
from functools import partial

from edgesdk.core.sched import SchedulerFull
from edgesdk.errors import UsageError
from edgesdk.graph.plan import Plan, PlannedOperator
from edgesdk.runtime.executor import Executor
from edgesdk.runtime.own_code import OwnCode
from edgesdk.runtime.own_operator import OwnOperator
from edgesdk.runtime.request import Outcome

__all__ = ["Installed", "placeable"]

log = logging.getLogger(__name__)

_LEAVE_S = 1.0
_LOOK_S = 0.02


def placeable(operator: PlannedOperator) -> bool:
    """Whether it is an operator of the user's own that may run anywhere: one without state."""
    return operator.custom is not None and operator.role == "value"


class Installed:
    """The operators without state of this node's applications, and an executor for each of those.

    ``executors``, by application, is replaced and never changed. Changed by one thread at a time;
    read by any. *report* is the executors'.
    """

    def __init__(self, own_code: OwnCode, report: Callable[[Sequence[Outcome]], None]) -> None:
        self.executors: Mapping[str, Executor] = {}
        self._own_code = own_code
        self._report = report
        self._operators: Mapping[str, OwnOperator] = {}
        self._stop = threading.Event()

    def find(self, operator_id: str) -> OwnOperator | None:
        return self._operators.get(operator_id)

    @property
    def ids(self) -> frozenset[str]:
        """Of all that can be run."""
        return frozenset(self._operators)

    def add(self, plans: Iterable[Plan]) -> frozenset[str]:
        """Those of *plans* can be run from here on; their ids."""
        wanted = {o.id: o for plan in plans for o in plan.operators if placeable(o)}
        for planned in wanted.values():
            if planned.id not in self._operators:
                app = min(planned.applications)
                operator = OwnOperator(planned, app, partial(self._own_code.run, app))
                try:
                    self._executor(app).add_model(operator)
                except SchedulerFull:
                    log.warning(
                        "%s of %s runs on this node only: too many do not", planned.name, app
                    )
                    continue
                self._operators = {**self._operators, planned.id: operator}
        return frozenset(wanted)

    def keep(self, wanted: AbstractSet[str]) -> None:
        """Those that are not *wanted* are gone; what runs of them comes to its end."""
        gone = {key: found for key, found in self._operators.items() if key not in wanted}
        if not gone:
            return
        self._operators = {k: found for k, found in self._operators.items() if k in wanted}
        used = {operator.runs_on for operator in self._operators.values()}
        left = [executor for app, executor in self.executors.items() if app not in used]
        before = self.executors
        self.executors = {app: executor for app, executor in before.items() if app in used}
        for executor in left:
            executor.stop(0.0)
        for operator in gone.values():
            if operator.runs_on in used and not self._forgotten(before[operator.runs_on], operator):
                log.warning("%s of %s does not come to its end", operator.name, operator.runs_on)

    def stop(self) -> None:
        """Nothing new begins. Waits for nothing: users' code takes the time that it takes."""
        self._stop.set()
        for executor in self.executors.values():
            executor.stop(0.0)

    def _executor(self, app: str) -> Executor:
        executor = self.executors.get(app)
        if executor is None:
            executor = Executor(f"app {app}", self._report, lanes=1)
            executor.start()
            self.executors = {**self.executors, app: executor}
        return executor

    def _forgotten(self, executor: Executor, operator: OwnOperator) -> bool:
        """Whether the scheduler has let go of it in time."""
        end = time.monotonic() + _LEAVE_S
        while _busy(executor, operator):
            if time.monotonic() >= end or self._stop.wait(_LOOK_S):
                return False
        return True


def _busy(executor: Executor, operator: OwnOperator) -> bool:
    """Tries to make the scheduler forget it."""
    try:
        executor.remove_model(executor.add_model(operator))
    except UsageError:  # a reservation, or a call that runs
        return True
    return False
