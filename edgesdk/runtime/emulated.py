"""A stand-in for an accelerator that is not there: real results, at the stated service times.

One device runs one batch at a time. A batch of *b* items completes at max(when it was there, when
the one before completes) + base * (overlap + (1 - overlap) * b): an absolute schedule, so that what
this machine adds (decoding, switching threads) does not add up. What it cannot keep, it measures:
``overshoot``. Whatever it ran says ``"evidence": "stand-in"``.
"""

from __future__ import annotations

import select
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from edgesdk.config import EmulatedConfig, EmulatedModel
from edgesdk.errors import BackendError, InferFailed
from edgesdk.inference import CheckedSession, IOSpec
from edgesdk.inference.protocol import Tensors
from edgesdk.models.card import ModelCard
from edgesdk.models.encoding import Shrunk
from edgesdk.records import EmulatedTimes
from edgesdk.runtime.latency import Durations
from edgesdk.runtime.sessions import KnownModel, LoadedModel, Picture
from edgesdk.values import RawOutputs

__all__ = ["EmulatedDevice", "ServiceTimeOnly", "StandInModel", "TimesOnlyDevice"]

_BATCHES = tuple(range(1, 9))
_HANDING_OVER_NS = 20_000_000


def service_ns(stated: EmulatedModel, items: int) -> int:
    """What a batch of *items* takes on the device."""
    return round(stated.base * (stated.overlap + (1 - stated.overlap) * items))


class EmulatedDevice:
    """The device of one node, with its schedule. Thread-safe."""

    def __init__(self, config: EmulatedConfig) -> None:
        self.name = config.name
        self.device = f"emulated:{config.name}"
        self.residents = config.residents
        self._stated = config.models
        self._lock = threading.Lock()
        self._busy_until_ns = 0
        self._batches = 0
        self._overshoot = Durations()

    def states(self, card: ModelCard) -> EmulatedModel:
        """What is stated for *card*. Raises BackendError where nothing is."""
        found = self._stated.get(card.name)
        if found is None:
            raise BackendError(
                f"the emulated accelerator {self.name} states no service time for model "
                f"{card.name!r}: add [emulated.models.{card.name}] with its base",
                backend="emulated",
                device=self.name,
            )
        return found

    def load_ns(self, card: ModelCard) -> int:
        """What loading *card* takes on the device."""
        return int(self.states(card).load or 0)

    def costs_ns(self, card: ModelCard) -> tuple[int, ...]:
        """What batches of 1, 2, ... take. Raises BackendError where nothing is stated."""
        stated = self.states(card)
        return tuple(service_ns(stated, items) for items in _BATCHES)

    def stand_in(self, card: ModelCard, load: Callable[[], LoadedModel]) -> LoadedModel:
        """What runs *card* on the device; *load* gives the model that the results are of. Raises
        BackendError, and what *load* does."""
        self.states(card)
        return StandInModel.for_model(load(), self)

    def begin(self, service: int, ready_ns: int, now_ns: int) -> int:
        """Takes the device's next place for a batch that was there at *ready_ns*; when it ends.

        It begins when it could have, by as much as this machine needs to hand it over; if more
        time has passed, it was made to wait, and begins now.
        """
        with self._lock:
            start = max(self._busy_until_ns, ready_ns)
            if now_ns - start > _HANDING_OVER_NS:
                start = now_ns
            self._busy_until_ns = start + service
            return self._busy_until_ns

    def await_end(self, ends_ns: int) -> None:
        """Returns at *ends_ns*, or at once where that is past."""
        while (left := ends_ns - time.monotonic_ns()) > 0:
            # As exact as time.sleep, which libfaketime breaks: clocks that are off are tested so.
            select.select((), (), (), left / 1e9)
        late = time.monotonic_ns() - ends_ns
        with self._lock:
            self._batches += 1
            self._overshoot.add(late)

    def view(self) -> EmulatedTimes:
        """What it ran, and by how much this machine was late."""
        return EmulatedTimes(
            name=self.name,
            batches=self._batches,
            overshoot_p50_ms=self._overshoot.ms(0.5),
            overshoot_p99_ms=self._overshoot.ms(0.99),
        )


class TimesOnlyDevice(EmulatedDevice):
    """A device that loads no models: see :class:`ServiceTimeOnly`. Handed to a Node by hand."""

    def stand_in(self, card: ModelCard, load: Callable[[], LoadedModel]) -> LoadedModel:
        return ServiceTimeOnly.for_model(KnownModel.of(card), self)


