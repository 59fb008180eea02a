"""What operators hand to each other: detections, labels, embeddings, counts.

Values are immutable by convention: an operator that changes something returns a new one. Arrays
are C-contiguous numpy arrays. Boxes are ``x1, y1, x2, y2``: float32 pixels of the original frame,
whatever crop, zone or model input they were found in.
"""

from __future__ import annotations

import importlib
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

__all__ = [
    "Classification",
    "Detections",
    "Embedding",
    "JsonValue",
    "Measurement",
    "RawOutputs",
    "plain",
]

JsonValue = Any  # what the json module can write


def plain(value: Any) -> JsonValue:
    """*value* with numpy's numbers and arrays as Python's, in dicts, lists and tuples too."""
    if isinstance(value, (np.generic, np.ndarray)):
        return value.tolist()
    if isinstance(value, Mapping):
        return {str(key): plain(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [plain(item) for item in value]
    return value


@dataclass(frozen=True, eq=False)
class Detections:
    """Things found in one frame, *n* rows.

    boxes: float32 ``[n, 4]``; scores: float32 ``[n]`` in [0, 1]; label_ids: int32 ``[n]``, the
    model's own numbers; labels: *n* names; track_ids: int64 ``[n]``, or None before a tracker.
    attributes: further columns by name, each of length *n* (a classifier's or speed's findings).
    """

    boxes: NDArray[np.float32]
    scores: NDArray[np.float32]
    label_ids: NDArray[np.int32]
    labels: tuple[str, ...]
    track_ids: NDArray[np.int64] | None = None
    attributes: Mapping[str, tuple[JsonValue, ...]] = field(default_factory=dict)

    @classmethod
    def empty(cls) -> Detections:
        """No rows, without track ids."""
        return cls(np.zeros((0, 4), np.float32), np.zeros(0, np.float32), np.zeros(0, np.int32), ())

    def __len__(self) -> int:
        return len(self.scores)

    def select(self, rows: NDArray[Any]) -> Detections:
        """The rows that a boolean mask or an index array names, in its order."""
        index = np.flatnonzero(rows) if rows.dtype == np.bool_ else rows
        return replace(
            self,
            boxes=self.boxes[index],
            scores=self.scores[index],
            label_ids=self.label_ids[index],
            labels=tuple(self.labels[i] for i in index),
            track_ids=None if self.track_ids is None else self.track_ids[index],
            attributes={k: tuple(v[i] for i in index) for k, v in self.attributes.items()},
        )

    def with_attribute(self, name: str, column: tuple[JsonValue, ...]) -> Detections:
        """A copy with one more column; *column* has one entry a row."""
        if len(column) != len(self):
            raise ValueError(f"attribute {name!r} has {len(column)} entries for {len(self)} rows")
        return replace(self, attributes={**self.attributes, name: column})

    def to_supervision(self) -> Any:
        """As ``supervision.Detections``, for its annotators; needs the package ``supervision``.

        Labels go into ``data["class_name"]``, attributes into ``data`` by name.
        """
        other = importlib.import_module("supervision").Detections
        data = {name: _column(column) for name, column in self.attributes.items()}
        return other(
            xyxy=self.boxes.copy(),
            confidence=self.scores.copy(),
            class_id=self.label_ids.astype(int),
            tracker_id=None if self.track_ids is None else self.track_ids.astype(int),
            data={**data, "class_name": np.array(self.labels, dtype=str)},
        )

    @classmethod
    def from_supervision(cls, other: Any) -> Detections:
        """From ``supervision.Detections``; what it lacks is score 1, label id 0, and its number."""
        n = len(other.xyxy)
        ids = np.zeros(n) if other.class_id is None else other.class_id
        names = other.data.get("class_name", [str(int(i)) for i in ids])
        return cls(
            np.ascontiguousarray(other.xyxy, np.float32).reshape(n, 4),
            np.ones(n, np.float32)
            if other.confidence is None
            else np.ascontiguousarray(other.confidence, np.float32),
            np.ascontiguousarray(ids, np.int32),
            tuple(str(name) for name in names),
            None if other.tracker_id is None else np.ascontiguousarray(other.tracker_id, np.int64),
            {
                name: tuple(np.asarray(column).tolist())
                for name, column in other.data.items()
                if name != "class_name" and len(column) == n
            },
        )

    def to_json(self) -> JsonValue:
        """``{"type": "detections", "items": [...]}``, an item a row."""
        rows = []
        for i in range(len(self)):
            row: dict[str, JsonValue] = {
                "box": [round(float(v), 2) for v in self.boxes[i]],
                "score": round(float(self.scores[i]), 5),
                "label_id": int(self.label_ids[i]),
                "label": self.labels[i],
                "track_id": None if self.track_ids is None else int(self.track_ids[i]),
            }
            row.update({name: plain(column[i]) for name, column in self.attributes.items()})
            rows.append(row)
        return {"type": "detections", "items": rows}


def _column(values: tuple[JsonValue, ...]) -> NDArray[Any]:
    """An object array of one entry a row, whatever the entries are (lists stay lists)."""
    column = np.empty(len(values), dtype=object)
    for i, value in enumerate(values):
        column[i] = value
    return column


@dataclass(frozen=True, eq=False)
class Classification:
    """What a classifier says of one image: label ids, names and scores, best first."""

    label_ids: tuple[int, ...]
    labels: tuple[str, ...]
    scores: tuple[float, ...]

    def to_json(self) -> JsonValue:
        """``{"type": "classification", "items": [...]}``, best first."""
        items = [
            {"label_id": i, "label": name, "score": round(score, 5)}
            for i, name, score in zip(self.label_ids, self.labels, self.scores, strict=True)
        ]
        return {"type": "classification", "items": items}


@dataclass(frozen=True, eq=False)
class Embedding:
    """One vector, float32 ``[d]``; L2-normalised where the card says so."""

    vector: NDArray[np.float32]

    def to_json(self) -> JsonValue:
        """``{"type": "embedding", "vector": [...]}``."""
        return {"type": "embedding", "vector": [round(float(v), 6) for v in self.vector]}


@dataclass(frozen=True, eq=False)
class RawOutputs:
    """A model's outputs by name, undecoded (task ``raw``)."""

    arrays: Mapping[str, NDArray[Any]]

    def to_json(self) -> JsonValue:
        """``{"type": "raw", "arrays": {...}}``: each with shape, dtype and data in C order."""
        return {
            "type": "raw",
            "arrays": {
                name: {"shape": list(a.shape), "dtype": str(a.dtype), "data": a.ravel().tolist()}
                for name, a in self.arrays.items()
            },
        }


@dataclass(frozen=True, eq=False)
class Measurement:
    """A counting operator's state after one frame, by field name (``now``, ``total``...)."""

    kind: str
    fields: Mapping[str, JsonValue]

    def to_json(self) -> JsonValue:
        """The fields, and *kind* as ``type``."""
        return {"type": self.kind, **plain(self.fields)}
