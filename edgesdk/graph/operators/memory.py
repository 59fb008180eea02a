"""What a counting operator remembers of each track, for as long as the track may come back."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import Generic, TypeVar

from edgesdk.graph.operators.carried import MOST_TRACKS

__all__ = ["TrackMemory"]

E = TypeVar("E")

_STEPS = 300
_NANOSECONDS = 60_000_000_000
_MOST = 100_000


class TrackMemory(Generic[E]):
    """One entry a track id; those not seen for 300 steps and a minute of capture time are dropped.

    Both, since a gate may hold all frames for an hour while somebody stands still, and a slow
    camera may need minutes for 300 frames. Bounded, so that a day of frames does not grow it.
    """

    def __init__(self, fresh: Callable[[], E]) -> None:
        self._fresh = fresh
        self._entries: dict[
            int, tuple[E, int, int]
        ] = {}  # entry, last step, last time; oldest first
        self._steps = 0

    def __contains__(self, track: int) -> bool:
        return track in self._entries

    def see(self, tracks: Iterable[int], now_ns: int) -> list[tuple[int, E, bool]]:
        """(id, entry, is new) for each of a frame's tracks, in their order."""
        self._steps += 1
        found = []
        for track in tracks:
            known = self._entries.pop(track, None)
            entry = self._fresh() if known is None else known[0]
            self._entries[track] = (entry, self._steps, now_ns)
            found.append((track, entry, known is None))
        self._forget(now_ns)
        return found

    def latest(self, most: int = MOST_TRACKS) -> Iterator[tuple[int, int, int, E]]:
        """(id, steps since, last time in ns, entry) of the *most* that were seen last, oldest
        first."""
        first = max(0, len(self._entries) - most)
        for at, (track, (entry, step, seen_ns)) in enumerate(self._entries.items()):
            if at >= first:
                yield track, self._steps - step, seen_ns, entry

    def recall(self, latest: Iterable[tuple[int, int, int, E]]) -> None:
        """Remembers what :meth:`latest` of another memory gave, and nothing else."""
        self._entries = {t: (entry, -ago, seen) for t, ago, seen, entry in latest}
        self._steps = 0

    def _forget(self, now_ns: int) -> None:
        while self._entries:
            track, (_, step, seen_ns) = next(iter(self._entries.items()))
            old = self._steps - step > _STEPS and now_ns - seen_ns > _NANOSECONDS
            if not old and len(self._entries) <= _MOST:
                return
            del self._entries[track]
