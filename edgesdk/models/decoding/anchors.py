"""Single-shot detectors that give encodings against anchors (Liu et al., SSD, ECCV 2016)."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgesdk.models.decoding.candidates import Candidates, best_class, logit, sigmoid
from edgesdk.models.schema import Anchors, SsdAnchors

__all__ = ["decode_anchors", "make_anchors"]


def make_anchors(spec: Anchors, width: int, height: int) -> NDArray[np.float32]:
    """``[n, 4]`` cx, cy, w, h in [0, 1], in the order layer, row, column, box.

    Layers of equal stride that follow each other share their cells, as in MediaPipe's
    SsdAnchorsCalculator, whose every option this covers.
    """
    grids = [g if isinstance(g, tuple) else (g, g) for g in spec.grids]
    strides = spec.strides or tuple(math.ceil(height / rows) for rows, _ in grids)
    if not grids:
        grids = [(math.ceil(height / s), math.ceil(width / s)) for s in strides]
    scales = spec.scales or _spread(spec.min_scale, spec.max_scale, len(strides))
    layers = []
    i = 0
    while i < len(strides):
        shapes: list[tuple[float, float]] = []
        first = i
        while i < len(strides) and (i == first or (strides[i] == strides[first] and spec.strides)):
            shapes += _shapes_of_layer(spec, scales, i)
            i += 1
        layers.append(_grid(grids[first], shapes, spec.offset))
    return np.concatenate(layers).astype(np.float32)


def _spread(low: float, high: float, n: int) -> tuple[float, ...]:
    return tuple(low + (high - low) * i / max(1, n - 1) for i in range(n))


def _shapes_of_layer(
    spec: Anchors, scales: Sequence[float], layer: int
) -> list[tuple[float, float]]:
    """(width, height) of each anchor of one cell."""
    scale = scales[layer]
    following = scales[layer + 1] if layer + 1 < len(scales) else 1.0
    if layer == 0 and spec.reduce_lowest:
        pairs = [(0.1, 1.0), (scale, 2.0), (scale, 0.5)]
    else:
        pairs = [(scale, aspect) for aspect in spec.aspects]
        if spec.interpolated_aspect > 0:
            pairs.append((math.sqrt(scale * following), spec.interpolated_aspect))
    if spec.fixed:
        return [(1.0, 1.0)] * len(pairs)
    return [(s * math.sqrt(a), s / math.sqrt(a)) for s, a in pairs]


def _grid(
    grid: tuple[int, int], shapes: list[tuple[float, float]], offset: float
) -> NDArray[np.float64]:
    rows, columns = grid
    out = np.empty((rows, columns, len(shapes), 4))
    out[..., 0] = ((np.arange(columns) + offset) / columns)[None, :, None]
    out[..., 1] = ((np.arange(rows) + offset) / rows)[:, None, None]
    out[..., 2:] = np.array(shapes)
    return out.reshape(-1, 4)


def decode_anchors(
    encodings: NDArray[Any],
    raw_scores: NDArray[Any],
    anchors: NDArray[np.float32],
    spec: SsdAnchors,
    *,
    extent: tuple[float, float],
    score: float,
) -> Candidates:
    """encodings ``[n, 4 or more]``, raw_scores ``[n, classes]``, anchors ``[n, 4]`` of one image.

    Only anchors whose best score passes are decoded; a sigmoid is monotonic, so the raw scores
    are compared with the logit of the threshold.
    """
    threshold = score
    if spec.activation == "sigmoid":
        threshold = logit(score)
    elif spec.activation == "softmax":
        shifted = np.exp(raw_scores - raw_scores.max(axis=1, keepdims=True))
        raw_scores = shifted / shifted.sum(axis=1, keepdims=True)
    if spec.background is not None or spec.ignore:
        raw_scores = raw_scores.copy()
        hidden = [i - spec.class_offset for i in spec.ignore]
        hidden += [] if spec.background is None else [spec.background]
        raw_scores[:, [i for i in hidden if 0 <= i < raw_scores.shape[1]]] = -np.inf
    rows, classes, best = best_class(raw_scores, threshold)
    boxes = _decode_boxes(encodings[rows, :4].astype(np.float32), anchors[rows], spec)
    scores = sigmoid(best) if spec.activation == "sigmoid" else best.astype(np.float32)
    scaled = boxes * np.array([*extent, *extent], np.float32)
    good = np.isfinite(scaled).all(axis=1)
    return Candidates(scaled[good], np.clip(scores[good], 0, 1), classes[good])


def _decode_boxes(
    codes: NDArray[np.float32], anchors: NDArray[np.float32], spec: SsdAnchors
) -> NDArray[np.float32]:
    codes = codes / np.float32(spec.unit)
    if spec.box_coding == "yxhw":
        codes = codes[:, [1, 0, 3, 2]]
    factors = [v if v < 1.0 else 1.0 / v for v in spec.variances]
    codes = codes * np.array(factors, np.float32)
    if spec.box_coding == "corners":
        half = anchors[:, 2:] * 0.5
        base = np.concatenate([anchors[:, :2] - half, anchors[:, :2] + half], axis=1)
        return base + codes * np.tile(anchors[:, 2:], (1, 2))
    centres = codes[:, :2] * anchors[:, 2:] + anchors[:, :2]
    sides = np.exp(np.minimum(codes[:, 2:], 50)) if spec.exponential else codes[:, 2:]
    half = sides * anchors[:, 2:] * 0.5
    return np.concatenate([centres - half, centres + half], axis=1)
