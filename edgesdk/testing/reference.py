"""What the small models compute, in numpy: the answer that no runtime had a hand in."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgesdk.testing.models import CLASSES, weights

Array = NDArray[np.float32]


def cnn(image: NDArray[Any], *, layout: str, width: int = 8) -> dict[str, Array]:
    """The outputs of ``onnx_cnn`` (layout ``NCHW``) or ``tflite_cnn`` (``NHWC``) on a batch.

    Whole-number images are dequantised as the models do it: uint8 around 128, int8 around 0, over
    128. The two formats pad differently, so their outputs are not the same.
    """
    real: NDArray[Any] = image.astype(np.float32)
    if image.dtype.kind in "iu":
        real = (real - (128 if image.dtype == np.uint8 else 0)) / 128
    first = weights(width, 3, 3, 3, seed=1)
    second = weights(2 * width, 3, 3, width, seed=3)
    if layout == "NCHW":
        real = real.transpose(0, 2, 3, 1)
        first = weights(width, 3, 3, 3, seed=1).transpose(0, 2, 3, 1)
        second = weights(2 * width, width, 3, 3, seed=3).transpose(0, 2, 3, 1)
        before, matrix = 1, weights(2 * width, CLASSES, seed=5)
    else:
        before, matrix = 0, weights(CLASSES, 2 * width, seed=5).T
    hidden = _conv_relu(real, first, weights(width, seed=2), before)
    features = _conv_relu(hidden, second, weights(2 * width, seed=4), before)
    scores = features.mean(axis=(1, 2)) @ matrix + weights(CLASSES, seed=6)
    if layout == "NCHW":
        features = features.transpose(0, 3, 1, 2)
    return {"scores": scores.astype(np.float32), "features": features.astype(np.float32)}


def _conv_relu(x: NDArray[Any], kernel: NDArray[Any], bias: NDArray[Any], before: int) -> Array:
    """3 x 3, stride 2, even sizes; *before* rows of padding above and left, one below and right."""
    padded = np.pad(x, ((0, 0), (before, 1), (before, 1), (0, 0)))
    windows = np.lib.stride_tricks.sliding_window_view(padded, (3, 3), axis=(1, 2))
    windows = windows[:, ::2, ::2][:, : x.shape[1] // 2, : x.shape[2] // 2]
    made = np.einsum("nhwcij,oijc->nhwo", windows, kernel, optimize=True) + bias
    return np.asarray(np.maximum(made, 0), np.float32)
