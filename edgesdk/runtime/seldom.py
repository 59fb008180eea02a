"""What goes wrong with every frame is logged now and then, not thirty times a second."""

from __future__ import annotations

import logging
import threading
from dataclasses import dataclass

__all__ = ["Seldom"]

_AT_ONCE = 3
_EVERY_NS = 30_000_000_000
_MOST = 256


@dataclass(slots=True)
class _Heard:
    count: int = 0
    told_ns: int = 0
    untold: int = 0


class Seldom:
    """Warnings with a traceback: of each *what* the first three, then one in 30 s, which says how
    many there were between. Thread-safe."""

    def __init__(self, log: logging.Logger) -> None:
        self._log = log
        self._lock = threading.Lock()
        self._heard: dict[str, _Heard] = {}

    def warn(self, what: str, error: BaseException, now_ns: int) -> None:
        """*what* went wrong, for *error*, at *now_ns* (CLOCK_MONOTONIC)."""
        with self._lock:
            if len(self._heard) >= _MOST and what not in self._heard:
                del self._heard[next(iter(self._heard))]
            heard = self._heard.setdefault(what, _Heard())
            heard.count += 1
            if heard.count > _AT_ONCE and now_ns - heard.told_ns < _EVERY_NS:
                heard.untold += 1
                return
            untold, heard.untold, heard.told_ns = heard.untold, 0, now_ns
        more = f" (and {untold} times since this was told last)" if untold else ""
        self._log.warning("%s%s", what, more, exc_info=error)
