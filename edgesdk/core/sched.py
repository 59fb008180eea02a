"""What runs next on this node's accelerators: the C scheduler of ``edgesdk/sched.h``.

A policy without clock or thread: every call takes ``now_ns``, and equal calls give equal answers.
Not thread-safe: the caller holds one lock around all calls on a scheduler. Times are integers of
nanoseconds of one clock that never runs backwards.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from edgesdk.core._native import ffi, lib
from edgesdk.errors import AdmissionRefused, EdgeError, UsageError

__all__ = ["Batch", "Reservation", "Scheduler", "SchedulerFull"]

_REASONS = {
    lib.EDGE_DROP_DEADLINE: "deadline",
    lib.EDGE_DROP_QUEUE: "queue",
    lib.EDGE_DROP_THINNED: "thinned",
    lib.EDGE_DROP_SHUTDOWN: "shutdown",
}
_EAGAIN, _EBUSY, _EINVAL, _ENOENT, _ENOSPC, _EDQUOT = -11, -16, -22, -2, -28, -122


class SchedulerFull(EdgeError):
    """A pool of the scheduler is full; the message says which size to raise."""


@dataclass(frozen=True, slots=True)
class Batch:
    """What a device runs now; report it with :meth:`Scheduler.done`."""

    id: int
    model: int
    jobs: tuple[int, ...]
    """The callers' numbers, most urgent first."""
    items: int
    """Items of all jobs together: the size to run."""
    ends_ns: int
    """When it will have ended, by the upper estimate of its cost."""


@dataclass(frozen=True, slots=True)
class Reservation:
    """A promise: data claimed by its release end by its deadline."""

    id: int
    ends_ns: int


