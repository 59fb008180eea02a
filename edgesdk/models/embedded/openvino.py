"""OpenVINO IR: parameters, results and ``rt_info/model_info`` of the .xml, read as a stream.

A document type declaration is refused: an IR has none, and entities are how a small XML file
becomes a large one.
"""

from __future__ import annotations

import xml.parsers.expat
from pathlib import Path
from typing import Any

from edgesdk.errors import ModelInvalid
from edgesdk.models.embedded.facts import FileFacts, TensorFacts, numbers_of

__all__ = ["read_openvino"]

MAX_XML_BYTES = 256 << 20
_MAX_PORTS = 1 << 20
_DTYPES = {
    "FP32": "float32", "FP16": "float16", "FP64": "float64", "U8": "uint8", "I8": "int8",
    "I32": "int32", "I64": "int64", "BOOL": "bool", "BF16": "bfloat16",
}  # fmt: skip
_RESIZE = {
    "standard": "stretch",
    "fit_to_window": "letterbox",
    "fit_to_window_letterbox": "letterbox",
    "crop": "crop",
}
_YES = ("yes", "true", "1")


def read_openvino(path: Path) -> FileFacts:
    if path.stat().st_size > MAX_XML_BYTES:
        raise ModelInvalid(f"{path}: larger than {MAX_XML_BYTES >> 20} MiB")
    reader = _Reader(path)
    parser = xml.parsers.expat.ParserCreate()
    parser.buffer_text = True
    parser.StartElementHandler = reader.start
    parser.EndElementHandler = reader.end
    parser.CharacterDataHandler = reader.text
    parser.StartDoctypeDeclHandler = reader.refuse
    try:
        with path.open("rb") as f:
            parser.ParseFile(f)
    except xml.parsers.expat.ExpatError as e:
        raise ModelInvalid(f"{path}: truncated, damaged or not an IR: {e}") from None
    facts = reader.facts()
    _check_weights(path, reader.weights)
    return facts


def _check_weights(path: Path, needed: int) -> None:
    """The .bin is there, and as long as the constants of the .xml reach."""
    weights = path.with_suffix(".bin")
    if needed and not weights.exists():
        raise ModelInvalid(f"{path}: its weights are missing: there is no {weights.name} beside it")
    if needed and (size := weights.stat().st_size) < needed:
        raise ModelInvalid(
            f"{path}: {weights.name} is truncated: it has {size} bytes, the .xml needs {needed}"
        )


