"""Places that an executor keeps free for groups: its own balancer's, and those of other nodes."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass

from edgesdk.core.sched import Reservation, Scheduler, SchedulerFull
from edgesdk.runtime.parts import sizes
from edgesdk.runtime.runnable import Runnable

__all__ = ["Promise", "Promises"]

# So long after its release the scheduler forgets a reservation.
_GRACE_NS = 100_000_000


@dataclass(frozen=True, slots=True)
class Promise:
    """A place kept free for a group: *items* of *model*, whose data come by *release_ns*."""

    ends_ns: int
    model: Runnable
    items: int
    release_ns: int
    reservations: tuple[Reservation, ...]

    @property
    def sizes(self) -> list[int]:
        """Items of each of its jobs: more than a batch holds are several."""
        return sizes(self.items, self.model.max_batch)


class Promises:
    """The promises made on *scheduler*. Not thread-safe: its owner holds the scheduler's lock.

    *number* is the model's in the scheduler.
    """

    def __init__(self, scheduler: Scheduler) -> None:
        self._scheduler = scheduler
        self._open: dict[int, Promise] = {}

    def quote(
        self,
        number: int,
        model: Runnable,
        items: int,
        *,
        release_ns: int,
        deadline_ns: int,
        now_ns: int,
    ) -> int | None:
        """When such a group would end if :meth:`make` took it; None where it would not."""
        if items <= model.max_batch:
            try:
                return self._scheduler.quote(
                    number, items, release_ns=release_ns, deadline_ns=deadline_ns, now_ns=now_ns
                )
            except SchedulerFull:
                return None
        promise = self._made(number, model, items, release_ns, deadline_ns, now_ns)
        if promise is None:
            return None
        self._cancel(promise)
        return promise.ends_ns

    def make(
        self,
        number: int,
        model: Runnable,
        items: int,
        *,
        release_ns: int,
        deadline_ns: int,
        now_ns: int,
    ) -> Promise | None:
        """A place that holds if it is taken by *release_ns*; None breaks nothing."""
        self._forget_expired(now_ns)
        promise = self._made(number, model, items, release_ns, deadline_ns, now_ns)
        if promise is not None:
            self._open[promise.reservations[0].id] = promise
        return promise

    def take(self, promise: Promise) -> bool:
        """It is to be claimed now; False if it was taken, cancelled or has expired."""
        return self._open.pop(promise.reservations[0].id, None) is not None

    def cancel(self, promise: Promise) -> None:
        """Gives the place back; one that is not open any more is left alone."""
        if self.take(promise):
            self._cancel(promise)

    def work(self, now_ns: int) -> Counter[tuple[Runnable, int]]:
        """How many jobs of which model and size are promised."""
        self._forget_expired(now_ns)
        return Counter((p.model, size) for p in self._open.values() for size in p.sizes)

    def _made(
        self,
        number: int,
        model: Runnable,
        items: int,
        release_ns: int,
        deadline_ns: int,
        now_ns: int,
    ) -> Promise | None:
        made: list[Reservation] = []
        for count in sizes(items, model.max_batch):
            try:
                found = self._scheduler.offer(
                    number, count, release_ns=release_ns, deadline_ns=deadline_ns, now_ns=now_ns
                )
            except SchedulerFull:
                found = None
            if found is None:
                for reservation in made:
                    self._scheduler.cancel(reservation)
                return None
            made.append(found)
        ends = max(reservation.ends_ns for reservation in made)
        return Promise(ends, model, items, release_ns, tuple(made))

    def _cancel(self, promise: Promise) -> None:
        for reservation in promise.reservations:
            self._scheduler.cancel(reservation)

    def _forget_expired(self, now_ns: int) -> None:
        self._scheduler.expire(now_ns)
        gone = [k for k, p in self._open.items() if p.release_ns + _GRACE_NS < now_ns]
        for key in gone:
            del self._open[key]
