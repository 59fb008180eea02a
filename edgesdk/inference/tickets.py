"""Tickets: one inference that was submitted."""

from __future__ import annotations

import logging
from collections.abc import Callable
from concurrent.futures import CancelledError, Future
from typing import Any

from numpy.typing import NDArray

from edgesdk.errors import Cancelled

log = logging.getLogger(__name__)


class Ticket:
    """One submitted inference; *number* rises by one a submission of its session. Thread-safe."""

    def __init__(self, number: int, on_cancel: Callable[[], None] | None = None) -> None:
        self.number = number
        self._future: Future[dict[str, NDArray[Any]]] = Future()
        self._on_cancel = on_cancel

    def done(self) -> bool:
        """Whether it ended: with outputs, an error, or cancelled."""
        return self._future.done()

    def result(self, timeout: float | None = None) -> dict[str, NDArray[Any]]:
        """The outputs; the caller owns them. Raises what the inference raised, Cancelled, or
        TimeoutError after *timeout* seconds (it runs on)."""
        try:
            return self._future.result(timeout)
        except CancelledError:
            raise Cancelled(f"inference {self.number} was cancelled") from None

    def cancel(self) -> bool:
        """Cancels it where it did not start, or the backend can cancel; says whether it tried."""
        if self._future.cancel():
            return True
        if self._on_cancel is None or self._future.done():
            return False
        self._on_cancel()
        return True

    def start(self) -> bool:
        """For a session: claims the ticket; False = it was cancelled, drop it."""
        return self._future.set_running_or_notify_cancel()

    def finish(self, outputs: dict[str, NDArray[Any]]) -> None:
        """For a session: ends a started ticket with its outputs."""
        self._future.set_result(outputs)

    def fail(self, error: BaseException) -> None:
        """For a session: ends a started ticket with an error."""
        self._future.set_exception(error)

    def notify(self, done: Callable[[Ticket], None] | None) -> None:
        """For a session: arranges the call of *done* at the end; its errors are logged."""
        if done is None:
            return

        def call(_: object) -> None:
            try:
                done(self)
            except Exception:
                log.exception("the done callback of inference %d failed", self.number)

        self._future.add_done_callback(call)
