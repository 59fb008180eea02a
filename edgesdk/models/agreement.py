"""The card against what the model's file says of itself.

Where they differ the card wins, and the difference is reported. Some differences cannot work
whoever wins (a tensor that is not in the file, the wrong dtype, a label file of another model):
those are mistakes of the card.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import msgspec

from edgesdk.errors import CardError
from edgesdk.models.embedded.facts import FileFacts, TensorFacts
from edgesdk.models.roles import find_tensor
from edgesdk.models.schema import (
    Classify,
    DetectionOutput,
    Input,
    Output,
    SsdAnchors,
    TflitePostprocess,
    Variant,
    YoloV5,
    YoloV8,
    YoloX,
)

if TYPE_CHECKING:
    from edgesdk.models.card import ModelCard

__all__ = ["Agreement", "compare", "complete_inputs", "complete_outputs", "label_problem"]


@dataclass(frozen=True, slots=True)
class Agreement:
    """mistakes: what cannot work; conflicts: where the card and the file differ, and it wins."""

    mistakes: tuple[str, ...]
    conflicts: tuple[str, ...]

    def require(self, card: ModelCard, variant: Variant) -> None:
        """:raises CardError: there are mistakes."""
        if self.mistakes:
            raise CardError(f"{card.path}: {variant.file}: {'; '.join(self.mistakes)}")


def complete_inputs(card: ModelCard, variant: Variant, facts: FileFacts) -> tuple[Input, ...]:
    """The card's inputs, with the name and quantisation that only the file says; -1 becomes 1."""
    return tuple(
        _completed(spec, _tensor_of(spec, facts.inputs)) for spec in card.said_inputs(variant)
    )


def _completed(spec: Input, tensor: TensorFacts | None) -> Input:
    shape = tuple(1 if d < 0 else d for d in spec.shape)
    if tensor is None:
        return msgspec.structs.replace(spec, shape=shape)
    return msgspec.structs.replace(
        spec,
        shape=shape,
        name=spec.name or tensor.name,
        quantisation=spec.quantisation or tensor.quantisation,
    )


def complete_outputs(card: ModelCard, variant: Variant, facts: FileFacts) -> dict[str, Output]:
    """The card's outputs by role, with the quantisation that only the file says.

    Roles that the card leaves out are those of the file's post-processing op, if it has one.
    """
    said = card.outputs_of(variant)
    if isinstance(card.decode, TflitePostprocess):
        taken = {output.name for output in said.values()}
        for role, name in facts.post_processing.items():
            if name not in taken:
                said.setdefault(role, Output(name=name))
    tensors = _by_name(facts.outputs)
    for role, output in said.items():
        found = find_tensor(output.name, tensors)
        if output.quantisation is None and found is not None:
            said[role] = Output(name=output.name, quantisation=tensors[found].quantisation)
    return said


def _tensor_of(spec: Input, tensors: Sequence[TensorFacts]) -> TensorFacts | None:
    by_name = _by_name(tensors)
    if not spec.name:
        return tensors[0] if len(tensors) == 1 else None
    name = find_tensor(spec.name, by_name)
    return None if name is None else by_name[name]


def _by_name(tensors: Sequence[TensorFacts]) -> dict[str, TensorFacts]:
    return {name: t for t in tensors for name in (t.name, *t.aliases)}


def compare(card: ModelCard, variant: Variant, facts: FileFacts) -> Agreement:
    """Everything that differs between *card* and *facts*, which may say little."""
    mistakes: list[str] = []
    conflicts: list[str] = []
    if facts.inputs:
        for spec in card.said_inputs(variant):
            _compare_input(spec, facts, mistakes, conflicts)
    outputs = _by_name(facts.outputs)
    named = all(t.name for t in facts.outputs)
    shapes: dict[str, tuple[int, ...]] = {}
    for role, output in card.outputs_of(variant).items():
        name = find_tensor(output.name, outputs)
        if name is not None:
            shapes[role] = outputs[name].shape
        elif outputs and named:
            listing = ", ".join(f"{t.name!r} {list(t.shape)}" for t in facts.outputs)
            mistakes.append(
                f"outputs.{role} = {output.name!r} is not in the file, it has {listing}"
            )
        told = outputs[name].quantisation if name is not None else None
        if told is not None and output.quantisation not in (None, told):
            conflicts.append(f"outputs.{role}.quantisation differs: the file says {told}")
    if not shapes and len(facts.outputs) == 1:
        shapes = dict.fromkeys(("scores", "predictions"), facts.outputs[0].shape)
    problem = label_problem(card, shapes, facts.classes)
    if problem:
        mistakes.append(problem)
    _compare_labels(card, facts, conflicts)
    return Agreement(tuple(mistakes), tuple(conflicts))


