"""Whether a model computes the rows of a batch as it computes them alone.

A runtime may accept a batch and still mix its rows: a Reshape with -1 swallows axis 0, a
post-processing operator looks at row 0 only. So no batch size is used before it was tried.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgesdk.errors import EdgeError
from edgesdk.inference.protocol import Tensors, TensorSpec, batched

Run = Callable[[Tensors], Tensors]
Same = Callable[[NDArray[Any], NDArray[Any]], bool]


def samples(inputs: tuple[TensorSpec, ...], count: int, seed: int = 20261121) -> list[Tensors]:
    """*count* different inputs at batch 1: smooth blobs over noise, in the range of the dtype."""
    rng = np.random.default_rng(seed)
    made: list[Tensors] = []
    for _ in range(count):
        one: Tensors = {}
        for spec in inputs:
            shape = tuple(n or 1 for n in spec.shape)
            dtype = np.dtype(spec.dtype)
            noise = rng.random(shape, np.float32)
            # A gradient of its own for each sample, since pure noise looks alike to a network.
            ramp = np.linspace(rng.random(), rng.random(), max(noise.size, 1), dtype=np.float32)
            mixed = 0.5 * noise + 0.5 * ramp.reshape(shape)
            if dtype.kind == "f":
                values: NDArray[Any] = 2 * mixed - 1
            elif dtype.kind in "iu":
                low, high = (0, 255) if dtype.kind == "u" else (-128, 127)
                values = low + mixed * (high - low)
            else:
                values = mixed > 0.5
            one[spec.name] = np.asarray(values, dtype=dtype)
        made.append(one)
    return made


def agrees(
    inputs: tuple[TensorSpec, ...],
    single: Run,
    together: Run,
    batch: int,
    same: Same | None = None,
) -> bool:
    """Whether *together* on *batch* samples gives each row what *single* gives it alone: as *same*
    has it; default close()."""
    same = same or close
    if any(not s.shape or s.shape[0] is None for s in inputs):
        return False
    alone = samples(inputs, batch)
    try:
        expected = [single(one) for one in alone]
        stacked = {s.name: np.concatenate([one[s.name] for one in alone]) for s in inputs}
        found = together(stacked)
    except EdgeError:
        return False
    for name, first in expected[0].items():
        array = found[name]
        if first.ndim == 0 or array.shape != batched(first.shape, batch):
            return False
        step = first.shape[0]
        for row, one in enumerate(expected):
            if not same(array[row * step : (row + 1) * step], one[name]):
                return False
    return True


def close(a: NDArray[Any], b: NDArray[Any]) -> bool:
    """Equal up to what another order of summation changes; integers by one step."""
    if a.shape != b.shape:
        return False
    if a.dtype.kind in "iu":
        return bool(np.abs(a.astype(np.int64) - b.astype(np.int64)).max(initial=0) <= 1)
    if a.dtype.kind != "f":
        return bool(np.array_equal(a, b))
    scale = float(np.abs(b).max(initial=0.0))
    return bool(np.allclose(a, b, rtol=1e-3, atol=1e-4 * max(1.0, scale)))
