"""A session with the checks and promises that every backend owes, around one runtime call."""

from __future__ import annotations

import queue
import threading
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from numpy.typing import NDArray

from edgesdk.errors import EdgeError, InferFailed, OutOfMemory, UsageError
from edgesdk.inference.checks import InputChecker
from edgesdk.inference.protocol import IOSpec, Stats, Tensors, zeros
from edgesdk.inference.tickets import Ticket


class CheckedSession(ABC):
    """Base of sessions: checks inputs, runs one inference at a time, counts, unloads once.

    A backend gives ``_run`` and ``_release``. Submitted inferences run in one thread that
    the first ``submit`` starts; a backend that overlaps them overrides ``submit``.
    """

    max_inflight = 2

    def __init__(self, spec: IOSpec) -> None:
        self._spec = spec
        self._checker = InputChecker(spec)
        self._lock = threading.Lock()
        self._unloaded = False
        self._inferences = self._items = self._failures = self._busy_ns = 0
        self._counts = threading.Lock()
        self._tickets = 0
        self._pending: queue.Queue[tuple[Ticket, Tensors, int] | None] = queue.Queue()
        self._slots = threading.Semaphore(self.max_inflight)
        self._thread: threading.Thread | None = None
        self._submit_lock = threading.Lock()

    @abstractmethod
    def _run(self, inputs: Tensors, batch: int) -> Tensors:
        """One inference on checked inputs (C-contiguous, canonical names); outputs are new arrays.

        Called with the session's lock held. Raises EdgeError; anything else becomes InferFailed.
        """

    @abstractmethod
    def _release(self) -> None:
        """Drops everything of the runtime's; called once."""

    def describe(self) -> IOSpec:
        return self._spec

    def infer(self, inputs: Mapping[str, NDArray[Any]]) -> Tensors:
        checked, batch = self._checker.check(inputs)
        return self._locked_run(checked, batch)

    def warm(self, batches: Sequence[int] = (), rounds: int = 3) -> dict[int, int]:
        costs = {}
        for batch in batches or self._spec.batches:
            inputs = zeros(self._spec, batch)
            took = []
            for _ in range(rounds):
                start = time.perf_counter_ns()
                self.infer(inputs)
                took.append(time.perf_counter_ns() - start)
            costs[batch] = min(took)
        return costs

    def submit(
        self, inputs: Mapping[str, NDArray[Any]], done: Callable[[Ticket], None] | None = None
    ) -> Ticket:
        checked, batch = self._checker.check(inputs)
        copies = {name: array.copy() for name, array in checked.items()}
        self._slots.acquire()
        with self._submit_lock:
            if self._unloaded:
                self._slots.release()
                raise self._gone()
            ticket = Ticket(self._tickets)
            self._tickets += 1
            ticket.notify(done)
            self._pending.put((ticket, copies, batch))
            if self._thread is None:
                self._thread = threading.Thread(
                    target=self._serve, name=f"infer-{self._spec.backend}", daemon=True
                )
                self._thread.start()
        return ticket

    def stats(self) -> Stats:
        with self._counts:
            return Stats(self._inferences, self._items, self._failures, self._busy_ns)

    def unload(self) -> None:
        with self._submit_lock:
            if self._unloaded:
                return
            self._unloaded = True
            self._end_queue()
            thread = self._thread
        if thread is not None and thread is not threading.current_thread():
            thread.join()
        with self._lock:
            self._release()

    def _end_queue(self) -> None:
        """Tells the session's thread to end after what was submitted."""
        self._pending.put(None)

    def _serve(self) -> None:
        while (item := self._pending.get()) is not None:
            ticket, inputs, batch = item
            try:
                if ticket.start():
                    try:
                        outputs = self._locked_run(inputs, batch, submitted=True)
                    except EdgeError as error:
                        ticket.fail(error)
                    else:
                        ticket.finish(outputs)
            finally:
                self._slots.release()

    def _locked_run(self, inputs: Tensors, batch: int, submitted: bool = False) -> Tensors:
        with self._lock:
            if self._unloaded and not submitted:
                raise self._gone()
            start = time.perf_counter_ns()
            try:
                outputs = self._run(inputs, batch)
            except EdgeError:
                self._count_failure()
                raise
            except Exception as error:
                self._count_failure()
                kind = OutOfMemory if isinstance(error, MemoryError) else InferFailed
                raise kind(
                    f"{self._spec.backend} failed on {self._spec.executed_on}: {error}",
                    backend=self._spec.backend,
                    device=self._spec.device,
                    detail=str(error),
                ) from error
            self._count(batch, time.perf_counter_ns() - start)
            return outputs

    def _count(self, batch: int, busy_ns: int) -> None:
        with self._counts:
            self._inferences += 1
            self._items += batch
            self._busy_ns += busy_ns

    def _count_failure(self) -> None:
        with self._counts:
            self._failures += 1

    def _gone(self) -> UsageError:
        return UsageError(f"this {self._spec.backend} session was unloaded; load the model again")
