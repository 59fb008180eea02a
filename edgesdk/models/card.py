"""A model card, loaded and checked.

A :class:`ModelCard` is immutable and may be shared between threads. Its :attr:`~ModelCard.digest`
says what the model does (task, bytes, preprocessing, decoding, labels), not where it lies: two
copies of a card in two directories have one digest.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path

import msgspec

from edgesdk.errors import DigestMismatch, ModelInvalid, ModelNotFound
from edgesdk.inference import ModelFile
from edgesdk.models.agreement import complete_inputs
from edgesdk.models.cardfile import Keys, card_error, read_card_file
from edgesdk.models.embedded import FileFacts, read_facts
from edgesdk.models.fingerprint import fingerprint
from edgesdk.models.inputs import check_inputs
from edgesdk.models.labels import labels_of_card
from edgesdk.models.paths import path_problem
from edgesdk.models.roles import check_roles
from edgesdk.models.schema import (
    CardDocument,
    Classify,
    Decode,
    Embed,
    Input,
    Output,
    Raw,
    SsdAnchors,
    Variant,
)

__all__ = ["ModelCard", "load_card"]

_TASK_OF = {Classify: "classify", Embed: "embed", Raw: "raw"}


@dataclass(frozen=True, eq=False)
class ModelCard:
    """A model: its document, where its files are, and its labels by id.

    labels_said: the labels are the card's, not taken from the file because the card has none.
    """

    document: CardDocument
    path: Path
    directory: Path
    labels: Mapping[int, str]
    decode: Decode
    labels_said: bool = True

    @property
    def name(self) -> str:
        return self.document.name

    @property
    def task(self) -> str:
        return self.document.task

    @property
    def variants(self) -> tuple[Variant, ...]:
        return self.document.variants

    def said_inputs(self, variant: Variant) -> tuple[Input, ...]:
        """The inputs as the card has them."""
        return variant.inputs if variant.inputs is not None else self.document.inputs

    def inputs_of(self, variant: Variant) -> tuple[Input, ...]:
        """The inputs with what only the file says (name, quantisation), at batch 1 if it is open.

        :raises ModelInvalid: the file is there, and damaged.
        """
        return complete_inputs(self, variant, self.facts_of(variant))

    def outputs_of(self, variant: Variant) -> dict[str, Output]:
        """The card's outputs by role."""
        said = variant.outputs if variant.outputs is not None else self.document.outputs
        return {k: Output(name=v) if isinstance(v, str) else v for k, v in said.items()}

    def file_of(self, variant: Variant) -> Path:
        """Where the variant's file is, or would be once it is pulled."""
        return self.directory / variant.file

    @cached_property
    def digest(self) -> str:
        """SHA-256, hex, of what decides the model's results. Reads files whose sha256 is unsaid."""
        doc = self.document
        variants = [
            (self.sha256_of(v), v.precision, self.said_inputs(v), self.outputs_of(v))
            for v in doc.variants
        ]
        extra = ""
        if isinstance(self.decode, SsdAnchors) and self.decode.anchors_file:
            extra = fingerprint(self.directory / self.decode.anchors_file)
        # labels that are the file's own are in its bytes already
        labels = sorted(self.labels.items()) if self.labels_said else []
        said = [doc.name, doc.task, variants, self.decode, labels, extra]
        return hashlib.sha256(msgspec.msgpack.encode(said, order="deterministic")).hexdigest()

    def sha256_of(self, variant: Variant) -> str:
        """The fingerprint of a variant, lower case: as the card says, else of the file's bytes."""
        if variant.sha256:
            return variant.sha256.lower()
        return fingerprint(self.file_of(variant))

    def check_file(self, variant: Variant) -> str:
        """Reads the variant's file and returns its fingerprint.

        :raises ModelNotFound: the file is not there.
        :raises DigestMismatch: it is not the one that the card means.
        """
        path = self.file_of(variant)
        if not path.exists():
            raise ModelNotFound(f"{self.name}: {path} is not there{self._way_to_get(variant)}")
        found = fingerprint(path)
        if variant.sha256 and found != variant.sha256.lower():
            raise DigestMismatch(
                f"{self.name}: {path} has sha256 {found}, its card says {variant.sha256.lower()}: "
                f"the file is damaged or another version{self._way_to_get(variant)}"
            )
        return found

    def model_file(self, variant: Variant) -> ModelFile:
        """The variant as a backend opens it; its bytes are checked there, when it is prepared."""
        inputs = {spec.name: spec.shape for spec in self.inputs_of(variant) if spec.name}
        outputs = tuple(output.name for output in self.outputs_of(variant).values())
        return ModelFile(
            self.file_of(variant), self.sha256_of(variant), variant.precision, inputs, outputs
        )

    def facts_of(self, variant: Variant) -> FileFacts:
        """What the variant's file says of itself; nothing where it is not there yet.

        :raises ModelInvalid: it is there, but truncated or of another kind.
        """
        path = self.file_of(variant)
        return read_facts(path) if path.exists() else FileFacts(format="absent")

    def is_present(self, variant: Variant) -> bool:
        return self.file_of(variant).is_file()

    def _way_to_get(self, variant: Variant) -> str:
        return f"; run: edgesdk models pull {self.name}" if variant.source else ""


