"""What a file can say of itself, in one form for all formats."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field

from edgesdk.models.schema import Quantisation

__all__ = ["FileFacts", "TensorFacts", "labels_of_mapping", "numbers_of"]


@dataclass(frozen=True, slots=True)
class TensorFacts:
    """An input or output; shape has -1 where the file leaves a size open.

    name: empty where the file has none, and the runtime will make one up.
    """

    name: str
    shape: tuple[int, ...]
    dtype: str
    quantisation: Quantisation | None = None
    aliases: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class FileFacts:
    """What a model's file says.

    labels: names by class number; None where it says none. mean, scale: of pixel values, per
    channel. classes: how many a built-in post-processing tells apart, a background included.
    post_processing: outputs by role of an operator that fixes their order. notes:
    everything else that could matter to a person, by its name in the file.
    """

    format: str
    inputs: tuple[TensorFacts, ...] = ()
    outputs: tuple[TensorFacts, ...] = ()
    labels: Mapping[int, str] | None = None
    mean: tuple[float, ...] | None = None
    scale: tuple[float, ...] | None = None
    colour: str | None = None
    resize: str | None = None
    task: str | None = None
    score: float | None = None
    iou: float | None = None
    classes: int | None = None
    exporter: str = ""
    post_processing: Mapping[str, str] = field(default_factory=dict)
    notes: Mapping[str, str] = field(default_factory=dict)


_ENTRY = re.compile(r"(\d{1,6})\s*:\s*(?:'((?:[^'\\]|\\.){0,256})'|\"((?:[^\"\\]|\\.){0,256})\")")


def labels_of_mapping(text: str) -> dict[int, str] | None:
    """``{0: 'person', 1: "bicycle"}``, as exporters print a dict; None if it is not one."""
    found = {int(n): re.sub(r"\\(.)", r"\1", a or b) for n, a, b in _ENTRY.findall(text[: 8 << 20])}
    return found or None


def numbers_of(text: str) -> tuple[float, ...] | None:
    """Numbers apart by blanks or commas, in brackets or not; None if there are others."""
    words = text[:1024].strip("[]() ").replace(",", " ").split()
    try:
        return tuple(float(w) for w in words) or None
    except ValueError:
        return None
