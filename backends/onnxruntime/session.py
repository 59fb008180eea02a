"""A model in an ONNX Runtime session."""

from __future__ import annotations

import ctypes
import gc
from typing import Any

import numpy as np

from edgesdk.errors import CardError, InferFailed, ModelUnsupported, OutOfMemory
from edgesdk.inference.files import check_size
from edgesdk.inference.protocol import IOSpec, ModelFile, Tensors, TensorSpec
from edgesdk.inference.session import CheckedSession

_DTYPES = {
    "tensor(float)": "float32",
    "tensor(double)": "float64",
    "tensor(float16)": "float16",
    "tensor(uint8)": "uint8",
    "tensor(int8)": "int8",
    "tensor(uint16)": "uint16",
    "tensor(int16)": "int16",
    "tensor(int32)": "int32",
    "tensor(int64)": "int64",
    "tensor(uint32)": "uint32",
    "tensor(uint64)": "uint64",
    "tensor(bool)": "bool",
}


class Graph:
    """A runtime session with the specs of its tensors.

    open_batch: every input leaves axis 0 open. Raises CardError, ModelUnsupported.
    """

    def __init__(self, session: Any, card: ModelFile) -> None:
        self.session = session
        inputs, outputs = session.get_inputs(), session.get_outputs()
        names = [i.name for i in inputs]
        for kind, wanted, have in (
            ("input", list(card.inputs), names),
            ("output", list(card.outputs), [o.name for o in outputs]),
        ):
            for name in wanted:
                if name not in have:
                    raise CardError(
                        f"the card of {card.path.name} names {kind} {name!r}; "
                        f"the file has {', '.join(map(repr, have))}"
                    )
        self.open_batch = all(i.shape and not isinstance(i.shape[0], int) for i in inputs)
        known: dict[str, int] = {}
        self.inputs = tuple(self._input(i, card, known) for i in inputs)
        for spec in self.inputs:
            item = np.dtype(spec.dtype).itemsize
            check_size(card.path.name, spec.name, spec.shape, item)
        self.outputs = tuple(
            TensorSpec(
                o.name,
                tuple(d if isinstance(d, int) else known.get(d) for d in o.shape or ()),
                _dtype(o),
            )
            for o in outputs
        )
        self._names = [o.name for o in outputs]

    def run(self, inputs: Tensors) -> Tensors:
        """One inference; the runtime gives new arrays. The GIL is free meanwhile."""
        try:
            return dict(zip(self._names, self.session.run(self._names, inputs), strict=True))
        except Exception as error:
            text = str(error)
            memory = isinstance(error, MemoryError) or "Failed to allocate" in text
            kind = OutOfMemory if memory else InferFailed
            raise kind(
                f"ONNX Runtime: {text.split(' : ')[-1][:300]}", backend="onnxruntime", detail=text
            ) from error

    def _input(self, found: Any, card: ModelFile, known: dict[str, int]) -> TensorSpec:
        given = card.inputs.get(found.name)
        own = found.shape or []
        if given is not None and (
            len(given) != len(own)
            or any(isinstance(d, int) and d != g >= 0 for d, g in zip(own, given, strict=True))
        ):
            raise CardError(
                f"the card of {card.path.name} gives input {found.name!r} the shape "
                f"{list(given)}; the file has {own}"
            )
        shape: list[int | None] = []
        for axis, size in enumerate(own):
            if given is not None and given[axis] >= 0:
                shape.append(given[axis])
            elif isinstance(size, int):
                shape.append(size)
            else:
                shape.append(1 if axis == 0 else None)
            one = shape[-1]
            if isinstance(size, str) and one is not None:
                known.setdefault(size, one)
        return TensorSpec(found.name, tuple(shape), _dtype(found))


def _dtype(found: Any) -> str:
    try:
        return _DTYPES[found.type]
    except KeyError:
        raise ModelUnsupported(
            f"{found.name!r} is a {found.type}; edgesdk takes tensors of numbers "
            "(export the model without ZipMap or strings)"
        ) from None


class OnnxSession(CheckedSession):
    """See ``edgesdk.inference.Session``."""

    def __init__(
        self,
        graph: Graph,
        batches: tuple[int, ...],
        *,
        version: str,
        device: str,
        executed_on: str,
        threads: int,
        precision: str,
    ) -> None:
        self._graph: Graph | None = graph
        super().__init__(
            IOSpec(
                graph.inputs,
                graph.outputs,
                batches,
                "onnxruntime",
                version,
                device,
                executed_on=executed_on,
                precision=precision,  # it computes in the types that the file says
                threads=threads,
            )
        )

    def _run(self, inputs: Tensors, batch: int) -> Tensors:
        assert self._graph is not None
        return self._graph.run(inputs)

    def _release(self) -> None:
        self._graph = None
        gc.collect()
        # Its arena goes back to malloc, which keeps it: 50 loads would look like a leak.
        trim = getattr(ctypes.CDLL(None), "malloc_trim", None)
        if trim is not None:
            trim(0)