@dataclass(frozen=True, eq=False)
class _Batch:
    """A batch of the device, as the model behind it takes it: in batches of its own."""

    parts: list[Any]
    items: int


@dataclass(frozen=True, eq=False, kw_only=True)
class _TimedModel(LoadedModel):
    """A model on *device*, where every batch up to eight is one batch. Thread-safe."""

    device: EmulatedDevice
    stated: EmulatedModel

    def infer(self, inputs: Any, ready_ns: int = 0) -> Any:
        service = service_ns(self.stated, inputs.items)
        now = time.monotonic_ns()
        ends = self.device.begin(service, ready_ns or now, now)
        try:
            return self._results(inputs)
        finally:
            self.device.await_end(ends)

    def _results(self, batch: _Batch) -> Any:
        raise NotImplementedError


@dataclass(frozen=True, eq=False, kw_only=True)
class StandInModel(_TimedModel):
    """A model whose results are real, *behind*'s, and whose times are the device's."""

    behind: LoadedModel

    @classmethod
    def for_model(cls, behind: LoadedModel, device: EmulatedDevice) -> StandInModel:
        """Raises BackendError where no service time is stated."""
        stated = device.states(behind.card)
        return cls(
            behind.card,
            behind.variant,
            behind.fingerprint,
            behind.codec,
            behind.session,
            replace(behind.spec, device=device.device, evidence="stand-in"),
            _BATCHES,
            device.costs_ns(behind.card),
            behind.hardware,
            behind.equal_batches,
            device=device,
            stated=stated,
            behind=behind,
        )

    def encode(
        self, pictures: Sequence[Picture | Shrunk], *, exact: bool = False
    ) -> tuple[Any, Sequence[Any]]:
        size = self.behind.max_batch
        parts = [
            self.behind.encode(pictures[first : first + size], exact=exact)
            for first in range(0, len(pictures), size)
        ]
        return _Batch([inputs for inputs, _ in parts], len(pictures)), [g for _, g in parts]

    def decode(
        self, outputs: Any, geometries: Sequence[Any], options: tuple[tuple[str, Any], ...]
    ) -> Sequence[Any]:
        return [
            value
            for part, placed in zip(outputs, geometries, strict=True)
            for value in self.behind.decode(part, placed, options)
        ]

    def _results(self, batch: _Batch) -> Any:
        return [self.behind.infer(part) for part in batch.parts]


@dataclass(frozen=True, eq=False, kw_only=True)
class ServiceTimeOnly(_TimedModel):
    """A device's times without any model, for measuring what is around one; no configuration
    makes it.

    Its values say so: RawOutputs ``{"stand_in": [service time of the batch in ns]}``, and nothing
    that could be taken for "nothing detected".
    """

    @classmethod
    def for_model(cls, known: KnownModel, device: EmulatedDevice) -> ServiceTimeOnly:
        """In the place of *known*. Raises BackendError where no service time is stated."""
        stated = device.states(known.card)
        spec = IOSpec(
            inputs=(),
            outputs=(),
            batches=_BATCHES,
            backend="none",
            backend_version="1",
            device=device.device,
            executed_on="no model: service time only",
            precision="none",
            threads=0,
            evidence="stand-in",
        )
        return cls(
            known.card,
            known.variant,
            known.fingerprint,
            known.codec,
            _NoSession(spec),
            spec,
            _BATCHES,
            device.costs_ns(known.card),
            device=device,
            stated=stated,
        )

    def encode(
        self, pictures: Sequence[Picture | Shrunk], *, exact: bool = False
    ) -> tuple[Any, Sequence[Any]]:
        return _Batch([], len(pictures)), [None] * len(pictures)

    def decode(
        self, outputs: Any, geometries: Sequence[Any], options: tuple[tuple[str, Any], ...]
    ) -> Sequence[Any]:
        return [RawOutputs({"stand_in": np.array([outputs], np.int64)}) for _ in geometries]

    def _results(self, batch: _Batch) -> Any:
        return service_ns(self.stated, batch.items)


class _NoSession(CheckedSession):
    def _run(self, inputs: Tensors, batch: int) -> Tensors:
        raise InferFailed("there is no model: this stand-in has service times only")

    def _release(self) -> None:
        """Nothing is held."""
