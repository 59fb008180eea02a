"""Runs what the scheduler says on one device: the only place where inference happens.

Two threads a device. A session runs one inference at a time, so while one thread is inside it the
other prepares the next batch or decodes the last one; both release the GIL for most of that.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

from edgesdk.core.sched import Batch, Scheduler, SchedulerFull
from edgesdk.errors import EdgeError
from edgesdk.runtime.sessions import LoadedModel, Picture

__all__ = ["Executor", "Outcome", "Request", "Times"]

log = logging.getLogger(__name__)

# Two in flight: one inside the session, one being prepared. More would only age in line.
_LANES = 2
_MODELS = 64


@dataclass(frozen=True, slots=True)
class Times:
    """Nanoseconds of one request; *prepare*, *infer* and *decode* are those of its batch."""

    queue: int = 0
    prepare: int = 0
    infer: int = 0
    decode: int = 0


@dataclass(eq=False, slots=True)
class Request:
    """Pictures of one frame for one model: the unit the scheduler decides about.

    *stream* is the scheduler's; *done* is the caller's, never called here. *options* are the
    decoding options (``score``, ``iou``) of the operator that asks.
    """

    stream: int
    model: LoadedModel
    pictures: Sequence[Picture]
    deadline_ns: int
    done: Callable[[Outcome], None]
    options: tuple[tuple[str, Any], ...] = ()
    submitted_ns: int = 0


@dataclass(eq=False, slots=True)
class Outcome:
    """How a request ended: *values*, one a picture; or *dropped*, the reason; or *error*.

    *request* is None for what was no inference.
    """

    request: Request | None = None
    values: Sequence[Any] | None = None
    dropped: str | None = None
    error: Exception | None = None
    times: Times = field(default_factory=Times)


class Executor:
    """One device with its scheduler.

    *report* is called from the executor's threads, without locks held, and must not block.
    """

    def __init__(self, device: str, report: Callable[[Sequence[Outcome]], None]) -> None:
        self.device = device
        self._report = report
        self._scheduler = Scheduler(devices=_LANES, max_models=_MODELS)
        self._wake = threading.Condition()
        self._requests: dict[int, Request] = {}
        self._next_job = 1
        self._stopping = False
        self._threads = [
            threading.Thread(
                target=self._serve, args=(lane,), name=f"infer-{device}-{lane}", daemon=True
            )
            for lane in range(_LANES)
        ]

    def add_app(self, weight: float) -> int:
        with self._wake:
            return self._scheduler.add_app(weight)

    def add_model(self, model: LoadedModel) -> int:
        with self._wake:
            return self._scheduler.add_model(model.costs_ns)

    def add_stream(
        self, app: int, model: int, *, period_ns: int, deadline_ns: int, depth: int
    ) -> int:
        """Raises AdmissionRefused where the deadline is shorter than one inference."""
        with self._wake:
            return self._scheduler.add_stream(
                app, model, period_ns=period_ns, deadline_ns=deadline_ns, depth=depth
            )

    def remove_stream(self, stream: int) -> None:
        """What is queued there is dropped (``shutdown``); what runs ends as usual."""
        with self._wake:
            self._scheduler.remove_stream(stream)
            outcomes = self._take_drops()
            self._wake.notify()
        if outcomes:
            self._report(outcomes)

    def remove_model(self, model: int) -> None:
        """Forgets *model*; UsageError while it has streams, reservations or a batch that runs."""
        with self._wake:
            self._scheduler.remove_model(model)

    def remove_app(self, app: int) -> None:
        """Forgets *app*; UsageError while it has streams or jobs that run."""
        with self._wake:
            self._scheduler.remove_app(app)

    def set_weight(self, app: int, weight: float) -> None:
        with self._wake:
            self._scheduler.set_weight(app, weight)

    def waiting_in(self, stream: int) -> int:
        """Requests of *stream* that wait for their turn."""
        with self._wake:
            return sum(request.stream == stream for request in self._requests.values())

    def start(self) -> None:
        for thread in self._threads:
            thread.start()

    def submit(self, request: Request) -> None:
        """Hands *request* over; it comes back in exactly one Outcome. Any thread."""
        now = time.monotonic_ns()
        request.submitted_ns = now
        with self._wake:
            job = self._next_job
            self._next_job += 1
            self._requests[job] = request
            try:
                self._scheduler.submit(
                    request.stream,
                    job,
                    items=len(request.pictures),
                    deadline_ns=request.deadline_ns,
                    now_ns=now,
                )
            except SchedulerFull:
                outcomes = [Outcome(self._requests.pop(job), dropped="queue")]
            else:
                outcomes = self._take_drops()
            self._wake.notify()
        if outcomes:
            self._report(outcomes)

    def waiting(self) -> int:
        """Requests that were submitted and have not ended."""
        return len(self._requests)

    def stop(self, timeout: float) -> bool:
        """Ends what is running, drops what waits as ``shutdown``; False if *timeout* ran out."""
        with self._wake:
            self._stopping = True
            self._scheduler.shutdown()
            self._wake.notify_all()
        end = time.monotonic() + timeout
        for thread in self._threads:
            if thread.is_alive():
                thread.join(max(0.0, end - time.monotonic()))
        with self._wake:
            self._report(self._take_drops())
        return not any(thread.is_alive() for thread in self._threads)

    def _serve(self, lane: int) -> None:
        while (work := self._next(lane)) is not None:
            batch, requests = work
            outcomes = _run(requests)
            took = sum(
                (outcomes[0].times.prepare, outcomes[0].times.infer, outcomes[0].times.decode)
            )
            with self._wake:
                ok = all(outcome.error is None for outcome in outcomes)
                self._scheduler.done(batch.id, time.monotonic_ns(), took_ns=took, ok=ok)
                self._wake.notify()
            self._report(outcomes)

    def _next(self, lane: int) -> tuple[Batch, list[Request]] | None:
        while True:
            with self._wake:
                if self._stopping:
                    return None
                now = time.monotonic_ns()
                answer = self._scheduler.next(lane, now)
                outcomes = self._take_drops()
                if isinstance(answer, Batch):
                    requests = [self._requests.pop(job) for job in answer.jobs]
                elif not outcomes:
                    # An int is the instant to look again; None, that a submit will wake us.
                    wait = None if answer is None else max(0.0, (answer - now) / 1e9)
                    self._wake.wait(wait)
            if outcomes:
                self._report(outcomes)
            if isinstance(answer, Batch):
                return answer, requests

    def _take_drops(self) -> list[Outcome]:
        return [
            Outcome(self._requests.pop(job), dropped=reason)
            for job, reason in self._scheduler.drops()
        ]


def _run(requests: Sequence[Request]) -> list[Outcome]:
    """One batch. Where it fails, each request alone: one bad frame must not fail its neighbours."""
    started = time.monotonic_ns()
    try:
        return _run_together(requests, started)
    except Exception as error:
        if len(requests) > 1:
            return [outcome for request in requests for outcome in _run([request])]
        if not isinstance(error, EdgeError):
            log.warning("inference failed", exc_info=True)
        took = time.monotonic_ns() - started
        times = Times(queue=started - requests[0].submitted_ns, infer=took)
        return [Outcome(requests[0], error=error, times=times)]


def _run_together(requests: Sequence[Request], started: int) -> list[Outcome]:
    model = requests[0].model
    counts = [len(request.pictures) for request in requests]
    inputs, geometries = model.encode([p for request in requests for p in request.pictures])
    if len(requests) == 1:
        # The pixels are not needed any more: from here their slot in the ring is free. (Of several
        # requests each may have to run alone.)
        requests[0].pictures = ()
    encoded = time.monotonic_ns()
    outputs = model.infer(inputs)
    inferred = time.monotonic_ns()
    decoded = {
        options: model.decode(outputs, geometries, options)
        for options in {request.options for request in requests}
    }
    ended = time.monotonic_ns()
    outcomes = []
    first = 0
    for request, count in zip(requests, counts, strict=True):
        values = decoded[request.options][first : first + count]
        first += count
        times = Times(
            queue=started - request.submitted_ns,
            prepare=encoded - started,
            infer=inferred - encoded,
            decode=ended - inferred,
        )
        outcomes.append(Outcome(request, values=values, times=times))
    return outcomes
