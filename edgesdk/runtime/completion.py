"""What is complete: records that have arrived, and the run once all has ended."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Iterable

from edgesdk.runtime.camera import CameraFeed

__all__ = ["Completion"]

log = logging.getLogger(__name__)


class Completion:
    """The dispatcher's last feed: sets *finished* when every camera is done and nothing is open.

    *polled_ns*: when the dispatcher came by the last time.
    """

    name = "completion"
    reader = None
    touched = False
    hurried = False

    def __init__(
        self,
        acknowledge: Callable[[], None],
        feeds: Callable[[], Iterable[CameraFeed]],
        finished: threading.Event,
    ) -> None:
        self._acknowledge = acknowledge
        self._feeds = feeds
        self._finished = finished
        self.polled_ns = 0
        self._awaited: list[tuple[Callable[[], bool], threading.Event]] = []

    def poll(self, now_ns: int) -> None:
        self.polled_ns = now_ns
        self._acknowledge()
        awaited, self._awaited = self._awaited, []
        for condition, event in awaited:
            if condition():
                event.set()
            elif not event.is_set():
                self._awaited.append((condition, event))
        if all(feed.done and not feed.flow.open_tasks for feed in self._feeds()):
            self._finished.set()

    def watch(self, condition: Callable[[], bool], event: threading.Event) -> None:
        """Sets *event* once *condition* holds; asks no more where somebody else has set it. On the
        dispatcher."""
        self._awaited.append((condition, event))

    def broken(self, error: Exception) -> None:
        log.error("seeing what is complete failed", exc_info=error)
