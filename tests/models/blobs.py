"""Detectors of coloured squares, one a format, with the output layouts of the real families.

Each is small, and a detector all the same: what it finds depends on the picture, boxes sit on a
grid and so miss by a few pixels, squares that are paler score less, and of each object it finds
several boxes. The trunk turns pixels into red-, green- and blueness and averages these over
windows of 24, 32 and 64 pixels, at strides 8, 16 and 32 of an input of 160 x 160: 525 boxes.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

SIDE = 160
LEVELS = ((8, 24), (16, 32), (32, 64))  # stride, side of the box
COCO = (0, 2, 7)  # the classes of red, green and blue among 80
KEPT = 300

Floats = NDArray[np.float32]


def grid() -> Floats:
    """``[525, 4]``: cx, cy, side of each box in input pixels, and the stride of its level."""
    rows = []
    for stride, side in LEVELS:
        n = SIDE // stride
        y, x = np.mgrid[0:n, 0:n]
        rows.append(
            np.stack(
                [
                    (x.ravel() + 0.5) * stride,
                    (y.ravel() + 0.5) * stride,
                    np.full(n * n, side),
                    np.full(n * n, stride),
                ],
                1,
            )
        )
    return np.concatenate(rows).astype(np.float32)


def centred_boxes() -> Floats:
    """``[525, 4]`` cx, cy, w, h in input pixels."""
    return grid()[:, [0, 1, 2, 2]]


class OnnxDetector:
    """Grows a graph from pixels to ``heat`` ``[1, 3, 525]``, and then to one family's outputs."""

    def __init__(self, *, nhwc: bool = False, bgr: bool = False, divisor: float = 1.0) -> None:
        from onnx import TensorProto, helper

        self._helper = helper
        self._nodes: list[Any] = []
        self._constants: dict[str, NDArray[Any]] = {}
        kind = TensorProto.UINT8 if nhwc else TensorProto.FLOAT
        shape = [1, SIDE, SIDE, 3] if nhwc else [1, 3, SIDE, SIDE]
        self._input = helper.make_tensor_value_info("images", kind, shape)
        image = "images"
        if nhwc:
            image = self.add("Cast", [image], to=TensorProto.FLOAT)
            image = self.add("Transpose", [image], perm=[0, 3, 1, 2])
        weights = (2 * np.eye(3) - 1) / divisor
        weights = weights[:, ::-1] if bgr else weights
        weights = np.ascontiguousarray(weights, np.float32).reshape(3, 3, 1, 1)
        colourness = self.add("Relu", [self.add("Conv", [image, self.constant(weights)])])
        parts = []
        for stride, side in LEVELS:
            pool = self.add(
                "AveragePool",
                [colourness],
                kernel_shape=[side, side],
                strides=[stride, stride],
                pads=[(side - stride) // 2] * 4,
                count_include_pad=1,
            )
            parts.append(self.add("Reshape", [pool, self.constant(np.array([1, 3, -1]))]))
        self.heat = self.add("Concat", parts, axis=2)

    def add(self, op: str, inputs: Sequence[str], outputs: int = 1, **options: Any) -> Any:
        names = [f"{op}{len(self._nodes)}_{i}" for i in range(outputs)]
        self._nodes.append(self._helper.make_node(op, list(inputs), names, **options))
        return names[0] if outputs == 1 else names

    def constant(self, value: NDArray[Any]) -> str:
        name = f"constant{len(self._constants)}"
        self._constants[name] = value
        return name

    def scores80(self) -> str:
        """``[1, 80, 525]``"""
        spread = np.zeros((80, 3), np.float32)
        spread[list(COCO), range(3)] = 1
        return str(self.add("MatMul", [self.constant(spread), self.heat]))

    def best(self, boxes: Floats, kept: int) -> tuple[str, str, str]:
        """The *kept* best: boxes ``[1, kept, 4]``, scores and classes ``[1, kept]``."""
        score = self.add("ReduceMax", [self.heat], axes=[1], keepdims=0)
        which = self.add("ArgMax", [self.heat], axis=1, keepdims=0)
        top, index = self.add("TopK", [score, self.constant(np.array([kept]))], 2, axis=1)
        colour = self.add("GatherElements", [which, index], axis=1)
        numbers = self.constant(np.array(COCO, np.float32))
        classes = self.add("Gather", [numbers, colour])
        found = self.add("Gather", [self.constant(boxes), index])
        return found, top, classes

    def save(self, path: Path, outputs: dict[str, str]) -> Path:
        import onnx
        from onnx import TensorProto, numpy_helper

        for name, tensor in outputs.items():
            self._nodes.append(self._helper.make_node("Identity", [tensor], [name]))
        graph = self._helper.make_graph(
            self._nodes,
            "blobs",
            [self._input],
            [self._helper.make_tensor_value_info(n, TensorProto.FLOAT, None) for n in outputs],
            [numpy_helper.from_array(v, k) for k, v in self._constants.items()],
        )
        model = self._helper.make_model(
            graph, opset_imports=[self._helper.make_opsetid("", 13)], ir_version=8
        )
        onnx.save(onnx.shape_inference.infer_shapes(model), path)
        return path


def yolo_v8(path: Path) -> Path:
    net = OnnxDetector()
    boxes = net.constant(centred_boxes().T[None].copy())
    return net.save(path, {"output0": net.add("Concat", [boxes, net.scores80()], axis=1)})


def yolo_v5(path: Path) -> Path:
    net = OnnxDetector()
    boxes = net.constant(centred_boxes()[None])
    objectness = net.constant(np.full((1, len(grid()), 1), 0.9, np.float32))
    scores = net.add("Transpose", [net.scores80()], perm=[0, 2, 1])
    return net.save(path, {"output0": net.add("Concat", [boxes, objectness, scores], axis=2)})


def yolox(path: Path) -> Path:
    """Raw: offsets within the cell, logarithms of the sides over the stride."""
    net = OnnxDetector(bgr=True, divisor=255.0)
    cells = grid()
    raw = np.full((1, len(cells), 5), 0.5, np.float32)
    raw[0, :, 2:4] = np.log(cells[:, 2] / cells[:, 3])[:, None]
    raw[0, :, 4] = 0.8
    scores = net.add("Transpose", [net.scores80()], perm=[0, 2, 1])
    return net.save(path, {"output": net.add("Concat", [net.constant(raw), scores], axis=2)})


def yolo_v10(path: Path) -> Path:
    net = OnnxDetector()
    x, y, side = grid()[:, :3].T
    corners = np.stack([x - side / 2, y - side / 2, x + side / 2, y + side / 2], 1)
    found, scores, classes = net.best(corners, KEPT)
    columns = [net.add("Unsqueeze", [t, net.constant(np.array([2]))]) for t in (scores, classes)]
    return net.save(path, {"output0": net.add("Concat", [found, *columns], axis=2)})


def tensorflow_ssd(path: Path, *, ir: bool = False) -> Path:
    """As TensorFlow's detection API: classes count from 1. *ir*: as OpenVINO saves it."""
    net = OnnxDetector(nhwc=True, divisor=255.0)
    x, y, side = (grid()[:, :3] / SIDE).T
    corners = np.stack([y - side / 2, x - side / 2, y + side / 2, x + side / 2], 1)
    found, scores, classes = net.best(np.ascontiguousarray(corners, np.float32), 100)
    count = net.constant(np.array([100], np.float32))
    outputs = {
        "num_detections": count,
        "detection_classes": net.add("Add", [classes, net.constant(np.array(1, np.float32))]),
        "detection_boxes": found,
        "detection_scores": scores,
    }
    if not ir:
        return net.save(path, outputs)
    import openvino as ov

    onnx_path = net.save(path.with_suffix(".onnx"), outputs)
    ov.save_model(ov.Core().read_model(onnx_path), path, compress_to_fp16=False)
    onnx_path.unlink()
    return path


def zoo_ssd(path: Path) -> Path:
    """An IR that ends in DetectionOutput; class 0 is the background."""
    import openvino as ov
    from openvino import opset8 as op

    net = OnnxDetector(bgr=True, divisor=255.0)
    onnx_path = net.save(path.with_suffix(".onnx"), {"heat": net.heat})
    trunk = ov.Core().read_model(onnx_path)
    heat = trunk.outputs[0].get_node().input_value(0)
    n = len(grid())
    rows = op.transpose(heat, op.constant(np.array([0, 2, 1])))
    background = op.constant(np.zeros((1, n, 1), np.float32))
    confidences = op.reshape(op.concat([background, rows], 2), np.array([1, n * 4]), False)
    x, y, side = (grid()[:, :3] / SIDE).T
    priors = np.stack([x - side / 2, y - side / 2, x + side / 2, y + side / 2], 1).reshape(1, 1, -1)
    variances = np.tile([0.1, 0.1, 0.2, 0.2], n).reshape(1, 1, -1)
    found = op.detection_output(
        op.constant(np.zeros((1, n * 4), np.float32)),
        confidences,
        op.constant(np.concatenate([priors, variances], 1).astype(np.float32)),
        {
            "background_label_id": 0,
            "top_k": 400,
            "keep_top_k": [200],
            "code_type": "caffe.PriorBoxParameter.CENTER_SIZE",
            "share_location": True,
            "nms_threshold": 0.45,
            "confidence_threshold": 0.01,
            "normalized": True,
        },
    )
    found.output(0).set_names({"detection_out"})
    ov.save_model(ov.Model([found], trunk.get_parameters(), "zoo"), path, compress_to_fp16=False)
    onnx_path.unlink()
    return path


def tflite_anchors() -> Floats:
    """``[525, 4]`` cy, cx, h, w in [0, 1]."""
    return np.ascontiguousarray(grid()[:, [1, 0, 2, 2]] / SIDE, np.float32)


def tflite_ssd(path: Path, *, post_processing: bool) -> Path:
    """Encodings and scores against anchors, of a background and three classes; or what the op
    TFLite_Detection_PostProcess makes of them, whose classes count from 0."""
    import flatbuffers
    from ai_edge_litert import schema_py_generated as schema
    from flatbuffers import flexbuffers

    ops = schema.BuiltinOperator
    model, graph = schema.ModelT(), schema.SubGraphT()
    model.version, model.buffers, model.operatorCodes = 3, [schema.BufferT()], []
    graph.tensors, graph.operators = [], []

    def tensor(name: str, shape: list[int], value: NDArray[Any] | None = None) -> int:
        t = schema.TensorT()
        t.name, t.shape, t.type, t.buffer = name, shape, schema.TensorType.FLOAT32, 0
        if value is not None:
            t.type = schema.TensorType.INT32 if value.dtype == np.int32 else t.type
            buffer = schema.BufferT()
            buffer.data = np.frombuffer(value.tobytes(), np.uint8)
            model.buffers.append(buffer)
            t.buffer = len(model.buffers) - 1
        graph.tensors.append(t)
        return len(graph.tensors) - 1

    def add(kind: int, inputs: list[int], outputs: list[int], options: Any = None) -> Any:
        code = schema.OperatorCodeT()
        code.builtinCode, code.deprecatedBuiltinCode, code.version = kind, min(kind, 127), 1
        model.operatorCodes.append(code)
        operator = schema.OperatorT()
        operator.opcodeIndex = len(model.operatorCodes) - 1
        operator.inputs, operator.outputs = inputs, outputs
        if options is not None:
            operator.builtinOptions = options
            tag = type(options).__name__[:-1]
            operator.builtinOptionsType = getattr(schema.BuiltinOptions, tag)
        graph.operators.append(operator)
        return operator, code

    n = len(grid())
    image = tensor("image", [1, SIDE, SIDE, 3])
    weights = np.concatenate([np.zeros((1, 3)), 2 * np.eye(3) - 1]).astype(np.float32)
    convolution = schema.Conv2DOptionsT()
    convolution.strideW = convolution.strideH = 1
    convolution.fusedActivationFunction = schema.ActivationFunctionType.RELU
    colourness = tensor("colourness", [1, SIDE, SIDE, 4])
    kernel = tensor("weights", [4, 1, 1, 3], weights)
    bias = tensor("bias", [4], np.zeros(4, np.float32))
    add(ops.CONV_2D, [image, kernel, bias], [colourness], convolution)
    parts = []
    for stride, side in LEVELS:
        cells = SIDE // stride
        pooled = tensor(f"pooled{stride}", [1, cells, cells, 4])
        pool = schema.Pool2DOptionsT()
        pool.padding = schema.Padding.SAME
        pool.strideW = pool.strideH = stride
        pool.filterWidth = pool.filterHeight = side
        add(ops.AVERAGE_POOL_2D, [colourness], [pooled], pool)
        shape = np.array([1, cells * cells, 4], np.int32)
        flat = tensor(f"flat{stride}", shape.tolist())
        add(ops.RESHAPE, [pooled, tensor("shape", [3], shape)], [flat], schema.ReshapeOptionsT())
        parts.append(flat)
    joined = schema.ConcatenationOptionsT()
    joined.axis = 1
    scores = tensor("scores", [1, n, 4])
    add(ops.CONCATENATION, parts, [scores], joined)
    codes = tensor("codes", [1, n, 4])
    zero = tensor("zero", [1], np.zeros(1, np.float32))
    add(ops.MUL, [scores, zero], [codes], schema.MulOptionsT())
    graph.inputs, graph.outputs = [image], [scores, codes]
    if post_processing:
        prefix = "TFLite_Detection_PostProcess"
        found = [
            tensor(prefix, [1, 50, 4]),
            tensor(f"{prefix}:1", [1, 50]),
            tensor(f"{prefix}:2", [1, 50]),
            tensor(f"{prefix}:3", [1]),
        ]
        anchors = tensor("anchors", [n, 4], tflite_anchors())
        operator, code = add(ops.CUSTOM, [codes, scores, anchors], found)
        code.customCode = prefix
        options = flexbuffers.Builder()
        with options.Map():
            for key, whole in (
                ("max_detections", 50),
                ("max_classes_per_detection", 1),
                ("num_classes", 3),
            ):
                options.Key(key)
                options.Int(whole)
            for key, real in (
                ("nms_score_threshold", 0.01),
                ("nms_iou_threshold", 0.45),
                ("y_scale", 10.0),
                ("x_scale", 10.0),
                ("h_scale", 5.0),
                ("w_scale", 5.0),
            ):
                options.Key(key)
                options.Float(real)
        operator.customOptions = np.frombuffer(bytes(options.Finish()), np.uint8)
        graph.outputs = [found[i] for i in (2, 0, 3, 1)]  # not the op's order, as exporters may
    model.subgraphs = [graph]
    builder = flatbuffers.Builder(1 << 16)
    builder.Finish(model.Pack(builder), b"TFL3")
    path.write_bytes(bytes(builder.Output()))
    return path
