"""The demo's results: gathered from its nodes' files into one, counted as they come."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from edgesdk.errors import SinkError

if TYPE_CHECKING:
    from edgesdk.values import Detections

__all__ = ["Collector", "Crowd", "Tally"]

_BLOCK = 1 << 20


@dataclass(slots=True)
class Tally:
    """How frames that passed ended. *elsewhere* of the ok and late ones were computed by a peer."""

    ok: int = 0
    late: int = 0
    dropped: int = 0
    failed: int = 0
    elsewhere: int = 0
    reasons: dict[str, int] = field(default_factory=dict)

    @property
    def passed(self) -> int:
        return self.ok + self.late + self.dropped + self.failed

    @property
    def goodput(self) -> float | None:
        return self.ok / self.passed if self.passed else None

    def add(self, other: Tally) -> None:
        for name in ("ok", "late", "dropped", "failed", "elsewhere"):
            setattr(self, name, getattr(self, name) + getattr(other, name))
        for reason, count in other.reasons.items():
            self.reasons[reason] = self.reasons.get(reason, 0) + count


class _Item(msgspec.Struct, frozen=True):
    box: tuple[float, float, float, float]
    score: float
    label_id: int
    label: str
    track_id: int | None = None


class _Tracks(msgspec.Struct, frozen=True):
    items: list[_Item] = []


class _Outputs(msgspec.Struct, frozen=True):
    tracks: _Tracks = _Tracks()


class _Captured(msgspec.Struct, frozen=True):
    utc_ns: int


class _Origin(msgspec.Struct, frozen=True):
    executed_on: str = ""


class _Line(msgspec.Struct, frozen=True):
    camera: str
    incarnation: int
    sequence: int
    state: str
    captured: _Captured
    reason: str | None = None
    outputs: _Outputs | None = None
    provenance: list[_Origin] = []


@dataclass(slots=True)
class Crowd:
    """The record with the most people; *sequence* counts the camera's frames from 1."""

    camera: str
    sequence: int
    items: list[_Item]

    def detections(self) -> Detections:
        """Its boxes, as they are drawn."""
        import numpy as np

        from edgesdk.values import Detections

        n = len(self.items)
        return Detections(
            boxes=np.array([item.box for item in self.items], np.float32).reshape(n, 4),
            scores=np.array([item.score for item in self.items], np.float32),
            label_ids=np.array([item.label_id for item in self.items], np.int32),
            labels=tuple(item.label for item in self.items),
            track_ids=np.array([item.track_id or 0 for item in self.items], np.int64),
        )


class Collector:
    """Appends what nodes write to their own files to *target*, whole lines at a time.

    files: by node. A frame counts for the half that had begun when it was captured; what came
    before the first half is in no half. *twice* counts results of a frame which had one.
    """

    def __init__(self, files: Mapping[str, Path], target: Path) -> None:
        self._begun: list[int] = []
        self.halves: tuple[dict[str, Tally], dict[str, Tally]] = ({}, {})
        self.before = Tally()
        self.crowd: Crowd | None = None
        self.twice = 0
        self._files = dict(files)
        self._offsets = dict.fromkeys(files, 0)
        self._seen: set[tuple[str, int, int]] = set()
        self._decoder = msgspec.json.Decoder(_Line)
        try:
            self._out = target.open("ab", buffering=0)
        except OSError as error:
            raise SinkError(
                f"cannot write results to {target}: {error.strerror}; name another folder with "
                "--out"
            ) from None
        self._target = target

    def poll(self) -> None:
        """Takes what is new. Raises SinkError where it cannot be written."""
        for node in self._files:
            while self._take(node):
                pass

    def begin(self, half: int, utc_ns: int) -> None:
        """From *utc_ns* on frames are of *half*, 0 or 1, which follow each other."""
        assert half == len(self._begun)
        self._begun.append(utc_ns)

    def close(self) -> None:
        self._out.close()

    def of(self, half: int) -> Tally:
        """All cameras of a half together."""
        total = Tally()
        for tally in self.halves[half].values():
            total.add(tally)
        return total

    def _take(self, node: str) -> bool:
        try:
            with self._files[node].open("rb") as file:
                file.seek(self._offsets[node])
                block = file.read(_BLOCK)
        except FileNotFoundError:
            return False
        lines = block[: block.rfind(b"\n") + 1]
        if not lines:
            return False
        self._offsets[node] += len(lines)
        rest = memoryview(lines)
        try:
            while rest:
                rest = rest[os.write(self._out.fileno(), rest) :]
        except OSError as error:
            raise SinkError(f"cannot write results to {self._target}: {error.strerror}") from None
        for line in lines.splitlines():
            self._count(node, self._decoder.decode(line))
        return len(block) == _BLOCK

    def _count(self, node: str, line: _Line) -> None:
        key = (line.camera, line.incarnation, line.sequence)
        if key in self._seen:
            self.twice += 1
            return
        self._seen.add(key)
        half = sum(began <= line.captured.utc_ns for began in self._begun) - 1
        tally = self.before if half < 0 else self.halves[half].setdefault(line.camera, Tally())
        if line.state in ("ok", "late", "dropped", "failed"):
            setattr(tally, line.state, getattr(tally, line.state) + 1)
        if line.reason:
            reason = line.reason if line.state == "dropped" else line.reason.rpartition(": ")[2]
            tally.reasons[reason] = tally.reasons.get(reason, 0) + 1
        if line.outputs is None:
            return
        if any(origin.executed_on.partition("/")[0] != node for origin in line.provenance):
            tally.elsewhere += 1
        items = line.outputs.tracks.items
        if self.crowd is None or len(items) > len(self.crowd.items):
            self.crowd = Crowd(line.camera, line.sequence, items)