class _Reader:
    """Takes from the stream of elements what matters; layers themselves are not kept."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._stack: list[str] = []
        self._layer: dict[str, str] = {}
        self._port: dict[str, Any] | None = None
        self._ports: dict[tuple[str, str], dict[str, Any]] = {}
        self._parameters: list[tuple[str, str]] = []
        self._results: list[str] = []
        self._sources: dict[str, tuple[str, str]] = {}
        self._info: dict[str, str] = {}
        self._classes: int | None = None
        self._thinned: list[dict[str, Any]] = []  # what DetectionOutput takes
        self._has_net = False
        self.weights = 0
        """Bytes of the .bin that constants take up, those within a Loop or If too."""

    def start(self, tag: str, attributes: dict[str, str]) -> None:
        if len(self._stack) > 200:
            raise ModelInvalid(f"{self._path}: elements are nested too deeply")
        parent = self._stack[-1] if self._stack else ""
        self._stack.append(tag)
        # the body of a Loop or If is a net of its own inside a layer: not this model's tensors
        depth = self._stack.count("layers")
        if tag == "data" and "offset" in attributes and "element_type" in attributes:
            reach = [attributes["offset"], attributes.get("size", "")]
            if all(n.isdigit() and len(n) < 16 for n in reach):
                self.weights = max(self.weights, sum(map(int, reach)))
        if tag == "net" and len(self._stack) == 1:
            self._has_net = True
        elif tag == "layer" and depth == 1:
            self._layer = attributes
            if attributes.get("type") == "Result":
                self._results.append(attributes.get("id", ""))
        elif tag == "port" and parent == "output" and depth == 1:
            self._port = {"precision": attributes.get("precision", ""), "shape": []}
            self._port["names"] = attributes.get("names", "")
            key = (self._layer.get("id", ""), attributes.get("id", ""))
            if len(self._ports) >= _MAX_PORTS:
                raise ModelInvalid(f"{self._path}: more than {_MAX_PORTS} ports")
            self._ports[key] = self._port
            if self._layer.get("type") == "Parameter":
                self._port["layer"] = self._layer.get("name", "")
                self._parameters.append(key)
        elif depth == 1 and self._layer.get("type") == "DetectionOutput":
            if tag == "port" and parent == "input" and len(self._thinned) < 3:
                self._port = {"shape": []}
                self._thinned.append(self._port)
            elif tag == "data":
                count = attributes.get("num_classes", "")
                self._classes = int(count) if count.isdigit() and len(count) < 7 else None
        elif tag == "edge" and self._stack[:2] == ["net", "edges"]:
            source = (attributes.get("from-layer", ""), attributes.get("from-port", ""))
            self._sources[attributes.get("to-layer", "")] = source
        elif self._stack[:3] == ["net", "rt_info", "model_info"] and len(self._stack) == 4:
            self._info[tag] = attributes.get("value", "")

    def end(self, tag: str) -> None:
        self._stack.pop()
        if tag == "port":
            self._port = None

    def text(self, text: str) -> None:
        if self._port is not None and self._stack[-1] == "dim":
            self._port["shape"].append(text.strip())

    def refuse(self, *_: object) -> None:
        raise ModelInvalid(f"{self._path}: has a document type declaration, which no IR has")

    def facts(self) -> FileFacts:
        if not self._has_net:
            raise ModelInvalid(f"{self._path}: not an OpenVINO IR: the root element is not <net>")
        inputs = [self._tensor(key) for key in self._parameters]
        ends = [self._sources[r] for r in self._results if r in self._sources]
        outputs = [self._tensor(key) for key in ends if key in self._ports]
        info = self._info
        labels = info.get("labels", "").split()
        return FileFacts(
            format="openvino",
            inputs=tuple(inputs),
            outputs=tuple(outputs),
            # spaces part labels, so ModelAPI writes those within a label as underscores
            labels={i: n.replace("_", " ") for i, n in enumerate(labels)} or None,
            mean=numbers_of(info.get("mean_values", "")),
            scale=numbers_of(info.get("scale_values", "")),
            colour=_colour(info.get("reverse_input_channels")),
            resize=_RESIZE.get(info.get("resize_type", "")),
            task=_task(info),
            score=_first(info.get("confidence_threshold", "")),
            iou=_first(info.get("iou_threshold", "")),
            classes=self._classes or self._classes_of_shapes(),
            exporter=info.get("model_type", ""),
            notes={k: v[:300] for k, v in info.items() if k != "labels"},
        )

    def _classes_of_shapes(self) -> int | None:
        """From opset 8 on DetectionOutput does not say: scores a prior, which has 4 numbers."""
        if len(self._thinned) < 3:
            return None
        _, scores, priors = (_shape(port) for port in self._thinned)
        if not scores or not priors or min(scores[-1], priors[-1]) <= 0:
            return None
        classes, rest = divmod(4 * scores[-1], priors[-1])
        return classes if rest == 0 else None

    def _tensor(self, key: tuple[str, str]) -> TensorFacts:
        port = self._ports[key]
        names = sorted(port["names"].split(","), key=lambda n: (len(n), n))
        shape = _shape(port)
        dtype = _DTYPES.get(port["precision"], "unknown")
        name = names[0] or port.get("layer", "")
        return TensorFacts(name, shape, dtype, aliases=tuple(names[1:]))


def _shape(port: dict[str, Any]) -> tuple[int, ...]:
    return tuple(int(d) if d.isdigit() and len(d) < 10 else -1 for d in port["shape"])


def _colour(reverse: str | None) -> str | None:
    """ModelAPI feeds BGR, and RGB where channels are to be reversed."""
    if reverse is None:
        return None
    return "RGB" if reverse.lower() in _YES else "BGR"


def _task(info: dict[str, str]) -> str | None:
    kind = info.get("model_type", "").lower()
    if kind in ("ssd", "yolo", "yolov8", "yolox", "yolov5", "ctpn", "faceboxes", "centernet"):
        return "detect"
    return "classify" if kind == "classification" else None


def _first(text: str) -> float | None:
    numbers = numbers_of(text)
    return numbers[0] if numbers else None
