"""A model in LiteRT interpreters."""

from __future__ import annotations

from typing import Any

import numpy as np

from edgesdk.errors import CardError, InferFailed
from edgesdk.inference.protocol import IOSpec, ModelFile, Quantisation, Tensors, TensorSpec
from edgesdk.inference.session import CheckedSession

Specs = tuple[TensorSpec, ...]


class Batch:
    """One interpreter, set up for one batch size. One caller at a time."""

    def __init__(self, interpreter: Any) -> None:
        self.interpreter = interpreter
        self._inputs: list[tuple[str, int]] = []
        self._outputs: list[tuple[str, int]] = []

    def bind(self, inputs: Specs, outputs: Specs) -> None:
        """Fixes the order of tensors, which is that of the file."""
        ins = self.interpreter.get_input_details()
        outs = self.interpreter.get_output_details()
        self._inputs = [(s.name, d["index"]) for s, d in zip(inputs, ins, strict=True)]
        self._outputs = [(s.name, d["index"]) for s, d in zip(outputs, outs, strict=True)]

    def run(self, inputs: Tensors) -> Tensors:
        """One inference; the outputs are copies. The GIL is free in ``invoke``."""
        try:
            for name, index in self._inputs:
                self.interpreter.set_tensor(index, inputs[name])
            self.interpreter.invoke()
        except (RuntimeError, ValueError) as error:
            raise InferFailed(
                f"LiteRT: {error}", backend="litert", device="CPU", detail=str(error)
            ) from error
        return {name: self.interpreter.get_tensor(index) for name, index in self._outputs}


def input_specs(one: Batch, card: ModelFile) -> Specs:
    return tuple(_spec(d) for d in one.interpreter.get_input_details())


def output_specs(one: Batch, card: ModelFile) -> Specs:
    """Raises CardError where the card names an output that the file lacks."""
    specs = tuple(_spec(d) for d in one.interpreter.get_output_details())
    have = [s.name for s in specs]
    for name in card.outputs:
        if name not in have:
            raise CardError(
                f"the card of {card.path.name} names output {name!r}; "
                f"the file has {', '.join(map(repr, have))}"
            )
    return specs


def _spec(detail: dict[str, Any]) -> TensorSpec:
    parameters = detail["quantization_parameters"]
    scales = tuple(float(s) for s in parameters["scales"])
    quantisation = None
    if scales:
        zero_points = tuple(int(z) for z in parameters["zero_points"])
        quantisation = Quantisation(scales, zero_points, int(parameters["quantized_dimension"]))
    shape = tuple(int(n) for n in detail["shape"])
    return TensorSpec(detail["name"], shape, np.dtype(detail["dtype"]).name, quantisation)


class LiteRtSession(CheckedSession):
    """See ``edgesdk.inference.Session``."""

    def __init__(
        self,
        batches: dict[int, Batch],
        inputs: Specs,
        outputs: Specs,
        *,
        version: str,
        threads: int,
    ) -> None:
        self._batches = batches
        super().__init__(
            IOSpec(
                inputs,
                outputs,
                tuple(sorted(batches)),
                "litert",
                version,
                "CPU",
                executed_on="CPU",
                precision=_arithmetic(batches[1]),
                threads=threads,
            )
        )

    def _run(self, inputs: Tensors, batch: int) -> Tensors:
        return self._batches[batch].run(inputs)

    def _release(self) -> None:
        self._batches = {}


def _arithmetic(one: Batch) -> str:
    """Of the activations: LiteRT computes in the type that the file gives them."""
    kinds = {np.dtype(d["dtype"]).name for d in one.interpreter.get_tensor_details() if d["name"]}
    whole = kinds & {"int8", "uint8"}
    if "float32" in kinds:
        return "fp32+int8" if whole else "fp32"
    return "int8" if whole else "unknown"
