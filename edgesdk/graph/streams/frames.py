"""Streams of frames, and what can be looked for in them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgesdk.graph import parameters as check
from edgesdk.graph.node import Node
from edgesdk.graph.region import box_of
from edgesdk.graph.streams.base import ClassificationStream, EmbeddingStream, RawStream, Stream
from edgesdk.graph.streams.detections import DetectionStream, Point

__all__ = ["Camera", "Frames"]

# The lowest score that an inference keeps. A fixed ladder, so that what a detector computes depends
# on its own application alone, and all thresholds from 0.05 up share one inference.
_SCORE_FLOORS = (0.05, 0.01, 0.001, 0.0)


class Frames(Stream[NDArray[np.uint8]], gives="frames", what="frames"):
    """Frames of one camera, or a part of each."""

    __slots__ = ()

    @check.call_checked
    def sample(self, *, fps: float) -> Frames:
        """The first frame at or after each k/*fps* seconds of capture time.

        All frames, if the camera says that it gives no more than *fps*. A time stamp counts as on
        time if it is early by at most a twentieth of the period. Equal rates pick equal frames.
        """
        rate = check.number("sample", "fps", fps, low=0, high=1000, above=True)
        build = self._node.build
        build.rates.append(rate)
        return self._select("sample", {"fps": rate * build.pace})

    @check.call_checked
    def gate(
        self,
        *,
        threshold: float = 0.004,
        hold: float | str = "1s",
        sensitivity: float = 12,
        adapt: float | str = "5s",
        every: float | str | None = None,
        zone: Sequence[Point] | None = None,
    ) -> Frames:
        """The motion gate: passes frames that differ from the background, holds the rest.

        threshold: the share of pixels that must differ. hold: how long it goes on passing after
        the last motion. sensitivity: grey levels (of 255) by which a pixel must differ from the
        background. adapt: time constant in which the background follows the scene. every: pass a
        frame at least this often, motion or not. zone: a polygon outside which motion does not
        count. The first frame passes.
        """
        params = {
            "threshold": check.number("gate", "threshold", threshold, low=0, high=1),
            "hold_ns": check.seconds("gate", "hold", hold, zero=True),
            "sensitivity": check.number("gate", "sensitivity", sensitivity, low=1, high=255),
            "adapt_ns": check.seconds("gate", "adapt", adapt),
            "every_ns": None if every is None else check.seconds("gate", "every", every),
            "zone": None if zone is None else check.points("gate", "zone", zone, least=3),
        }
        return self._select("gate", params)

    def _select(self, kind: str, params: dict[str, Any]) -> Frames:
        node = self._add(kind, "selector", "selection", params)
        return Frames(self._node, (node,))

    @check.call_checked
    def crop(self, *, box: Sequence[float]) -> Frames:
        """Only the part within *box*, ``(x1, y1, x2, y2)`` in [0, 1] of the whole frame."""
        return self._look("crop", "box", box, check.box("crop", "box", box))

    @check.call_checked
    def zone(self, *, polygon: Sequence[Point]) -> Frames:
        """Only what lies within *polygon*, points (x, y) in [0, 1]; the rest is painted grey."""
        corners = check.points("zone", "polygon", polygon, least=3)
        return self._look("zone", "polygon", polygon, corners)

    def _look(self, kind: str, parameter: str, given: object, value: tuple[Any, ...]) -> Frames:
        node = self._add(kind, "value", "frames", {parameter: value})
        if not box_of(node) is not None:
            raise check.wrong(kind, parameter, given, "a part of what the stream already looks at")
        return Frames(node, self._selectors)

    @check.call_checked
    def detect(
        self,
        model: str,
        *,
        classes: Sequence[str] | str | None = None,
        score: float = 0.25,
        iou: float | None = None,
    ) -> DetectionStream:
        """Things found by *model*: a name, ``sha256:...``, or ``"detect, has class person"``.

        classes: names to keep, of those that the model has; None keeps all. score: the least score
        to keep. iou: overlap above which the decoder keeps the better box only; None is the
        model card's own. Classes and score are filters behind the inference, which applications
        with other thresholds share.
        """
        threshold = check.number("detect", "score", score, low=0, high=1)
        wanted = check.names("detect", "classes", classes)
        params = {
            "score": next(floor for floor in _SCORE_FLOORS if floor <= threshold),
            "iou": None if iou is None else check.number("detect", "iou", iou, low=0, high=1),
        }
        found = self._infer("detect", "detections", model, params)
        kept = {
            "classes": wanted,
            "score": threshold,
            "zone": None,
            "anchor": "bottom",
            "min_size": None,
            "max_size": None,
        }
        node = self._add("filter", "value", "detections", kept, inputs=(found,), written="detect")
        return DetectionStream(node, self._selectors)

    def _infer(self, kind: str, gives: str, model: str, params: dict[str, Any]) -> Node:
        reference = check.text(kind, "model", model, "a model's name, sha256:..., or requirements")
        return self._add(kind, "inference", gives, params, model=reference)

    @check.call_checked
    def classify(self, model: str, *, top: int = 1) -> ClassificationStream:
        """What *model* says of the frame: its *top* best classes."""
        best = int(check.number("classify", "top", top, low=1, high=1000, whole=True))
        found = self._infer("classify", "classification", model, {})
        node = self._add("top", "value", "classification", {"top": best}, inputs=(found,))
        return ClassificationStream(node, self._selectors)

    @check.call_checked
    def embed(self, model: str) -> EmbeddingStream:
        """The vector that *model* makes of the frame."""
        return EmbeddingStream(self._infer("embed", "embedding", model, {}), self._selectors)

    @check.call_checked
    def infer(self, model: str) -> RawStream:
        """The undecoded outputs of a model whose task is ``raw``."""
        return RawStream(self._infer("infer", "raw", model, {}), self._selectors)


class Camera(Frames):
    """All frames of one camera: what an application's function is given."""

    __slots__ = ()

    @property
    def name(self) -> str:
        """The camera's name in ``--camera NAME=URI``."""
        return self._node.build.camera
