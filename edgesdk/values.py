"""What operators hand to each other: detections, labels, embeddings, counts.

Values are immutable by convention: an operator that changes something returns a new one. Arrays
are C-contiguous numpy arrays. Boxes are ``x1, y1, x2, y2``: float32 pixels of the original frame,
whatever crop, zone or model input they were found in.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

__all__ = ["Classification", "Detections", "Embedding", "JsonValue", "Measurement", "RawOutputs"]

JsonValue = Any  # what the json module can write


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
        return cls(
            np.zeros((0, 4), np.float32), np.zeros(0, np.float32), np.zeros(0, np.int32), ()
        )

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

    def to_json(self) -> JsonValue:
        rows = []
        for i in range(len(self)):
            row: dict[str, JsonValue] = {
                "box": [round(float(v), 2) for v in self.boxes[i]],
                "score": round(float(self.scores[i]), 5),
                "label_id": int(self.label_ids[i]),
                "label": self.labels[i],
                "track_id": None if self.track_ids is None else int(self.track_ids[i]),
            }
            row.update({name: column[i] for name, column in self.attributes.items()})
            rows.append(row)
        return {"type": "detections", "items": rows}


@dataclass(frozen=True, eq=False)
class Classification:
    """What a classifier says of one image: label ids, names and scores, best first."""

    label_ids: tuple[int, ...]
    labels: tuple[str, ...]
    scores: tuple[float, ...]

    def to_json(self) -> JsonValue:
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
        return {"type": "embedding", "vector": [round(float(v), 6) for v in self.vector]}


@dataclass(frozen=True, eq=False)
class RawOutputs:
    """A model's outputs by name, undecoded (task ``raw``)."""

    arrays: Mapping[str, NDArray[Any]]

    def to_json(self) -> JsonValue:
        return {
            "type": "raw",
            "arrays": {
                name: {"shape": list(a.shape), "dtype": str(a.dtype), "data": a.ravel().tolist()}
                for name, a in self.arrays.items()
            },
        }


@dataclass(frozen=True, eq=False)
class Measurement:
    """A counting operator's state after one frame, by field name (``now``, ``total``, ``in`` ...)."""

    kind: str
    fields: Mapping[str, JsonValue]

    def to_json(self) -> JsonValue:
        return {"type": self.kind, **self.fields}
