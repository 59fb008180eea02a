"""An accelerator in virtual time: the C scheduler decides, a batch takes what the law says."""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Callable

from edgesdk.core.sched import Batch, Reservation, Scheduler
from edgesdk.sim.engine import Engine
from edgesdk.sim.hardware import MODELS

__all__ = ["Accelerator"]

_GRACE_NS = 100_000_000  # after which the scheduler forgets a reservation
_MEMORY_NS = 5e9  # of the utilisation


class Accelerator:
    """Jobs go in by :meth:`submit`, or by :meth:`reserve` and :meth:`claim`, and come back once
    through *ended*: (job, whether it ran)."""

    def __init__(
        self,
        engine: Engine,
        costs: list[tuple[int, ...]],
        residents: tuple[int, ...],
        ended: Callable[[int, bool], None],
    ) -> None:
        self._engine = engine
        self._costs = costs
        self._ended = ended
        self._sched = Scheduler(
            max_streams=1,
            max_models=len(MODELS),
            max_apps=1,
            max_jobs=1024,
            max_reservations=256,
        )
        self._slots: dict[int, int] = {}
        self.residents: list[int] = []
        """Indices in MODELS."""
        for model in residents:
            self.load(model)
        self._batch: Batch | None = None
        self._runs_until = 0
        self._wakes_at = 0
        self._waiting_ns = 0  # work queued or reserved
        self._work: dict[int, int] = {}  # of queued jobs
        self._reserved: dict[int, int] = {}  # work of open reservations
        self._releases: deque[tuple[int, int]] = deque()
        self._busy_share = 0.0
        self._busy_at = 0
        self.executed = 0
        self.busy_ns = 0
        self.dead = False

    def load(self, model: int) -> None:
        """From now on it serves *model*."""
        if model not in self._slots:
            self._slots[model] = self._sched.add_model(self._costs[model])
        self.residents.append(model)

    def evict(self, model: int) -> None:
        """It takes no new work of *model*; what waits is still served."""
        self.residents.remove(model)

    def service_ns(self, model: int, items: int) -> int:
        return self._costs[model][items - 1]

    def submit(self, job: int, model: int, items: int, deadline_ns: int) -> None:
        """A job that comes without having asked: it ends in time or is dropped, at once or, where
        promises to others push it out, later."""
        promise = self.reserve(model, items, self._engine.now, deadline_ns)
        if promise is None or not self.claim(promise, job):
            self._ended(job, False)

    def quote(self, model: int, items: int, release_ns: int, deadline_ns: int) -> int | None:
        if model not in self.residents:
            return None
        return self._sched.quote(
            self._slots[model],
            items,
            release_ns=release_ns,
            deadline_ns=deadline_ns,
            now_ns=self._engine.now,
        )

    def reserve(
        self, model: int, items: int, release_ns: int, deadline_ns: int
    ) -> Reservation | None:
        if self.dead or model not in self.residents:
            return None
        promise = self._sched.offer(
            self._slots[model],
            items,
            release_ns=release_ns,
            deadline_ns=deadline_ns,
            now_ns=self._engine.now,
        )
        if promise is not None:
            work = self._costs[model][items - 1]
            self._reserved[promise.id] = work
            self._waiting_ns += work
            self._releases.append((release_ns + _GRACE_NS, promise.id))
        return promise

    def cancel(self, promise: Reservation) -> None:
        self._waiting_ns -= self._reserved.pop(promise.id, 0)
        if self._sched.cancel(promise):
            self._continue()

    def claim(self, promise: Reservation, job: int) -> bool:
        """False: it has expired; nothing was taken."""
        work = self._reserved.pop(promise.id, 0)
        self._waiting_ns -= work
        try:
            self._add_work(job, work)
            self._sched.claim(promise, job, now_ns=self._engine.now)
        except KeyError:
            self._drop_work(job)
            return False
        self._continue()
        return True

    def backlog_ns(self) -> int:
        """Work that is running, queued or reserved."""
        now = self._engine.now
        while self._releases and self._releases[0][0] < now:
            self._waiting_ns -= self._reserved.pop(self._releases.popleft()[1], 0)
        return self._waiting_ns + max(self._runs_until - now, 0)

    def utilisation(self) -> float:
        """The busy share of the last seconds."""
        self._remember(1.0 if self._batch else 0.0)
        return self._busy_share

    def _remember(self, busy: float) -> None:
        keep = math.exp((self._busy_at - self._engine.now) / _MEMORY_NS)
        self._busy_share = busy + (self._busy_share - busy) * keep
        self._busy_at = self._engine.now

    def _add_work(self, job: int, work: int) -> None:
        self._work[job] = work
        self._waiting_ns += work

    def _drop_work(self, job: int) -> None:
        self._waiting_ns -= self._work.pop(job, 0)

    def _continue(self) -> None:
        """Starts what is due; tells what was dropped."""
        now = self._engine.now
        if not self._batch and not self.dead:
            found = self._sched.next(0, now)
            if isinstance(found, Batch):
                self._start(found)
            elif found and (found < self._wakes_at or self._wakes_at <= now):
                self._wakes_at = found
                self._engine.at(found, self._wake, found)
        for job, _ in self._sched.drops():
            self._drop_work(job)
            self._ended(job, False)

    def _wake(self, instant: int) -> None:
        if instant == self._wakes_at and not self.dead:
            self._wakes_at = 0
            self._continue()

    def _start(self, batch: Batch) -> None:
        now = self._engine.now
        self._remember(0.0)
        for job in batch.jobs:
            self._drop_work(job)
        model = self._model(batch.model)
        takes = self._costs[model][batch.items - 1]
        self._batch = batch
        self._runs_until = now + takes
        self._engine.at(now + takes, self._complete, batch, takes)

    def _model(self, slot: int) -> int:
        return next(model for model, known in self._slots.items() if known == slot)

    def _complete(self, batch: Batch, takes: int) -> None:
        if self.dead:
            return
        self._remember(1.0)
        self._batch = None
        self.executed += len(batch.jobs)
        self.busy_ns += takes
        self._sched.done(batch.id, self._engine.now, took_ns=takes)
        for job in batch.jobs:
            self._ended(job, True)
        self._continue()
