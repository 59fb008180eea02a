"""What the firmware is told: the results on its frames, in ring ``NAME.results``."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Mapping
from typing import Any

from edgesdk.core.results import ResultWriter
from edgesdk.errors import RingError
from edgesdk.runtime.outlet import Delivery
from edgesdk.values import Detections, Measurement

__all__ = ["ResultsRing"]

log = logging.getLogger(__name__)

_TRY_AGAIN_NS = 1_000_000_000


class ResultsRing:
    """Tells the app that publishes ring *ring*; it may come and go.

    *epoch_of* gives the ring's epoch of an incarnation. Of an application's outputs the first
    detections go along (tracks before untracked ones), and the first two numbers of its first
    measurement. Where the ring of results cannot be had, another agent answers there: that is
    said once, and tried again. Owned by the dispatcher.
    """

    def __init__(self, ring: str, camera: str, epoch_of: Callable[[int], int]) -> None:
        self._ring = ring
        self._camera = camera
        self._epoch_of = epoch_of
        self._writer: ResultWriter | None = None
        self._try_at_ns = 0
        self._told = False

    def tell(self, delivery: Delivery) -> None:
        """Publishes what became of a frame; never waits, never raises."""
        record = delivery.record
        if not self._open():
            return
        assert self._writer is not None
        try:
            self._writer.publish(
                record.sequence,
                record.captured.mono_ns,
                record.state,
                _detections(delivery.values or {}),
                epoch=max(0, self._epoch_of(record.incarnation)),
                measure=_measure(delivery.values or {}),
                application=record.app,
                camera=self._camera,
            )
        except RingError as error:
            log.debug("camera %s: a result was not told: %s", self._camera, error)

    def close(self) -> None:
        if self._writer is not None:
            self._writer.close()
            self._writer = None
        self._try_at_ns = time.monotonic_ns() + _TRY_AGAIN_NS

    def _open(self) -> bool:
        now = time.monotonic_ns()
        if self._writer is not None or now < self._try_at_ns:
            return self._writer is not None
        try:
            self._writer = ResultWriter(self._ring)
        except (RingError, OSError) as error:
            self._try_at_ns = now + _TRY_AGAIN_NS
            if not self._told:
                self._told = True
                log.warning("camera %s: %s; its firmware is not told", self._camera, error)
            return False
        self._told = False
        return True


def _detections(values: Mapping[str, Any]) -> Detections | None:
    found = [value for value in values.values() if isinstance(value, Detections)]
    return next((value for value in found if value.track_ids is not None), next(iter(found), None))


def _measure(values: Mapping[str, Any]) -> tuple[int, int]:
    for value in values.values():
        if isinstance(value, Measurement):
            first, second, *_ = *(n for n in value.fields.values() if type(n) is int), 0, 0
            return first, second
    return 0, 0
