"""Writes small ``.tflite`` files without a converter.

Needs ``ai-edge-litert``, whose wheel has the flatbuffer schema, and nothing else.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

_TYPES = {
    "float32": 0,
    "float16": 1,
    "int32": 2,
    "uint8": 3,
    "int64": 4,
    "bool": 6,
    "int8": 9,
}


class TfliteWriter:
    """One subgraph; a tensor is the number that ``tensor`` or ``constant`` gave."""

    def __init__(self) -> None:
        from ai_edge_litert import (  # type: ignore[import-untyped]
            schema_py_generated as schema,
        )

        self._schema: Any = schema
        self._buffers: list[Any] = [schema.BufferT()]
        self._tensors: list[Any] = []
        self._codes: dict[tuple[int, str], int] = {}
        self._operators: list[Any] = []

    def tensor(
        self,
        name: str,
        shape: Sequence[int],
        dtype: str = "float32",
        quantisation: tuple[float, int] | None = None,
    ) -> int:
        """A tensor that is computed or fed; *quantisation* is (scale, zero point)."""
        made = self._schema.TensorT()
        made.name, made.shape, made.type = name.encode(), list(shape), _TYPES[dtype]
        made.buffer = 0
        if quantisation is not None:
            parameters = self._schema.QuantizationParametersT()
            parameters.scale, parameters.zeroPoint = [quantisation[0]], [quantisation[1]]
            made.quantization = parameters
        self._tensors.append(made)
        return len(self._tensors) - 1

    def constant(self, name: str, value: NDArray[Any]) -> int:
        number = self.tensor(name, value.shape, str(value.dtype))
        buffer = self._schema.BufferT()
        buffer.data = np.frombuffer(np.ascontiguousarray(value).tobytes(), np.uint8)
        self._buffers.append(buffer)
        self._tensors[number].buffer = len(self._buffers) - 1
        return number

    def operator(
        self,
        name: str,
        inputs: Sequence[int],
        outputs: Sequence[int],
        options: Mapping[str, Any] | None = None,
        options_type: str = "",
    ) -> None:
        """A builtin operator such as ``CONV_2D``, with the fields of its options table; a name
        that the schema lacks becomes a custom operator."""
        schema = self._schema
        builtin = getattr(schema.BuiltinOperator, name, None)
        key = (schema.BuiltinOperator.CUSTOM, name) if builtin is None else (builtin, "")
        index = self._codes.setdefault(key, len(self._codes))
        made = schema.OperatorT()
        made.opcodeIndex, made.inputs, made.outputs = index, list(inputs), list(outputs)
        if options_type:
            table = getattr(schema, options_type + "T")()
            for field, value in (options or {}).items():
                setattr(table, field, value)
            made.builtinOptions = table
            made.builtinOptionsType = getattr(schema.BuiltinOptions, options_type)
        self._operators.append(made)

    def finish(self, inputs: Sequence[int], outputs: Sequence[int]) -> bytes:
        """The file's bytes."""
        import flatbuffers  # type: ignore[import-untyped]

        schema = self._schema
        graph = schema.SubGraphT()
        graph.name = b"main"
        graph.tensors, graph.operators = self._tensors, self._operators
        graph.inputs, graph.outputs = list(inputs), list(outputs)
        model = schema.ModelT()
        model.version, model.description = 3, b"edgesdk.testing"
        model.subgraphs, model.buffers = [graph], self._buffers
        model.operatorCodes = []
        for number, custom in self._codes:
            code = schema.OperatorCodeT()
            code.builtinCode, code.version = number, 1
            code.deprecatedBuiltinCode = min(number, 127)
            if custom:
                code.customCode = custom.encode()
            model.operatorCodes.append(code)
        builder = flatbuffers.Builder(1024)
        builder.Finish(model.Pack(builder), b"TFL3")
        return bytes(builder.Output())
