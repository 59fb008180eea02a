"""A model card, loaded and checked.

A :class:`ModelCard` is immutable and may be shared between threads. Its :attr:`~ModelCard.digest`
says what the model does (task, bytes, preprocessing, decoding, labels), not where it lies: two
copies of a card in two directories have one digest.
"""

from __future__ import annotations

import hashlib
import stat
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path, PurePosixPath

import msgspec

from edgesdk.errors import CardError, DigestMismatch, ModelNotFound
from edgesdk.inference import ModelFile
from edgesdk.models.cardfile import Keys, card_error, read_card_file
from edgesdk.models.fingerprint import fingerprint
from edgesdk.models.roles import check_roles
from edgesdk.models.schema import (
    MAX_LABEL_LENGTH,
    MAX_LABELS,
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

MAX_LABEL_FILE = 8 << 20

_TASK_OF = {Classify: "classify", Embed: "embed", Raw: "raw"}


@dataclass(frozen=True, eq=False)
class ModelCard:
    """A model: its document, where its files are, and its labels by id."""

    document: CardDocument
    path: Path
    directory: Path
    labels: Mapping[int, str]
    decode: Decode

    @property
    def name(self) -> str:
        return self.document.name

    @property
    def task(self) -> str:
        return self.document.task

    @property
    def variants(self) -> tuple[Variant, ...]:
        return self.document.variants

    def inputs_of(self, variant: Variant) -> tuple[Input, ...]:
        return variant.inputs if variant.inputs is not None else self.document.inputs

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
            (self.sha256_of(v), v.precision, self.inputs_of(v), self.outputs_of(v))
            for v in doc.variants
        ]
        extra = ""
        if isinstance(self.decode, SsdAnchors) and self.decode.anchors_file:
            extra = fingerprint(self.directory / self.decode.anchors_file)
        said = [doc.name, doc.task, variants, self.decode, sorted(self.labels.items()), extra]
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
        inputs = {
            spec.name: (abs(spec.shape[0]), *spec.shape[1:])
            for spec in self.inputs_of(variant)
            if spec.name
        }
        outputs = tuple(output.name for output in self.outputs_of(variant).values())
        return ModelFile(
            self.file_of(variant), self.sha256_of(variant), variant.precision, inputs, outputs
        )

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
            _check_inputs(variant.inputs, ("variants", i, "inputs"), mistakes)
        if variant.outputs is not None:
            mistakes += check_roles(decode, variant.outputs, ("variants", i, "outputs"))
    _check_inputs(doc.inputs, ("inputs",), mistakes)
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
    labels = _read_labels(doc, root, mistakes)
    if mistakes:
        raise card_error(path, mistakes, lines)
    return ModelCard(doc, path, root, labels, decode)


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
    path = PurePosixPath(text)
    if not text or "\0" in text or path.is_absolute() or ".." in path.parts:
        expected = "a path inside the card's directory, relative to it (a symbolic link will do)"
        mistakes.append((keys, f"{text!r}: expected {expected}"))


def _check_variant(variant: Variant, keys: Keys, mistakes: list[tuple[Keys, str]]) -> None:
    _check_path(variant.file, (*keys, "file"), mistakes)
    if variant.source is not None and variant.sha256 is None:
        mistakes.append(((*keys, "sha256"), "a variant with a source has to be pinned by sha256"))


def _check_inputs(inputs: tuple[Input, ...], keys: Keys, mistakes: list[tuple[Keys, str]]) -> None:
    for i, spec in enumerate(inputs):
        at = (*keys, i)
        if spec.constant is not None:
            continue
        problem = image_shape_problem(spec)
        if problem:
            mistakes.append(((*at, "shape"), f"{list(spec.shape)}: {problem}"))
            continue
        channels = 1 if spec.colour == "GRAY" else 3
        for key, value in (("mean", spec.mean), ("scale", spec.scale)):
            if isinstance(value, tuple) and len(value) != channels:
                text = f"{list(value)}: expected {channels} numbers, one a channel of {spec.colour}"
                mistakes.append(((*at, key), text))
        scales = spec.scale if isinstance(spec.scale, tuple) else (spec.scale,)
        if 0 in scales:
            mistakes.append(((*at, "scale"), "0: pixels are divided by it"))
        if spec.dtype in ("int32", "int64"):
            text = f"{spec.dtype!r}: an image is uint8, int8, float16 or float32"
            mistakes.append(((*at, "dtype"), text))
        if spec.quantisation is not None and spec.dtype not in ("uint8", "int8"):
            text = f"only uint8 and int8 are quantised, not {spec.dtype}"
            mistakes.append(((*at, "quantisation"), text))


