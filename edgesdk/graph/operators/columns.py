"""What a second model found, cut to its best and written beside each detection."""

from __future__ import annotations

from collections.abc import Sequence

from edgesdk.graph.frames import FrameInfo
from edgesdk.values import Classification, Detections, Embedding, JsonValue

__all__ = ["Attach", "Top"]


class Top:
    """The best classes of a classification."""

    def __init__(self, *, top: int) -> None:
        self._top = top

    def step(self, found: Classification, info: FrameInfo) -> Classification:
        n = self._top
        return Classification(found.label_ids[:n], found.labels[:n], found.scores[:n])


class Attach:
    """A column from what a model said of each detection's crop, one entry a row."""

    def __init__(self, *, name: str, top: int | None) -> None:
        self._name = name
        self._top = top

    def step(
        self,
        detections: Detections,
        found: Sequence[Classification | Embedding],
        info: FrameInfo,
    ) -> Detections:
        return detections.with_attribute(self._name, tuple(self._entry(one) for one in found))

    def _entry(self, found: Classification | Embedding) -> JsonValue:
        if isinstance(found, Embedding):
            return [round(float(v), 6) for v in found.vector]
        items = found.to_json()["items"][: self._top]
        if self._top == 1:
            return items[0] if items else None
        return items
