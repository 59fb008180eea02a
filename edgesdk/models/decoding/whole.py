"""Decoders that speak of the image as a whole: classification and embedding."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgesdk.models.decoding.candidates import sigmoid
from edgesdk.models.schema import Classify, Embed
from edgesdk.values import Classification, Embedding

__all__ = ["classify", "embed"]


def classify(
    scores: NDArray[Any], images: int, spec: Classify, labels: Mapping[int, str]
) -> Iterator[Classification]:
    """The best ``spec.top`` classes of each image; scores: ``[n, classes]``, any shape of it."""
    rows = _rows(scores, images)
    for row in rows:
        values = activate(row, spec)
        best = np.argsort(-values, kind="stable")[: spec.top]
        ids = [int(i) + spec.class_offset for i in best]
        names = tuple(labels.get(i) or str(i) for i in ids)
        yield Classification(tuple(ids), names, tuple(float(v) for v in values[best]))


def activate(row: NDArray[Any], spec: Classify) -> NDArray[np.float32]:
    """Raw scores of one image as probabilities."""
    values: NDArray[np.float32] = row.astype(np.float32)
    activation = spec.activation
    if activation == "auto":
        # not by their sum: quantised probabilities of 1000 classes may add up to anything near 1
        within = values.size > 0 and values.min() >= -1e-6 and values.max() <= 1.0001
        activation = "none" if within else "softmax"
    if activation == "sigmoid":
        return sigmoid(values)
    if activation == "softmax":
        powers = np.exp(values - values.max())
        return np.asarray(powers / powers.sum(), np.float32)
    return values


def embed(vectors: NDArray[Any], images: int, spec: Embed) -> Iterator[Embedding]:
    """One vector an image; of length 1 if the card says so. A zero vector stays zero."""
    for row in _rows(vectors, images):
        vector = row.astype(np.float32)
        if spec.normalise:
            vector /= max(float(np.linalg.norm(vector)), 1e-12)
        yield Embedding(vector)


def _rows(array: NDArray[Any], images: int) -> NDArray[Any]:
    """``[n, rest]``; an array without a batch dimension is one image."""
    if images == 1 and (array.ndim < 2 or array.shape[0] != 1):
        whole = array.ndim < 2
        return array.reshape(1, -1) if whole else array.reshape(array.shape[0], -1)
    return array.reshape(array.shape[0], -1)[:images]
