"""Inputs against what a session declares, before any runtime sees them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgesdk.errors import InputMismatch
from edgesdk.inference.protocol import IOSpec, Tensors, TensorSpec


class InputChecker:
    """Checks the inputs of one session; immutable and thread-safe."""

    def __init__(self, spec: IOSpec) -> None:
        self._spec = spec
        self._dtypes = {s.name: np.dtype(s.dtype) for s in spec.inputs}
        self._names = {s.name: s for s in spec.inputs}
        for s in spec.inputs:
            for alias in s.aliases:
                self._names.setdefault(alias, s)

    def check(self, inputs: Mapping[str, NDArray[Any]]) -> tuple[Tensors, int]:
        """The inputs by canonical name, C-contiguous, and their batch size.

        Raises InputMismatch, which names input, what came and what is wanted.
        """
        found: Tensors = {}
        batch = 0
        for name, array in inputs.items():
            spec = self._names.get(name)
            if spec is None:
                raise self._error(f"no input is named {name!r}; the model has {self._listing()}")
            if not isinstance(array, np.ndarray):
                raise self._error(
                    f"input {name!r} is a {type(array).__name__}; a numpy array is wanted"
                )
            if array.dtype != self._dtypes[spec.name]:
                raise self._error(f"input {name!r} is {array.dtype}; the model takes {spec.dtype}")
            count = self._batch(spec, array.shape)
            if batch and count != batch:
                raise self._error(f"input {name!r} is a batch of {count}, another of {batch}")
            batch = count
            found[spec.name] = np.asarray(array, order="C")  # ascontiguousarray has no scalars
        for spec in self._spec.inputs:
            if spec.name not in found:
                raise self._error(
                    f"input {spec.name!r} is missing; the model has {self._listing()}"
                )
        return found, batch or 1  # a model without inputs

    def _batch(self, spec: TensorSpec, shape: tuple[int, ...]) -> int:
        wanted = spec.shape
        fits = len(shape) == len(wanted) and all(
            w is None or w == n for w, n in zip(wanted[1:], shape[1:], strict=True)
        )
        if not wanted and fits:
            return 1
        first = wanted[0] if wanted else None
        if fits and first is None:
            return 1
        if fits and first is not None and first > 0 and shape[0] % first == 0:
            count = shape[0] // first
            if count in self._spec.batches:
                return count
            raise self._error(
                f"input {spec.name!r} is a batch of {count}; "
                f"this session runs batches of {_words(self._spec.batches)}"
            )
        raise self._error(
            f"input {spec.name!r} has shape {list(shape)}; the model takes "
            f"{['any' if n is None else n for n in wanted]}"
        )

    def _listing(self) -> str:
        return ", ".join(
            f"{s.name!r} {s.dtype} {['any' if n is None else n for n in s.shape]}"
            for s in self._spec.inputs
        )

    def _error(self, message: str) -> InputMismatch:
        return InputMismatch(message, backend=self._spec.backend, device=self._spec.device)


def _words(numbers: tuple[int, ...]) -> str:
    return " or ".join(str(n) for n in numbers)