class Scheduler:
    """Deadlines, batches and fair shares for the jobs of many streams.

    A job is a group of 1 to 32 items of one model. It ends exactly once: in a batch passed to
    :meth:`done`, or in :meth:`drops`.
    """

    def __init__(
        self,
        *,
        devices: int = 1,
        max_streams: int = 1024,
        max_models: int = 32,
        max_apps: int = 64,
        max_jobs: int = 8192,
        max_reservations: int = 256,
    ) -> None:
        config = ffi.new(
            "edge_sched_config *",
            {
                "devices": devices,
                "streams": max_streams,
                "models": max_models,
                "apps": max_apps,
                "jobs": max_jobs,
                "reservations": max_reservations,
            },
        )
        out = ffi.new("edge_sched **")
        if lib.edge_sched_create(config, out) < 0:
            raise UsageError(
                f"no scheduler with devices={devices}, max_streams={max_streams}, "
                f"max_models={max_models}, max_apps={max_apps}, max_jobs={max_jobs}, "
                f"max_reservations={max_reservations}: a size is out of range"
            )
        self._sched = ffi.gc(out[0], lib.edge_sched_destroy)
        self._job = ffi.new("edge_sched_job *")
        self._batch = ffi.new("edge_sched_batch *")
        self._drops = ffi.new("edge_sched_drop[64]")
        self._ends = ffi.new("edge_ns *")

    def add_app(self, weight: float = 1.0, *, archive: bool = False) -> int:
        """An application with its share under overload, relative to the others (0.001 to 1000).

        An *archive* application takes what the live ones leave, and at least 1 %.
        """
        if not 0.001 <= weight <= 1000:
            raise UsageError(f"weight is {weight}; it must be between 0.001 and 1000")
        app = ffi.new("edge_sched_app *")
        spec = ffi.new("edge_sched_app_spec *", (round(weight * 1000), archive))
        _check(lib.edge_sched_add_app(self._sched, spec, app), "max_apps")
        return int(app.id)

    def add_model(self, cost_ns: Sequence[int], *, devices: Iterable[int] = ()) -> int:
        """A model, with a first estimate of what a batch of 1, 2, ... ``len(cost_ns)`` items takes.

        Costs must not fall with the size. They are learnt from :meth:`done`, for each device.
        *devices* are those that the model can run on; all if empty.
        """
        model = ffi.new("edge_sched_model *")
        mask = sum(1 << device for device in set(devices))
        cost = ffi.new("edge_ns[]", list(cost_ns))
        code = lib.edge_sched_add_model(self._sched, cost, len(cost), mask, model)
        if code == _EINVAL:
            raise UsageError(
                f"a model of cost_ns={list(cost_ns)}, devices={sorted(set(devices))}: expected "
                f"1 to {lib.EDGE_SCHED_BATCH_MAX} costs above 0 that do not fall, and devices "
                "of this scheduler"
            )
        _check(code, "max_models")
        return int(model.id)

    def add_stream(
        self, app: int, model: int, *, period_ns: int, deadline_ns: int, depth: int = 1
    ) -> int:
        """A stream of jobs whose queue holds *depth* of them; 1 = only the latest.

        Raises:
            AdmissionRefused: no job could be sure of a deadline so short; it says what would do.
        """
        stream = ffi.new("edge_sched_stream *")
        spec = ffi.new(
            "edge_sched_stream_spec *", ((app,), (model,), period_ns, deadline_ns, depth)
        )
        code = lib.edge_sched_add_stream(self._sched, spec, stream, self._ends)
        if code == _EDQUOT:
            needed = int(self._ends[0])
            raise AdmissionRefused(
                f"a deadline of {deadline_ns / 1e6:g} ms cannot be kept on this node: the model "
                f"and what may be in its way take {needed / 1e6:g} ms; allow at least that, or "
                "use a smaller model",
                needed_ns=needed,
            )
        _check(code, "max_streams")
        return int(stream.id)

    def remove_stream(self, stream: int) -> None:
        """Its queued jobs are dropped (``shutdown``); running ones end as usual."""
        _check(lib.edge_sched_remove_stream(self._sched, (stream,)))

    def remove_app(self, app: int) -> None:
        """Forgets an application that has no streams; its number may be given to another.

        Raises:
            UsageError: it has streams, or jobs of removed ones that run.
        """
        _check(lib.edge_sched_remove_app(self._sched, (app,)))

    def remove_model(self, model: int) -> None:
        """Forgets a model without streams and reservations; as :meth:`remove_app`."""
        _check(lib.edge_sched_remove_model(self._sched, (model,)))

    def set_weight(self, app: int, weight: float) -> None:
        """Another share for *app* from here on, 0.001 to 1000."""
        if not 0.001 <= weight <= 1000:
            raise UsageError(f"weight is {weight}; it must be between 0.001 and 1000")
        _check(lib.edge_sched_set_weight(self._sched, (app,), round(weight * 1000)))

    def submit(
        self, stream: int, job: int, *, items: int = 1, deadline_ns: int, now_ns: int
    ) -> bool:
        """Hands over *job*, a number of the caller's below 2**64, with its deadline as an instant.

        Returns whether it is queued; if not, it is in :meth:`drops`, as may be an older job whose
        place it took.

        Raises:
            SchedulerFull: ``max_jobs`` are queued, running or waiting in :meth:`drops`; the job
                was not taken.
        """
        spec = self._job
        spec.stream.id = stream
        spec.items = items
        spec.job = job
        spec.deadline = deadline_ns
        return bool(_check(lib.edge_sched_submit(self._sched, spec, 1, now_ns), "max_jobs"))

    def next(self, device: int, now_ns: int) -> Batch | int | None:
        """The batch that *device* runs now.

        An instant instead of a batch: nothing may start before a promised job; ask again then,
        or after the next :meth:`submit`, :meth:`claim` or :meth:`done`. None: nothing to run.

        Raises:
            UsageError: the device's last batch is not done.
        """
        batch = self._batch
        code = lib.edge_sched_next(self._sched, device, batch, now_ns)
        if code > 0:
            jobs = tuple(ffi.unpack(batch.jobs, code))
            return Batch(batch.id, batch.model.id, jobs, batch.items, batch.ends)
        if code == _EBUSY:
            raise UsageError(f"device {device} still runs a batch: call done() first")
        _check(code)
        return int(batch.wait_until) or None

    def done(self, batch_id: int, now_ns: int, *, took_ns: int, ok: bool = True) -> None:
        """The batch ended after *took_ns* of device time; a failed one teaches no cost."""
        _check(lib.edge_sched_done(self._sched, batch_id, took_ns, ok, now_ns))

    def drops(self) -> list[tuple[int, str]]:
        """Jobs that ended without running, each once, oldest first, with the contract's reason."""
        drops = self._drops
        found: list[tuple[int, str]] = []
        while True:
            count = lib.edge_sched_drops(self._sched, drops, 64)
            found += [(drops[i].job, _REASONS[drops[i].reason]) for i in range(count)]
            if count < 64:
                return found

    def shutdown(self) -> None:
        """Drops what is queued and cancels all promises; later submits are dropped at once."""
        _check(lib.edge_sched_shutdown(self._sched))

    def offer(
        self, model: int, items: int, *, release_ns: int, deadline_ns: int, now_ns: int
    ) -> Reservation | None:
        """Promises a place to a job of another node, or None if that would break something.

        The promise holds if the data are claimed by *release_ns*, whatever else is submitted.
        """
        reservation = ffi.new("edge_sched_reservation *")
        code = lib.edge_sched_reserve(
            self._sched, (model,), items, release_ns, deadline_ns, now_ns, reservation, self._ends
        )
        if code == _EAGAIN:
            return None
        _check(code, "max_reservations")
        return Reservation(int(reservation.id), int(self._ends[0]))

    def quote(
        self, model: int, items: int, *, release_ns: int, deadline_ns: int, now_ns: int
    ) -> int | None:
        """When such a job would end, if :meth:`offer` would accept it; promises nothing."""
        code = lib.edge_sched_quote(
            self._sched, (model,), items, release_ns, deadline_ns, now_ns, self._ends
        )
        return None if code == _EAGAIN or _check(code) else int(self._ends[0])

    def claim(self, reservation: Reservation, job: int, *, now_ns: int) -> bool:
        """The data came: from here *job* ends like a submitted one. False: it came after the
        release and there is no place any more (it is in :meth:`drops`).

        Raises:
            KeyError: the reservation was cancelled, claimed, or has expired; nothing was taken.
        """
        code = lib.edge_sched_claim(self._sched, (reservation.id,), job, now_ns)
        if code == _ENOENT:
            raise KeyError(f"reservation {reservation.id} is not open any more")
        return bool(_check(code, "max_jobs"))

    def cancel(self, reservation: Reservation) -> bool:
        """Gives the place back; False if the reservation was not open any more."""
        code = lib.edge_sched_cancel(self._sched, (reservation.id,))
        if code == _ENOENT:
            return False
        _check(code)
        return True

    def expire(self, now_ns: int) -> int:
        """Forgets reservations whose data are overdue by 100 ms; returns how many."""
        return _check(lib.edge_sched_expire(self._sched, now_ns))

    def cost(self, model: int, batch: int, *, device: int = 0) -> int:
        """Mean cost of a batch in ns, as learnt so far."""
        return int(self._cost(model, batch, device))

    def cost_upper(self, model: int, batch: int, *, device: int = 0) -> int:
        """The estimate that deadlines and promises are tested against: 1 batch in 64 takes more."""
        self._cost(model, batch, device)
        return int(self._ends[0])

    def _cost(self, model: int, batch: int, device: int) -> int:
        mean: int = lib.edge_sched_cost(self._sched, (model,), device, batch, self._ends)
        if not mean:
            raise UsageError(f"model {model} has no batch of {batch} on device {device}")
        return mean

    def stats(self) -> dict[str, int]:
        """Counts since the start: submitted = done + dropped + queued + running at any moment.

        ``late`` and ``failed`` are parts of ``done``; ``dropped_<reason>`` add up to ``dropped``.
        """
        raw = ffi.new("edge_sched_stats *")
        _check(lib.edge_sched_get_stats(self._sched, raw))
        counts = {name: int(getattr(raw, name)) for name in _COUNTS}
        counts["dropped"] = int(raw.dropped[0])
        for number, reason in _REASONS.items():
            counts[f"dropped_{reason}"] = int(raw.dropped[number])
        return counts

    def app_stats(self, app: int) -> dict[str, int]:
        """Counts of one application; ``keep_ppm`` is the part of its jobs it is owed now."""
        raw = ffi.new("edge_sched_app_stats *")
        _check(lib.edge_sched_get_app_stats(self._sched, (app,), raw))
        return {name: int(getattr(raw, name)) for name in _APP_COUNTS}


def _fields(struct: str) -> list[str]:
    return [name for name, field in ffi.typeof(struct).fields if field.type.kind == "primitive"]


_COUNTS = _fields("edge_sched_stats")
_APP_COUNTS = _fields("edge_sched_app_stats")


def _check(code: Any, pool: str = "") -> int:
    if code >= 0:
        return int(code)
    if code == _ENOSPC:
        raise SchedulerFull(f"the scheduler's {pool} are in use; create it with more")
    text = ffi.string(lib.edge_strerror(code)).decode()
    raise UsageError(f"the scheduler refused the call: {text} (a number out of range?)")
