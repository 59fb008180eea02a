"""A card for a bare model file, as far as the file itself says what it is."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from edgesdk.errors import CardError, ModelInvalid
from edgesdk.models.embedded import FileFacts, TensorFacts, read_facts
from edgesdk.models.fingerprint import fingerprint

__all__ = ["Draft", "draft_card", "write_draft"]

_BACKENDS = {
    ".tflite": ("litert", "openvino"),
    ".onnx": ("onnxruntime", "openvino"),
    ".xml": ("openvino",),
    ".pb": ("openvino",),
}
_KINDS = "see docs/models.md for the kinds of decoding"


@dataclass(frozen=True, slots=True)
class Draft:
    """A card's text. lacking: what a person still has to write into it, empty if nothing."""

    text: str
    lacking: tuple[str, ...]


def draft_card(path: Path) -> Draft:
    """A card for the model at *path*.

    :raises ModelInvalid: the file is damaged, or of a kind that no backend reads.
    """
    backends = _BACKENDS.get(path.suffix.lower())
    if backends is None:
        known = ", ".join(_BACKENDS)
        raise ModelInvalid(f"{path}: neither a card (.toml, .json) nor a model ({known})")
    facts = read_facts(path)
    if facts.post_processing:  # an op of TFLite's own, which OpenVINO does not translate
        backends = ("litert",)
    lacking: list[str] = []
    decode = _decode(facts, lacking)
    name = re.sub(r"[^A-Za-z0-9._-]+", "-", path.stem).strip("-._") or "model"
    lines = [
        f"# What {path.name} says of itself. Check it, then: edgesdk models verify {name}",
        "schema = 1",
        f"name = {_quoted(name)}",
        f"task = {_quoted(decode.task or 'detect')}",
        *_labels(facts, lacking, decode),
        "",
        "[[variants]]",
        f"file = {_quoted(path.name)}",
        f"backend = {json.dumps(list(backends))}",
        f"precision = {_quoted(_precision(facts))}",
        f"sha256 = {_quoted(fingerprint(path))}",
        "",
        *_input(facts, decode, lacking),
        *_outputs(decode),
        "[decode]",
        f"kind = {_quoted(decode.kind or '')}",
    ]
    if facts.score is not None and decode.task == "detect" and 0 <= facts.score <= 1:
        lines.append(f"score = {facts.score:.4g}")
    if facts.iou is not None and decode.kind.startswith("yolo-v") and 0 <= facts.iou <= 1:
        lines.append(f"iou = {facts.iou:.4g}")
    return Draft("\n".join(lines) + "\n", tuple(lacking))


@dataclass(frozen=True, slots=True)
class _Decode:
    task: str = ""
    kind: str = ""
    outputs: tuple[tuple[str, str], ...] = ()
    yolo: bool = False


def _decode(facts: FileFacts, lacking: list[str]) -> _Decode:
    shapes = [t.shape for t in facts.outputs]
    classes = None if facts.labels is None else len(facts.labels)
    yolo = facts.exporter.lower() in ("ultralytics", "yolo", "yolov8") or "stride" in facts.notes
    if facts.post_processing:
        return _Decode("detect", "tflite-postprocess", tuple(facts.post_processing.items()))
    if len(facts.outputs) == 1:
        name, shape = facts.outputs[0].name, shapes[0]
        if len(shape) == 4 and shape[-1] == 7:
            return _Decode("detect", "openvino-detection-output", (("detections", name),))
        kind = _yolo_kind(shape, classes) if yolo and facts.task in (None, "detect") else None
        if kind:
            return _Decode("detect", kind, (("predictions", name),), yolo=True)
        flat = [d for d in shape[1:] if d != 1]
        if facts.task == "classify" or (classes is not None and flat == [classes]):
            return _Decode("classify", "classify", (("scores", name),), yolo=yolo)
    told = ", ".join(f"{t.name!r} {list(t.shape)}" for t in facts.outputs) or "no outputs"
    lacking.append(f"decode.kind (it has {told}: {_KINDS})")
    return _Decode(facts.task if facts.task in ("detect", "classify") else "")


def _yolo_kind(shape: tuple[int, ...], classes: int | None) -> str | None:
    if len(shape) != 3:
        return None
    if shape[2] == 6 and shape[1] <= 1000:
        return "yolo-nmsfree"
    if classes is None:
        return None
    if 4 + classes in shape[1:]:
        return "yolo-v8"
    return "yolo-v5" if 5 + classes in shape[1:] else None