def _compare_input(
    spec: Input, facts: FileFacts, mistakes: list[str], conflicts: list[str]
) -> None:
    tensor = _tensor_of(spec, facts.inputs)
    listing = ", ".join(f"{t.name!r} {t.dtype} {list(t.shape)}" for t in facts.inputs)
    if tensor is None:
        if all(t.name for t in facts.inputs):
            wanted = f"the input {spec.name!r} is not in the file" if spec.name else "say its name"
            mistakes.append(f"inputs: {wanted}, it has {listing}")
        return
    if tensor.dtype not in (spec.dtype, "unknown"):
        mistakes.append(f"inputs: dtype {spec.dtype}, but the file's is {tensor.dtype}")
    if len(tensor.shape) != len(spec.shape) or any(
        ours != theirs and ours > 0 and theirs > 0
        for ours, theirs in zip(spec.shape[1:], tensor.shape[1:], strict=False)
    ):
        conflicts.append(f"inputs.shape = {list(spec.shape)}; the file says {list(tensor.shape)}")
    if spec.quantisation is not None and tensor.quantisation not in (None, spec.quantisation):
        conflicts.append(f"inputs.quantisation differs: the file says {tensor.quantisation}")
    if spec.constant is not None:
        return
    if facts.colour not in (None, spec.colour):
        conflicts.append(f'inputs.colour = "{spec.colour}"; the file says "{facts.colour}"')
    if facts.resize not in (None, spec.resize):
        conflicts.append(f'inputs.resize = "{spec.resize}"; the file says "{facts.resize}"')
    if spec.dtype.startswith("float"):  # 8-bit images go in as they are, whatever the file says
        for key, ours, theirs in (
            ("mean", spec.mean, facts.mean),
            ("scale", spec.scale, facts.scale),
        ):
            if theirs is not None and not _same(ours, theirs, 0.0 if key == "mean" else 1.0):
                conflicts.append(f"inputs.{key} = {ours}; the file says {list(theirs)}")


def _same(
    ours: float | tuple[float, ...] | None, theirs: tuple[float, ...], default: float
) -> bool:
    said = (default,) if ours is None else ours if isinstance(ours, tuple) else (ours,)
    n = max(len(said), len(theirs))
    wide = [list(v) * n if len(v) == 1 else list(v) for v in (said, theirs)]
    return len(wide[0]) == len(wide[1]) and all(
        abs(a - b) <= 1e-3 * max(1.0, abs(b)) for a, b in zip(*wide, strict=True)
    )


def _compare_labels(card: ModelCard, facts: FileFacts, conflicts: list[str]) -> None:
    if not facts.labels or not card.labels:
        return
    offset = getattr(card.decode, "class_offset", 0)
    theirs = {i + offset: name for i, name in facts.labels.items()}
    differing = [
        i
        for i, name in card.labels.items()
        if i in theirs and theirs[i].casefold() != name.casefold()
    ]
    if differing:
        i = differing[0]
        conflicts.append(
            f"labels: {len(differing)} differ; {i} is {card.labels[i]!r} on the card and "
            f"{theirs[i]!r} in the file"
        )


def label_problem(
    card: ModelCard, shapes: Mapping[str, tuple[int | None, ...]], classes: int | None = None
) -> str | None:
    """Why the card's labels cannot be those of a model with outputs of *shapes*, by role.

    classes: as many as its post-processing knows, a background perhaps among them.
    """
    if not card.labels:
        return None
    decode = card.decode
    offset = getattr(decode, "class_offset", 0)
    counts: set[int] = set()
    if isinstance(decode, Classify | SsdAnchors) and "scores" in shapes:
        counts = {d for d in shapes["scores"][-1:] if d is not None and d > 0}
        if isinstance(decode, SsdAnchors) and decode.background is not None:
            counts |= {c - 1 for c in counts}
    elif isinstance(decode, YoloV5 | YoloV8 | YoloX) and "predictions" in shapes:
        fixed = 4 if isinstance(decode, YoloV8) else 5
        shape = shapes["predictions"]
        # boxes and columns may be transposed: one of the two is right if the labels fit it
        counts = {d - fixed for d in shape[-2:] if d is not None and d > fixed}
    elif isinstance(decode, TflitePostprocess | DetectionOutput) and classes is not None:
        counts = {classes, classes - 1}
    if not counts:
        return None
    beyond = [i for i in card.labels if not min(offset, 0) <= i < offset + max(counts) + 1]
    table = isinstance(card.document.labels, dict)
    listed = not table and set(card.labels) == set(range(len(card.labels)))
    if (listed and len(card.labels) not in counts) or beyond:
        where = card.document.labels_file or "labels"
        told = f"{len(card.labels)} names" if listed else f"the id {max(card.labels)}"
        likely = max(counts) if classes is not None else min(counts)
        return f"{where} has {told}, but the model has {likely} classes: is it another model's?"
    return None
