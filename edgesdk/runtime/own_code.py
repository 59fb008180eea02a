"""The user's own operators: one thread an application, so that a slow one slows no other.

An application's operators are called one at a time, so they need no locks: those with state in the
order of capture, the others as their values come. What one raises fails that frame for that
application and nothing else; one that never returns costs its application all further frames, and
no other anything.
"""

from __future__ import annotations

import logging
import queue
import threading
import time
from collections.abc import Callable
from functools import partial
from typing import Any

from edgesdk.errors import Cancelled
from edgesdk.runtime.request import Outcome, Times

__all__ = ["OwnCode"]

log = logging.getLogger(__name__)

# Calls that may wait for one application; further frames are dropped ("queue").
_WAITING = 32

Call = tuple[Callable[[], Any], Callable[[Outcome], None]]
"""What is called, and who is told what came of it, on the application's thread."""


class _Calls(queue.Queue[Call | None]):
    """In the order in which they came, but for those that go first."""

    def put_first(self, item: Call) -> None:
        with self.mutex:
            self.queue.appendleft(item)
            self.unfinished_tasks += 1
            self.not_empty.notify()


class OwnCode:
    """Threads for the applications that have operators of their own."""

    def __init__(self, post: Callable[[list[Callable[[], None]]], None]) -> None:
        self._post = post
        self._queues: dict[str, _Calls] = {}

    def call(self, app: str, function: Callable[[], Any], done: Callable[[Outcome], None]) -> None:
        """Runs *function* on the thread of *app*; *done* is posted with its value or error."""
        try:
            self._calls(app).put_nowait((function, self._posting(done)))
        except queue.Full:
            self._post([partial(done, Outcome(dropped="queue"))])

    def interject(
        self, app: str, function: Callable[[], Any], done: Callable[[Outcome], None]
    ) -> None:
        """The same between two of its calls, before all that wait; it is not one of them."""
        self._calls(app).put_first((function, self._posting(done)))

    def run(self, app: str, function: Callable[[], Any]) -> Any:
        """What *function* gives on the thread of *app*, before all that wait there. Raises what it
        raises, and Cancelled where the node was stopped meanwhile."""
        ended: queue.SimpleQueue[Outcome] = queue.SimpleQueue()
        self._calls(app).put_first((function, ended.put))
        outcome = ended.get()
        if outcome.error is not None:
            raise outcome.error
        if outcome.values is None:
            raise Cancelled("the node was stopped")
        return outcome.values[0]

    def _posting(self, done: Callable[[Outcome], None]) -> Callable[[Outcome], None]:
        return lambda outcome: self._post([partial(done, outcome)])

    def _calls(self, app: str) -> _Calls:
        calls = self._queues.get(app)
        if calls is None:
            calls = self._queues[app] = _Calls(_WAITING)
            thread = threading.Thread(target=self._serve, args=(calls,), name=f"app-{app}")
            # A call that never returns must not keep the process from ending.
            thread.daemon = True
            thread.start()
        return calls

    def waiting(self) -> int:
        return sum(calls.qsize() for calls in self._queues.values())

    def stop(self) -> None:
        """Drops what waits (``shutdown``) and ends the threads after the call they are in."""
        for calls in self._queues.values():
            while True:
                try:
                    item = calls.get_nowait()
                except queue.Empty:
                    break
                if item is not None:
                    item[1](Outcome(dropped="shutdown"))
            calls.put_nowait(None)
        self._queues.clear()

    def _serve(self, calls: _Calls) -> None:
        while (item := calls.get()) is not None:
            function, done = item
            started = time.monotonic_ns()
            try:
                outcome = Outcome(values=[function()])
            except Exception as error:
                outcome = Outcome(error=error)
            outcome.times = Times(infer=time.monotonic_ns() - started)
            done(outcome)
