"""Small models, made on the spot, that show what a backend gets right.

Every function gives the bytes of a file. The ``.tflite`` ones need ``ai-edge-litert``, the
``.onnx`` ones ``onnx``. Weights are the same at every call.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgesdk.testing.tflite_writer import TfliteWriter

CLASSES = 10


def weights(*shape: int, seed: int) -> NDArray[np.float32]:
    scale = 1.0 / np.sqrt(np.prod(shape[1:]) or 1)
    made = np.random.default_rng(seed).standard_normal(shape) * scale
    return np.asarray(made, np.float32)


def tflite_cnn(size: int = 32, width: int = 8, dtype: str = "float32") -> bytes:
    """``image`` [1, size, size, 3] -> ``scores`` [1, 10], ``features`` of a quarter of the size.

    dtype ``int8`` or ``uint8``: the input is quantised with scale 1/128 and dequantised first.
    """
    w = TfliteWriter()
    shape = [1, size, size, 3]
    if dtype == "float32":
        image = real = w.tensor("image", shape)
    else:
        image = w.tensor("image", shape, dtype, (1 / 128, 0 if dtype == "int8" else 128))
        real = w.tensor("real", shape)
        w.operator("DEQUANTIZE", [image], [real])
    first = w.tensor("first", [1, size // 2, size // 2, width])
    features = w.tensor("features", [1, size // 4, size // 4, 2 * width])
    pooled = w.tensor("pooled", [1, 2 * width])
    scores = w.tensor("scores", [1, CLASSES])
    for source, target, kernel, bias in (
        (real, first, weights(width, 3, 3, 3, seed=1), weights(width, seed=2)),
        (first, features, weights(2 * width, 3, 3, width, seed=3), weights(2 * width, seed=4)),
    ):
        inputs = [
            source,
            w.constant(f"kernel{target}", kernel),
            w.constant(f"bias{target}", bias),
        ]
        stride = {"strideW": 2, "strideH": 2, "padding": 0, "fusedActivationFunction": 1}
        w.operator("CONV_2D", inputs, [target], stride, "Conv2DOptions")
    axes = w.constant("axes", np.array([1, 2], np.int32))
    w.operator("MEAN", [features, axes], [pooled], {"keepDims": False}, "ReducerOptions")
    matrix = w.constant("matrix", weights(CLASSES, 2 * width, seed=5))
    offset = w.constant("offset", weights(CLASSES, seed=6))
    w.operator("FULLY_CONNECTED", [pooled, matrix, offset], [scores], {}, "FullyConnectedOptions")
    return w.finish([image], [scores, features])


def tflite_swallows_batch(length: int = 8) -> bytes:
    """``x`` [1, length] -> ``y``: a Reshape to [1, -1], so that a batch ends up in one row."""
    w = TfliteWriter()
    x, y = w.tensor("x", [1, length]), w.tensor("y", [1, length])
    target = w.constant("target", np.array([1, -1], np.int32))
    w.operator("RESHAPE", [x, target], [y], {"newShape": [1, -1]}, "ReshapeOptions")
    return w.finish([x], [y])


def tflite_custom_operator(name: str = "edgesdk-unknown") -> bytes:
    """``x`` [1, 4] -> ``y`` by a custom operator that no runtime has."""
    w = TfliteWriter()
    x, y = w.tensor("x", [1, 4]), w.tensor("y", [1, 4])
    w.operator(name, [x], [y])
    return w.finish([x], [y])


def tflite_relu() -> bytes:
    """``x`` [1, 4] -> ``y`` = max(x, 0): what the LiteRT backend tests itself with."""
    w = TfliteWriter()
    x, y = w.tensor("x", [1, 4]), w.tensor("y", [1, 4])
    w.operator("RELU", [x], [y])
    return w.finish([x], [y])


def onnx_cnn(
    size: int = 32, width: int = 8, batch: int | str = "n", dtype: str = "float32"
) -> bytes:
    """``image`` [batch, 3, size, size] -> ``scores`` [batch, 10], ``features``.

    batch: a name leaves it open. dtype ``uint8``: the input is cast and scaled to [-1, 1) first.
    """
    from onnx import helper

    nodes = []
    image = "image"
    constants: dict[str, NDArray[Any]] = {}
    if dtype == "uint8":
        constants |= {"half": np.array(128, np.float32)}
        nodes += [
            helper.make_node("Cast", ["image"], ["cast"], to=1),
            helper.make_node("Sub", ["cast", "half"], ["centred"]),
            helper.make_node("Div", ["centred", "half"], ["real"]),
        ]
        image = "real"
    constants |= {
        "k1": weights(width, 3, 3, 3, seed=1),
        "b1": weights(width, seed=2),
        "k2": weights(2 * width, width, 3, 3, seed=3),
        "b2": weights(2 * width, seed=4),
        "matrix": weights(2 * width, CLASSES, seed=5),
        "offset": weights(CLASSES, seed=6),
    }
    conv: dict[str, Any] = {"strides": [2, 2], "pads": [1, 1, 1, 1], "kernel_shape": [3, 3]}
    nodes += [
        helper.make_node("Conv", [image, "k1", "b1"], ["c1"], **conv),
        helper.make_node("Relu", ["c1"], ["r1"]),
        helper.make_node("Conv", ["r1", "k2", "b2"], ["c2"], **conv),
        helper.make_node("Relu", ["c2"], ["features"]),
        helper.make_node("GlobalAveragePool", ["features"], ["pooled"]),
        helper.make_node("Flatten", ["pooled"], ["flat"]),
        helper.make_node("Gemm", ["flat", "matrix", "offset"], ["scores"]),
    ]
    return onnx_file(
        nodes,
        {"image": (dtype, [batch, 3, size, size])},
        {
            "scores": ("float32", [batch, CLASSES]),
            "features": ("float32", [batch, 2 * width, size // 4, size // 4]),
        },
        constants,
    )


def onnx_mixes_rows(length: int = 8) -> bytes:
    """``x`` [n, length] -> ``y`` = x - mean over the batch: the right shape and wrong rows."""
    from onnx import helper

    nodes = [
        helper.make_node("ReduceMean", ["x"], ["mean"], axes=[0], keepdims=1),
        helper.make_node("Mul", ["mean", "half"], ["part"]),
        helper.make_node("Sub", ["x", "part"], ["y"]),
    ]
    shapes: dict[str, tuple[str, Sequence[int | str]]] = {"x": ("float32", ["n", length])}
    return onnx_file(
        nodes, shapes, {"y": ("float32", ["n", length])}, {"half": np.array(0.5, np.float32)}
    )


def onnx_custom_operator(name: str = "EdgesdkUnknown") -> bytes:
    """``x`` [1, 4] -> ``y`` by an operator that no runtime has."""
    from onnx import helper

    nodes = [helper.make_node(name, ["x"], ["y"], domain="org.edgesdk.test")]
    shape = ("float32", [1, 4])
    return onnx_file(nodes, {"x": shape}, {"y": shape}, {}, domains=("org.edgesdk.test",))


def onnx_relu() -> bytes:
    """``x`` [1, 4] -> ``y`` = max(x, 0): what the ONNX Runtime backend tests itself with."""
    from onnx import helper

    shape = ("float32", [1, 4])
    return onnx_file([helper.make_node("Relu", ["x"], ["y"])], {"x": shape}, {"y": shape}, {})


def onnx_file(
    nodes: Sequence[Any],
    inputs: dict[str, tuple[str, Sequence[int | str]]],
    outputs: dict[str, tuple[str, Sequence[int | str]]],
    constants: dict[str, NDArray[Any]],
    domains: Sequence[str] = (),
) -> bytes:
    """An ONNX file of those nodes, by opset 17."""
    from onnx import helper, numpy_helper

    def infos(tensors: dict[str, tuple[str, Sequence[int | str]]]) -> list[Any]:
        return [
            helper.make_tensor_value_info(
                name, helper.np_dtype_to_tensor_dtype(np.dtype(dtype)), list(shape)
            )
            for name, (dtype, shape) in tensors.items()
        ]

    graph = helper.make_graph(
        list(nodes),
        "edgesdk",
        infos(inputs),
        infos(outputs),
        [numpy_helper.from_array(value, name) for name, value in constants.items()],
    )
    opsets = [helper.make_opsetid("", 17), *(helper.make_opsetid(d, 1) for d in domains)]
    model = helper.make_model(graph, opset_imports=opsets, producer_name="edgesdk.testing")
    model.ir_version = 8
    return bytes(model.SerializeToString())