def image_shape_problem(spec: Input) -> str | None:
    """What keeps *spec* from being an image of fixed size, or None."""
    if len(spec.shape) != 4:
        return "an image has 4 dimensions, such as [1, 300, 300, 3]"
    layout = layout_of(spec)
    channels = 1 if spec.colour == "GRAY" else 3
    if layout is None:
        return f"neither NHWC nor NCHW with {channels} channels ({spec.colour}); say layout"
    at = layout.index("C")
    if spec.shape[at] != channels:
        return f"{spec.colour} in {layout} has {channels} channels, at index {at}"
    if spec.shape[0] == 0 or min(spec.shape[1:]) < 1:
        return "height and width are numbers; only the first dimension (batch) may be -1"
    return None


def layout_of(spec: Input) -> str | None:
    """NHWC or NCHW: as said, else where the channels are."""
    if spec.layout is not None:
        return spec.layout
    channels = 1 if spec.colour == "GRAY" else 3
    if spec.shape[-1] == channels:
        return "NHWC"
    return "NCHW" if len(spec.shape) == 4 and spec.shape[1] == channels else None


def _read_labels(doc: CardDocument, root: Path, mistakes: list[tuple[Keys, str]]) -> dict[int, str]:
    if doc.labels is not None and doc.labels_file is not None:
        mistakes.append((("labels_file",), "labels are given twice: as labels and as labels_file"))
    key = "labels" if doc.labels is not None else "labels_file"
    if isinstance(doc.labels, dict):
        labels = {}
        for text, name in doc.labels.items():
            if not text.lstrip("-").isascii() or not text.lstrip("-").isdigit() or len(text) > 9:
                mistakes.append((("labels", text), f"{text!r}: expected an integer id"))
            else:
                labels[int(text)] = name
    elif doc.labels is not None:
        labels = dict(enumerate(doc.labels))
    elif doc.labels_file is not None:
        try:
            labels = read_labels_file(root, doc.labels_file)
        except CardError as e:
            mistakes.append((("labels_file",), str(e)))
            return {}
    else:
        return {}
    for i, name in labels.items():
        if len(name) > MAX_LABEL_LENGTH or not name.isprintable():
            text = f"label {i} is longer than {MAX_LABEL_LENGTH} or not printable"
            mistakes.append(((key,), text))
            break
    return labels


def read_labels_file(root: Path, name: str) -> dict[int, str]:
    """Ids and names of a label file: one name a line (ids from 0), or ``id name`` on each line."""
    problem: list[tuple[Keys, str]] = []
    _check_path(name, (), problem)
    if problem:
        raise CardError(problem[0][1])
    path = root / name
    try:
        if not stat.S_ISREG(path.stat().st_mode):
            raise CardError(f"{name!r}: {path} is not a regular file")
        with path.open("rb") as f:
            raw = f.read(MAX_LABEL_FILE + 1)
    except FileNotFoundError:
        raise CardError(f"{name!r}: there is no such file in {root}") from None
    except OSError as e:
        raise CardError(f"{name!r}: {path} cannot be read: {e.strerror}") from None
    if len(raw) > MAX_LABEL_FILE:
        raise CardError(f"{name!r}: larger than {MAX_LABEL_FILE >> 20} MiB")
    try:
        text = raw.decode("utf-8-sig")
    except UnicodeDecodeError as e:
        raise CardError(f"{name!r}: not UTF-8 (byte {e.start}): is it a label file?") from None
    return parse_labels(text, name)


def parse_labels(text: str, name: str) -> dict[int, str]:
    """Labels of a text; raises CardError when it is empty or has too many lines."""
    rows = [line.strip() for line in text.splitlines()]
    while rows and not rows[-1]:
        rows.pop()
    if not rows:
        raise CardError(f"{name!r}: empty: expected one label a line")
    if len(rows) > MAX_LABELS:
        raise CardError(f"{name!r}: more than {MAX_LABELS} lines")
    split = [row.replace(":", " ", 1).split(None, 1) for row in rows if row]
    if all(len(parts) == 2 and parts[0].isascii() and parts[0].isdigit() for parts in split):
        return {int(parts[0]): parts[1].strip() for parts in split}
    return dict(enumerate(rows))
