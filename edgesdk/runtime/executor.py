"""Runs what the scheduler says on one device: the only place where inference happens.

Two threads a device, unless it is said otherwise. A session runs one inference at a time, so while
one thread is inside it the other prepares the next batch or decodes the last one; both release the
GIL for most of that.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence
from contextlib import suppress

from edgesdk.core.sched import Batch, Scheduler, SchedulerFull
from edgesdk.errors import UsageError
from edgesdk.runtime.batch import run, runnable_of
from edgesdk.runtime.load import Load
from edgesdk.runtime.parts import cut, sizes
from edgesdk.runtime.promises import Promise, Promises
from edgesdk.runtime.request import Outcome, Request, Times
from edgesdk.runtime.runnable import Runnable

__all__ = ["Executor", "Outcome", "Promise", "Request", "Times"]


# Two in flight: one inside the session, one being prepared. More would only age in line.
_LANES = 2
# As many as a scheduler can know at one time.
_MODELS = 64


class Executor:
    """One device with its scheduler.

    *report* is called from the executor's threads, without locks held, and must not block. *lanes*:
    threads, and batches in flight; with one, costs and promises are those of the device alone, as
    promises to other nodes want it. Its methods may be called from any thread.
    """

    def __init__(
        self, device: str, report: Callable[[Sequence[Outcome]], None], *, lanes: int = _LANES
    ) -> None:
        self.device = device
        self.executed = 0
        self.received = 0
        self._report = report
        self._scheduler = Scheduler(devices=lanes, max_models=_MODELS)
        self._wake = threading.Condition()
        self._requests: dict[int, tuple[Request, ...]] = {}
        self._numbers: dict[Runnable, int] = {}
        self._promises = Promises(self._scheduler)
        self._load = Load(lanes)
        self._next_job = 1
        self._stopping = False
        self._threads = [
            threading.Thread(
                target=self._serve, args=(lane,), name=f"infer-{device}-{lane}", daemon=True
            )
            for lane in range(lanes)
        ]

    def add_app(self, weight: float) -> int:
        with self._wake:
            return self._scheduler.add_app(weight)

    def add_model(self, model: Runnable) -> int:
        """Its number, for streams; a model that is known keeps the one it has."""
        with self._wake:
            if model not in self._numbers:
                self._numbers[model] = self._scheduler.add_model(model.costs_ns)
            return self._numbers[model]

    def models(self) -> list[Runnable]:
        """What it can run, in the order in which they came."""
        with self._wake:
            return list(self._numbers)

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
            self._numbers = {known: n for known, n in self._numbers.items() if n != model}

    def doubt(self, model: Runnable) -> None:
        """By the estimate no group of *model* would end in time even on an idle device, so that
        none ever runs to correct it: it comes down by an eighth."""
        with self._wake:
            number = self._numbers.get(model)
            if number is None:
                return
            items = range(1, model.max_batch + 1)
            lower = [max(1, self._scheduler.cost_upper(number, n) * 7 // 8) for n in items]
            with suppress(UsageError):  # something of it is about to run
                self._scheduler.remove_model(number)
                self._numbers[model] = self._scheduler.add_model(lower)

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
            return sum(requests[0].stream == stream for requests in self._requests.values())

    def start(self) -> None:
        for thread in self._threads:
            thread.start()

    def submit(self, request: Request) -> None:
        """Hands *request* over; it comes back in exactly one Outcome.

        Without a stream it is promised a place and claims it, or is dropped (``deadline``).
        """
        if request.stream < 0:
            self._submit_alone(request)
            return
        now = time.monotonic_ns()
        request.submitted_ns = now
        with self._wake:
            job = self._new_job((request,))
            try:
                self._scheduler.submit(
                    request.stream,
                    job,
                    items=len(request.pictures),
                    deadline_ns=request.deadline_ns,
                    now_ns=now,
                )
            except SchedulerFull:
                del self._requests[job]
                outcomes = [Outcome(request, dropped="queue")]
            else:
                outcomes = self._take_drops()
            self._wake.notify()
        if outcomes:
            self._report(outcomes)

    def quote(
        self, model: Runnable, items: int, *, release_ns: int, deadline_ns: int, now_ns: int
    ) -> int | None:
        """When such a group would end if :meth:`reserve` took it; None where it would not."""
        with self._wake:
            number = self._numbers.get(model)
            if number is None or self._stopping:
                return None
            return self._promises.quote(
                number, model, items, release_ns=release_ns, deadline_ns=deadline_ns, now_ns=now_ns
            )

    def reserve(
        self, model: Runnable, items: int, *, release_ns: int, deadline_ns: int, now_ns: int
    ) -> Promise | None:
        """A place that holds if it is claimed by *release_ns*; None breaks nothing.

        Of *model* one that this executor has. More items than a batch holds are several jobs. It
        expires 100 ms after *release_ns*.
        """
        with self._wake:
            number = self._numbers.get(model)
            if number is None or self._stopping:
                return None
            return self._promises.make(
                number, model, items, release_ns=release_ns, deadline_ns=deadline_ns, now_ns=now_ns
            )

    def cancel(self, promise: Promise) -> None:
        """Gives the place back; one that was claimed or has expired is left alone."""
        with self._wake:
            self._promises.cancel(promise)

    def claim(self, requests: Sequence[Request], promise: Promise) -> bool:
        """The data of *promise* came: from here each request ends in one Outcome, as if submitted.

        The requests are for the promise's card, and have its number of pictures together. False:
        it was cancelled, claimed or has expired, and nothing was taken.

        Raises UsageError where the pictures are not as many as were promised.
        """
        if sum(len(request.pictures) for request in requests) != promise.items:
            raise UsageError(f"a place for {promise.items} pictures is claimed for another number")
        now = time.monotonic_ns()
        for request in requests:
            request.submitted_ns, request.model = now, promise.model
        jobs = cut(requests, promise.model.max_batch)
        with self._wake:
            if not self._promises.take(promise) or self._stopping:
                return False
            for reservation, parts in zip(promise.reservations, jobs, strict=True):
                job = self._new_job(parts)
                try:
                    self._scheduler.claim(reservation, job, now_ns=now)
                except KeyError:
                    del self._requests[job]
                    if reservation is promise.reservations[0]:
                        return False  # they have one release: the others have expired too
                    raise
            outcomes = self._take_drops()
            self._wake.notify()
        if outcomes:
            self._report(outcomes)
        return True

    def cost_ns(self, model: Runnable, items: int) -> int:
        """The upper estimate of what *items* take, alone on the device; 0 if it has no *model*."""
        with self._wake:
            number = self._numbers.get(model)
            if number is None:
                return 0
            return sum(self._scheduler.cost_upper(number, n) for n in sizes(items, model.max_batch))

    def backlog_ns(self, now_ns: int) -> int:
        """How long what runs, is queued and is promised will take, by mean costs."""
        with self._wake:
            work = self._promises.work(now_ns)
            for requests in self._requests.values():
                work[runnable_of(requests[0]), sum(len(r.pictures) for r in requests)] += 1
            total = self._load.running_ns(now_ns)
            for (model, items), times in work.items():
                number = self._numbers.get(model)
                if number is not None and items:
                    total += times * self._scheduler.cost(number, items)
            return total // self._load.lanes

    def utilisation(self) -> float:
        """The part of the last two seconds or so that something ran, 0 to 1."""
        with self._wake:
            return self._load.utilisation(time.monotonic_ns())

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
            wanted = [request for request in requests if not request.abandoned()]
            settled = runnable_of(requests[0]).settled
            outcomes = run(wanted) if wanted else []
            left = [r for r in requests if r not in wanted]
            for request in requests:
                # This thread may wait long for its next batch: it must not hold the ring's slots.
                request.pictures = ()
            times = outcomes[0].times if outcomes else Times()
            took = times.prepare + times.infer + times.decode
            with self._wake:
                # What a smaller batch took says nothing about the cost of this one.
                ok = settled and not left and all(o.error is None for o in outcomes)
                outcomes += [Outcome(request, dropped="cancelled") for request in left]
                now = time.monotonic_ns()
                self._scheduler.done(batch.id, now, took_ns=took, ok=ok)
                self._load.ended(lane, now)
                outcomes = self._gathered(outcomes)
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
                    requests = [r for job in answer.jobs for r in self._requests.pop(job)]
                    self._load.began(lane, now, answer.ends_ns)
                elif not outcomes:
                    # An int is the instant to look again; None, that a submit will wake us.
                    wait = None if answer is None else max(0.0, (answer - now) / 1e9)
                    self._wake.wait(wait)
            if outcomes:
                self._report(outcomes)
            if isinstance(answer, Batch):
                return answer, requests

    def _new_job(self, requests: tuple[Request, ...]) -> int:
        job = self._next_job
        self._next_job += 1
        self._requests[job] = requests
        return job

    def _submit_alone(self, request: Request) -> None:
        digest, now = request.model.digest, time.monotonic_ns()
        promise = None
        for model in self.models():
            if model.digest == digest:
                promise = self.reserve(
                    model,
                    len(request.pictures),
                    release_ns=now,
                    deadline_ns=request.deadline_ns,
                    now_ns=now,
                )
                break
        if promise is None or not self.claim([request], promise):
            self._report([Outcome(request, dropped="deadline")])

    def _take_drops(self) -> list[Outcome]:
        """What the scheduler gave up. Holds the lock."""
        drops = self._scheduler.drops()
        if not drops:
            return []
        return self._gathered(
            [
                Outcome(request, dropped=reason)
                for job, reason in drops
                for request in self._requests.pop(job)
            ]
        )

    def _gathered(self, outcomes: list[Outcome]) -> list[Outcome]:
        """Counts *outcomes*, those of parts put together to those of whole requests."""
        whole: list[Outcome] = []
        for outcome in outcomes:
            request = outcome.request
            assert request is not None
            ended: Outcome | None = outcome
            if request.whole is not None:
                gathering, first = request.whole
                ended = gathering.add(outcome, first)
            if ended is not None:
                whole.append(ended)
                if ended.dropped is None:
                    self.executed += 1
                    self.received += bool(request.origin)
        return whole
