"""What OpenVINO's RuntimeErrors mean."""

from __future__ import annotations

import re
from pathlib import Path

from edgesdk.errors import EdgeError, ModelInvalid, ModelUnsupported, OutOfMemory, PrepareFailed

_UNSUPPORTED = (
    re.compile(r"No translator found for:? ?([\w.\-]+(?:, ?[\w.\-]+)*)"),
    re.compile(r"does not support the following ONNX operations:\s*([\w.\-]+(?:, ?[\w.\-]+)*)"),
    re.compile(r"No conversion rule found for operations: ?([\w.\-]+(?:, ?[\w.\-]+)*)"),
    re.compile(r"Unsupported operation of type: (\w+)"),
    re.compile(r"Cannot create (\w+) layer"),
)


def brief(error: BaseException) -> str:
    """The last telling line: the first ones name places in OpenVINO's own source."""
    lines = [line.strip() for line in str(error).splitlines()]
    telling = [x for x in lines if x and not x.startswith(("Exception from", "Check '"))]
    return (telling or lines or [type(error).__name__])[-1][:300]


def unsupported(text: str) -> tuple[str, ...]:
    """The operators that *text* says OpenVINO lacks, sorted."""
    names: set[str] = set()
    for pattern in _UNSUPPORTED:
        for match in pattern.finditer(text):
            names.update(part.strip(" .") for part in match.group(1).split(","))
    return tuple(sorted(names))


def reading(path: Path, error: BaseException) -> EdgeError:
    """The error of a model that could not be read."""
    text = str(error)
    operators = unsupported(text)
    if operators:
        return ModelUnsupported(
            f"OpenVINO cannot run {path.name}: it lacks {', '.join(operators)}", operators
        )
    if isinstance(error, MemoryError) or "bad_alloc" in text:
        return OutOfMemory(f"no memory to read {path.name}", backend="openvino", detail=text)
    if "Unable to read the model" in text:  # it goes on with all the formats there are
        kind = path.suffix.lstrip(".") or "any"
        return ModelInvalid(
            f"OpenVINO cannot read {path}: it is damaged, or no model of format {kind}"
        )
    return ModelInvalid(f"OpenVINO cannot read {path}: {brief(error)}")


def compiling(path: Path, device: str, error: BaseException) -> EdgeError:
    """The error of a model that was read but could not be compiled."""
    text = str(error)
    operators = unsupported(text)
    if operators:
        return ModelUnsupported(
            f"OpenVINO cannot run {path.name} on {device}: it lacks {', '.join(operators)}",
            operators,
        )
    if isinstance(error, MemoryError) or "bad_alloc" in text:
        return OutOfMemory(
            f"no memory to compile {path.name}", backend="openvino", device=device, detail=text
        )
    return PrepareFailed(
        f"OpenVINO cannot compile {path.name} for {device}: {brief(error)}",
        backend="openvino",
        device=device,
        detail=text,
    )
