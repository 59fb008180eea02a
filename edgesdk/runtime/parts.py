"""Groups that are larger than what a model takes at once: cut into jobs, and put together again."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from edgesdk.runtime.request import Outcome, Request, Times

__all__ = ["Whole", "cut", "sizes"]


class Whole:
    """Gathers the outcomes of a request's parts; add() may be called from any thread."""

    def __init__(self, request: Request) -> None:
        self._lock = threading.Lock()
        self._request = request
        self._values: list[Any] = [None] * len(request.pictures)
        self._left = 0
        self._ended: list[Outcome] = []

    def part(self, first: int, last: int) -> Request:
        """The request for the pictures from *first* up to *last*."""
        self._left += 1
        return replace(
            self._request, pictures=self._request.pictures[first:last], whole=(self, first)
        )

    def add(self, outcome: Outcome, first: int) -> Outcome | None:
        """The whole request's outcome, once its last part has ended; one failure fails all."""
        with self._lock:
            if outcome.values is not None:
                self._values[first : first + len(outcome.values)] = outcome.values
            self._ended.append(outcome)
            self._left -= 1
            if self._left:
                return None
        times = Times(
            queue=min(o.times.queue for o in self._ended),
            prepare=sum(o.times.prepare for o in self._ended),
            infer=sum(o.times.infer for o in self._ended),
            decode=sum(o.times.decode for o in self._ended),
        )
        self._request.pictures = ()
        for ended in self._ended:
            if ended.values is None:
                return replace(ended, request=self._request, times=times)
        return Outcome(self._request, values=self._values, times=times)


def sizes(items: int, most: int) -> list[int]:
    """*items* in jobs of at most *most*, all but the last of them full."""
    full, rest = divmod(items, most)
    return [most] * full + [rest] * (rest > 0)


def cut(requests: Sequence[Request], most: int) -> list[tuple[Request, ...]]:
    """Jobs of :func:`sizes` over all *requests* in order; a request may lie in several jobs."""
    if sum(len(request.pictures) for request in requests) <= most:
        return [tuple(requests)]
    jobs: list[list[Request]] = [[]]
    room = most
    for request in requests:
        whole, first = None, 0
        count = len(request.pictures)
        while first < count:
            if not room:
                jobs.append([])
                room = most
            last = min(count, first + room)
            room -= last - first
            if (first, last) == (0, count):
                jobs[-1].append(request)
            else:
                whole = whole or Whole(request)
                jobs[-1].append(whole.part(first, last))
            first = last
    return [tuple(job) for job in jobs]
