"""Live pictures for whoever looks, and no work while nobody does."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from edgesdk.graph.frames import FrameInfo, FrameView
from edgesdk.runtime.outlet import Delivery
from edgesdk.snapshot import PreviewFrame
from edgesdk.values import Detections

__all__ = ["Previews"]

# So long a frame with its results stays, while none but frames without any follow it.
_RESULTS_STAY_NS = 1_000_000_000


class _Preview:
    def __init__(self, previews: Previews, camera: str) -> None:
        self._previews = previews
        self.camera = camera

    def latest(self) -> PreviewFrame | None:
        return self._previews.newest(self.camera)

    def close(self) -> None:
        self._previews.forget(self)


class Previews:
    """Who looks at which camera. *keep* is told whether a camera's pixels are wanted."""

    def __init__(self, keep: Callable[[str, bool], None]) -> None:
        self._keep = keep
        self._lock = threading.Lock()
        self._watchers: dict[str, set[_Preview]] = {}
        self._newest: dict[str, PreviewFrame] = {}

    def open(self, camera: str) -> _Preview:
        preview = _Preview(self, camera)
        with self._lock:
            self._watchers.setdefault(camera, set()).add(preview)
        self._keep(camera, True)
        return preview

    def newest(self, camera: str) -> PreviewFrame | None:
        return self._newest.get(camera)

    def forget(self, preview: _Preview) -> None:
        with self._lock:
            left = self._watchers.get(preview.camera, set())
            left.discard(preview)
            if left:
                return
            self._newest.pop(preview.camera, None)
        self._keep(preview.camera, False)

    def show(
        self, camera: str, info: FrameInfo, view: FrameView, results: Sequence[Delivery]
    ) -> None:
        """A frame with its results, none if it was skipped or held: a gate freezes no picture.

        The pixels are copied, so that no slot of the ring is held.
        """
        with self._lock:
            if not self._watchers.get(camera) or (
                not results and self._shows_results(camera, info)
            ):
                return
            pixels = view.image[..., ::-1] if view.colour == "RGB" else view.image
            self._newest[camera] = PreviewFrame(
                info.incarnation,
                info.sequence,
                info.capture_utc_ns,
                pixels.copy(),
                *_split(results),
            )

    def _shows_results(self, camera: str, info: FrameInfo) -> bool:
        """Whether what is shown has results, and is not too old for them at *info*'s capture."""
        newest = self._newest.get(camera)
        if newest is None or not (newest.detections or newest.measurements):
            return False
        return 0 <= info.capture_utc_ns - newest.capture_utc_ns < _RESULTS_STAY_NS

    def close(self) -> None:
        with self._lock:
            self._watchers.clear()
            self._newest.clear()


def _split(results: Sequence[Delivery]) -> tuple[Mapping[str, Detections], Mapping[str, Any]]:
    detections: dict[str, Detections] = {}
    others: dict[str, Any] = {}
    for delivery in results:
        for name, value in (delivery.values or {}).items():
            key = f"{delivery.record.app}.{name}"
            if isinstance(value, Detections):
                detections[key] = value
            else:
                others[key] = (delivery.record.outputs or {})[name]
    return detections, others
