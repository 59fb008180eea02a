"""What is complete: records that have arrived, and the run once all has ended."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Mapping

from edgesdk.runtime.camera import CameraFeed

__all__ = ["Completion"]

log = logging.getLogger(__name__)


class Completion:
    """The dispatcher's last feed: sets *finished* when every camera is done and nothing is open."""

    name = "completion"
    reader = None
    touched = False
    hurried = False

    def __init__(
        self,
        acknowledge: Callable[[], None],
        feeds: Mapping[str, CameraFeed],
        finished: threading.Event,
    ) -> None:
        self._acknowledge = acknowledge
        self._feeds = feeds
        self._finished = finished

    def poll(self, now_ns: int) -> None:
        self._acknowledge()
        if all(feed.done and not feed.flow.open_tasks for feed in self._feeds.values()):
            self._finished.set()

    def broken(self, error: Exception) -> None:
        log.error("seeing what is complete failed", exc_info=error)