def _labels(facts: FileFacts, lacking: list[str], decode: _Decode) -> list[str]:
    if facts.labels:
        return [_label_line(facts.labels)]
    if decode.task in ("detect", "classify"):
        lacking.append("labels (the file has none; without them classes are called by number)")
    return []


def _label_line(labels: Mapping[int, str]) -> str:
    if list(labels) == list(range(len(labels))):
        return f"labels = [{', '.join(_quoted(n) for n in labels.values())}]"
    return f"labels = {{ {', '.join(f'{i} = {_quoted(n)}' for i, n in labels.items())} }}"


def _input(facts: FileFacts, decode: _Decode, lacking: list[str]) -> list[str]:
    image = _image_of(facts)
    if image is None:
        told = ", ".join(f"{t.name!r} {list(t.shape)}" for t in facts.inputs) or "nothing"
        lacking.append(f"inputs (the file says {told}; an image is expected)")
        return ["[[inputs]]", "shape = []", ""]
    tensor, layout = image
    shape = list(tensor.shape)
    if min(shape[1:]) < 1:
        size = facts.notes.get("imgsz", "")
        numbers = [int(n) for n in re.findall(r"\d+", size)][:2]
        at = (1, 2) if layout == "NHWC" else (2, 3)
        if len(numbers) == 2 and all(0 < n <= 8192 for n in numbers):
            shape[at[0]], shape[at[1]] = numbers
        else:
            lacking.append(f"inputs.shape (the file leaves {shape} open)")
    channels = shape[layout.index("C")]
    colour = facts.colour or ("GRAY" if channels == 1 else "RGB")
    if facts.colour is None and facts.format == "openvino" and not decode.yolo and channels == 3:
        colour = "BGR"  # what OpenVINO's model zoo is converted for
    lines = [
        "[[inputs]]",
        f"name = {_quoted(tensor.name)}",
        f'layout = "{layout}"',
        f'dtype = "{tensor.dtype}"',
        f"shape = {shape}",
        f'colour = "{colour}"',
        f'resize = "{facts.resize or ("letterbox" if decode.yolo else "stretch")}"',
    ]
    if tensor.dtype.startswith("float"):
        if facts.mean is not None:
            lines.append(f"mean = {_numbers(facts.mean)}")
        if facts.scale is not None:
            lines.append(f"scale = {_numbers(facts.scale)}")
        elif decode.yolo:
            lines.append("scale = 255.0")
        elif facts.mean is None and facts.format != "openvino":
            lacking.append("inputs.mean and inputs.scale (the file does not say how to normalise)")
    return [*lines, ""]


def _image_of(facts: FileFacts) -> tuple[TensorFacts, str] | None:
    if len(facts.inputs) != 1 or len(facts.inputs[0].shape) != 4:
        return None
    tensor = facts.inputs[0]
    if tensor.shape[3] in (1, 3):
        return tensor, "NHWC"
    return (tensor, "NCHW") if tensor.shape[1] in (1, 3) else None


def _outputs(decode: _Decode) -> list[str]:
    if not decode.outputs or not all(name for _, name in decode.outputs):
        return []
    return ["[outputs]", *(f"{role} = {_quoted(name)}" for role, name in decode.outputs), ""]


def _precision(facts: FileFacts) -> str:
    dtypes = {t.dtype for t in (*facts.inputs, *facts.outputs)}
    return "int8" if dtypes & {"int8", "uint8"} and facts.format == "tflite" else "fp32"


def _numbers(values: tuple[float, ...]) -> str:
    return f"{values[0]:.6g}" if len(values) == 1 else f"[{', '.join(f'{v:.6g}' for v in values)}]"


def _quoted(text: str) -> str:
    """A TOML string; JSON's escapes are TOML's too."""
    return json.dumps(text, ensure_ascii=False)


def write_draft(model: Path) -> tuple[Path, Draft]:
    """Writes the draft beside the model, as ``STEM.card.toml``.

    :raises CardError: there is one already, or the directory cannot be written.
    """
    draft = draft_card(model)
    target = model.with_name(f"{model.stem}.card.toml")
    try:
        with target.open("x", encoding="utf-8") as f:
            f.write(draft.text)
    except FileExistsError:
        raise CardError(f"{model} has a card already; run: edgesdk models add {target}") from None
    except OSError as e:
        raise CardError(f"{target} cannot be written ({e.strerror}); write a card yourself") from e
    return target, draft
