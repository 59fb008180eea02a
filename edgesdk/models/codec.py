"""How frames become a model's inputs, and its outputs become values.

A :class:`Codec` belongs to one variant of one card. It is pure and thread-safe: executor threads
share one. Boxes that it returns are float32 pixels of the original frame, clipped to it.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgesdk.errors import CardError, ModelInvalid
from edgesdk.models.agreement import compare, complete_inputs, complete_outputs, label_problem
from edgesdk.models.card import ModelCard
from edgesdk.models.decoding.candidates import Candidates, suppress
from edgesdk.models.decoding.detectors import Detector
from edgesdk.models.decoding.whole import classify, embed
from edgesdk.models.encoding import Image, ImageEncoder, Shrunk
from edgesdk.models.geometry import Geometry
from edgesdk.models.roles import Binding, bind_outputs
from edgesdk.models.schema import Classify, Embed, Input, Quantisation, Raw, Variant, YoloX
from edgesdk.values import Classification, Detections, Embedding, RawOutputs

__all__ = ["Codec", "Value"]

Value = Detections | Classification | Embedding | RawOutputs

log = logging.getLogger(__name__)


class Codec:
    """Encodes batches of images for, and decodes outputs of, one variant of a model.

    :raises CardError: the card lacks what the variant's file does not say either.
    """

    def __init__(self, card: ModelCard, variant: Variant) -> None:
        self.card = card
        self.variant = variant
        facts = card.facts_of(variant)
        agreement = compare(card, variant, facts)
        agreement.require(card, variant)
        for conflict in agreement.conflicts:
            log.warning("%s: %s: %s; the card wins", card.name, variant.file, conflict)
        inputs = complete_inputs(card, variant, facts)
        images = [spec for spec in inputs if spec.constant is None]
        if len(images) != 1:
            raise CardError(f"{card.name}: a model has one image input, this card {len(images)}")
        self.input = images[0]
        self._constants = [spec for spec in inputs if spec.constant is not None]
        self._encoder = ImageEncoder(
            self.input,
            self.input.quantisation,
            align=self.input.align or ("top-left" if isinstance(card.decode, YoloX) else "centre"),
            pad=self._pad(self.input),
        )
        self._outputs = complete_outputs(card, variant, facts)
        self._binding: Binding | None = None
        self._unnamed: set[int] = set()
        kind = card.decode
        self._detector = (
            None if isinstance(kind, Classify | Embed | Raw) else Detector(card, kind, self.size)
        )

    @staticmethod
    def _pad(spec: Input) -> int:
        return 114 if spec.pad is None else spec.pad

    @property
    def batch(self) -> int:
        """The batch that the card's shape says; 1 where it is dynamic."""
        return max(1, self.input.shape[0])

    @property
    def size(self) -> tuple[int, int]:
        """Width and height of the image input."""
        return self._encoder.width, self._encoder.height

    @property
    def picture_bytes(self) -> int:
        """Bytes of what shrink() makes of one image."""
        return self._encoder.picture_bytes

    def encode(
        self, images: Sequence[Image], batch: int | None = None
    ) -> tuple[dict[str, NDArray[Any]], list[Geometry]]:
        """Input tensors by name for *images*, and what decode() needs to find the way back.

        images: (pixels uint8, their colour ``BGR``, ``RGB``, ``GRAY``, ``NV12`` or ``I420``, and
        a box x1, y1, x2, y2 in the frame's pixels to look at, or None for all of it); or what
        shrink() made of one.
        batch: how many images the tensor holds; default as many as there are. Rows without an
        image are zero.
        """
        n = len(images) if batch is None else batch
        if not 0 < len(images) <= n:
            raise ValueError(f"{len(images)} images for a batch of {n}")
        tensor, geometries = self._encoder.encode(images, n)
        feeds = {self.input.name: tensor}
        for spec in self._constants:
            shape = [n if d < 0 else d for d in spec.shape]
            values = np.asarray(spec.constant, spec.dtype)
            feeds[spec.name] = np.broadcast_to(
                values.reshape(shape) if values.size == np.prod(shape) else values, shape
            ).copy()
        return feeds, geometries

    def shrink(self, images: Sequence[Image]) -> list[Shrunk]:
        """*images* cropped, resized and in the model's colour, with nothing done to their values.

        encode() makes the same bytes of them as of the images themselves, here and on any machine
        with this card. They do not refer to the images' pixels.
        """
        return self._encoder.shrink(images)

    @property
    def form(self) -> int:
        """A u32 of all that shrink() goes by: codecs of equal forms take each other's pictures. Of
        two variants of a card with inputs of their own it may differ."""
        return self._encoder.form

    def check(self, image: NDArray[Any]) -> None:
        """:raises InputMismatch: *image* is not as shrink() makes them, in shape and dtype."""
        self._encoder.check(image)

    def decode(
        self,
        outputs: Mapping[str, NDArray[Any]],
        geometries: Sequence[Geometry],
        *,
        score: float | None = None,
        iou: float | None = None,
    ) -> list[Value]:
        """One value an image, in the order of encode()'s images.

        score, iou: thresholds in place of the card's. Outputs are read, never kept.

        :raises ModelInvalid: an output of the card is missing, or has a shape that cannot be.
        """
        roles = self.by_role(outputs)
        decode = self.card.decode
        n = len(geometries)
        if isinstance(decode, Raw):
            return [_raw_of(outputs, i, n) for i in range(n)]
        if isinstance(decode, Classify):
            return list(classify(roles["scores"], n, decode, self.card.labels))
        if isinstance(decode, Embed):
            return list(embed(roles["vector"], n, decode))
        assert self._detector is not None
        threshold = decode.score if score is None else score
        values: list[Value] = []
        for i, geometry in enumerate(geometries):
            found = self._detector.find(roles, i, threshold)
            values.append(self._detections(found, geometry, iou))
        return values

    def bind(self, outputs: Mapping[str, Any]) -> Binding:
        """Binds roles to tensors by name, or by the shape and dtype of what has no name.

        Called once at load with arrays, or anything with shape and dtype, by name; decode() does
        it with its first outputs otherwise.
        """
        binding = bind_outputs(self.card, self._outputs, outputs)
        for role, name in binding.inferred.items():
            log.info("%s: output %r plays the role %r (inferred)", self.card.name, name, role)
        shapes = {role: tuple(outputs[name].shape) for role, name in binding.names.items()}
        problem = label_problem(self.card, shapes)
        if problem:
            raise CardError(f"{self.card.path}: {problem}")
        if self._detector is not None:
            self._detector.check(shapes)
        self._binding = binding
        return binding

    def by_role(self, outputs: Mapping[str, NDArray[Any]]) -> dict[str, NDArray[Any]]:
        """Outputs by role instead of name; quantised ones as float32.

        :raises ModelInvalid: an output of the card is missing.
        """
        binding = self._binding or self.bind(outputs)
        roles = {}
        for role, name in binding.names.items():
            if name not in outputs:
                raise ModelInvalid(
                    f"{self.card.name}: the runtime gave no output {name!r}, "
                    f"but {', '.join(map(repr, outputs))}"
                )
            roles[role] = _real(outputs[name], binding.quantisation.get(role))
        return roles

    def _name_of(self, label_id: int) -> str:
        """The label, or the number of a class that has none: said once, if others have one."""
        name = self.card.labels.get(label_id)
        if name:
            return name
        if self.card.labels and label_id not in self._unnamed:
            self._unnamed.add(label_id)
            log.warning(
                "%s: the model reports the class %d, which the card has no label for",
                self.card.name,
                label_id,
            )
        return str(label_id)

    def _detections(self, found: Candidates, geometry: Geometry, iou: float | None) -> Detections:
        decode = self.card.decode
        assert not isinstance(decode, Classify | Embed | Raw)
        ids = found.classes + np.int32(decode.class_offset)
        if decode.ignore:
            keep = ~np.isin(ids, decode.ignore)
            found, ids = found.take(keep), ids[keep]
        own_iou = getattr(decode, "iou", None)
        if own_iou is not None:
            found = suppress(
                found,
                iou=own_iou if iou is None else iou,
                agnostic=getattr(decode, "agnostic", False),
                keep=decode.max_detections,
            )
        else:
            order = np.argsort(-found.scores, kind="stable")[: decode.max_detections]
            found = found.take(order)
        ids = found.classes + np.int32(decode.class_offset)
        boxes = geometry.to_frame(found.boxes)
        solid = (boxes[:, 2] > boxes[:, 0]) & (boxes[:, 3] > boxes[:, 1])
        if not solid.all():
            found, ids, boxes = found.take(solid), ids[solid], boxes[solid]
        names = tuple(map(self._name_of, ids.tolist()))
        return Detections(boxes, found.scores, ids, names)


def _real(array: NDArray[Any], quantisation: Quantisation | None) -> NDArray[Any]:
    if quantisation is not None and array.dtype.kind in "iu":
        real = array.astype(np.float32)
        real -= quantisation.zero_point
        real *= quantisation.scale
        return real
    return array.astype(np.float32) if array.dtype == np.float16 else array


def _raw_of(outputs: Mapping[str, NDArray[Any]], i: int, n: int) -> RawOutputs:
    whole = n == 1
    return RawOutputs(
        {
            k: a if whole or a.ndim == 0 or a.shape[0] < n else a[i : i + 1]
            for k, a in outputs.items()
        }
    )