def load_card(path: Path | str, *, directory: Path | None = None) -> ModelCard:
    """Reads a card and checks all of it but the models' own bytes.

    directory: what the card's paths are relative to, where that is not the card's own directory.

    :raises CardError: names the file, each key that is wrong, its value and what was expected.
    """
    path = Path(path)
    doc, lines = read_card_file(path)
    root = path.resolve().parent if directory is None else directory
    mistakes: list[tuple[Keys, str]] = []
    decode = _decode_of(doc, mistakes)
    for i, variant in enumerate(doc.variants):
        _check_variant(variant, ("variants", i), mistakes)
        if variant.inputs is not None:
            check_inputs(variant.inputs, ("variants", i, "inputs"), mistakes)
        if variant.outputs is not None:
            mistakes += check_roles(decode, variant.outputs, ("variants", i, "outputs"))
    check_inputs(doc.inputs, ("inputs",), mistakes)
    mistakes += check_roles(decode, doc.outputs, ("outputs",))
    if isinstance(decode, SsdAnchors):
        if (decode.anchors is None) == (decode.anchors_file is None):
            text = 'kind = "ssd-anchors" needs either the table [decode.anchors] or anchors_file'
            mistakes.append((("decode",), text))
        if decode.anchors_file is not None:
            _check_path(decode.anchors_file, ("decode", "anchors_file"), mistakes)
    if doc.golden is not None:
        for key, value in (("input", doc.golden.input), ("outputs", doc.golden.outputs)):
            if value is not None:
                _check_path(value, ("golden", key), mistakes)
    if not doc.inputs and any(v.inputs is None for v in doc.variants):
        mistakes.append(((), "[[inputs]] is missing: the model's input tensors"))
    labels = labels_of_card(doc, root, mistakes)
    if mistakes:
        raise card_error(path, mistakes, lines)
    card = ModelCard(doc, path, root, labels, decode)
    own = _labels_of_file(card) if not labels else {}
    return replace(card, labels=own, labels_said=False) if own else card


def _labels_of_file(card: ModelCard) -> dict[int, str]:
    """What a file that is here calls its classes, numbered as the card numbers them."""
    offset = getattr(card.decode, "class_offset", 0)
    for variant in card.variants:
        with suppress(ModelInvalid):  # whoever opens it will say so
            found = card.facts_of(variant).labels
            if found:
                return {i + offset: name for i, name in found.items()}
    return {}


def _decode_of(doc: CardDocument, mistakes: list[tuple[Keys, str]]) -> Decode:
    if doc.decode is not None:
        task = _TASK_OF.get(type(doc.decode), "detect")
        if task != doc.task and doc.task != "raw":
            text = f'this kind of decoding gives the task "{task}", but the card says "{doc.task}"'
            mistakes.append((("decode", "kind"), text))
        return doc.decode
    if doc.task == "detect":
        text = '[decode] is missing: task = "detect" has to say how boxes are decoded'
        mistakes.append(((), text))
    defaults: dict[str, Decode] = {"classify": Classify(), "embed": Embed()}
    return defaults.get(doc.task, Raw())


def _check_path(text: str, keys: Keys, mistakes: list[tuple[Keys, str]]) -> None:
    problem = path_problem(text)
    if problem:
        mistakes.append((keys, problem))


def _check_variant(variant: Variant, keys: Keys, mistakes: list[tuple[Keys, str]]) -> None:
    _check_path(variant.file, (*keys, "file"), mistakes)
    if variant.source is not None and variant.sha256 is None:
        mistakes.append(((*keys, "sha256"), "a variant with a source has to be pinned by sha256"))
