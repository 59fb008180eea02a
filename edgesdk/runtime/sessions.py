"""Models made ready: the best backend for each card, loaded once for all applications."""

from __future__ import annotations

import logging
import os
import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import accumulate
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from edgesdk.errors import BackendError, BackendUnavailable, EdgeError, ModelError
from edgesdk.inference import (
    ArtefactStore,
    Backend,
    BackendEntry,
    IOSpec,
    LoadOptions,
    Session,
    batching,
    discover,
)
from edgesdk.models.card import ModelCard
from edgesdk.models.codec import Codec
from edgesdk.models.encoding import Shrunk
from edgesdk.models.schema import Variant
from edgesdk.runtime.execution import Execution
from edgesdk.runtime.speeds import Speeds

__all__ = ["KnownModel", "LoadedModel", "Picture", "Sessions"]

log = logging.getLogger(__name__)

Progress = Callable[[float, str], None]

# A larger batch is used where it makes an item at least this much cheaper than the next smaller.
_WORTH = 0.95


class Picture(NamedTuple):
    """What a model is shown: *box* (x1, y1, x2, y2, pixels) of *image*, or all of it.

    image: uint8 ``[h, w, 3]`` in the order of *colour*, or ``[h, w]`` for GRAY.
    """

    image: NDArray[np.uint8]
    colour: str
    box: tuple[float, float, float, float] | None = None


@dataclass(frozen=True, eq=False)
class KnownModel:
    """One variant of a card, with what makes pictures for it; a session may be elsewhere.

    Thread-safe.
    """

    card: ModelCard
    variant: Variant
    fingerprint: str
    codec: Codec

    @property
    def digest(self) -> str:
        """Of its card."""
        return self.card.digest

    @property
    def name(self) -> str:
        """Of its card."""
        return self.card.name

    @property
    def travels(self) -> bool:
        return True

    @classmethod
    def of(cls, card: ModelCard) -> KnownModel:
        """*card* without a session: by the first of its variants whose file is here, or the first.

        :raises CardError: the card lacks what only the file says.
        """
        present = (variant for variant in card.variants if card.is_present(variant))
        variant = next(present, card.variants[0])
        known = bool(variant.sha256) or card.is_present(variant)
        return cls(card, variant, card.sha256_of(variant) if known else "", Codec(card, variant))


class _Parts(NamedTuple):
    """Inputs or outputs of several inferences that stand for one batch."""

    each: Sequence[Any]


@dataclass(frozen=True, eq=False)
class LoadedModel(KnownModel):
    """One variant of a card in one session. Thread-safe.

    *equal_batches*: those of *batches* whose rows are, bit by bit, what each picture gives alone.
    """

    session: Session
    spec: IOSpec
    batches: tuple[int, ...]
    costs_ns: tuple[int, ...]
    hardware: str = ""
    equal_batches: tuple[int, ...] = (1,)

    @property
    def runs_on(self) -> str:
        return self.spec.device

    @property
    def settled(self) -> bool:
        return True  # it was warmed

    @cached_property
    def max_batch(self) -> int:
        return self.batches[-1]

    def execution(self, node: str = "") -> Execution:
        """What this session is, on the node of that name."""
        spec = self.spec
        return Execution(
            node=node,
            model=self.fingerprint,
            backend=spec.backend,
            backend_version=spec.backend_version,
            device=spec.device,
            executed_on=spec.executed_on,
            hardware=self.hardware,
            precision=spec.precision,
            evidence=spec.evidence,
        )

    def encode(
        self, pictures: Sequence[Picture | Shrunk], *, exact: bool = False
    ) -> tuple[Any, Sequence[Any]]:
        """What :meth:`infer` takes for all pictures, and what :meth:`decode` does: the inputs of
        the smallest batch that holds them, and their geometries.

        exact: whatever is beside a picture in the batch, its values are the same bytes; so they
        may have to run in several batches.
        """
        sizes = self.equal_batches if exact else self.batches
        most = sizes[-1]
        if len(pictures) <= most:
            return self._together(pictures, sizes)
        parts = [
            self._together(pictures[first : first + most], sizes)
            for first in range(0, len(pictures), most)
        ]
        return _Parts([inputs for inputs, _ in parts]), [found for _, found in parts]

    def _together(
        self, pictures: Sequence[Picture | Shrunk], sizes: Sequence[int]
    ) -> tuple[Any, Sequence[Any]]:
        return self.codec.encode(pictures, next(size for size in sizes if size >= len(pictures)))

    def infer(self, inputs: Any, ready_ns: int = 0) -> Any:
        """*ready_ns*: since when the batch could have run; accelerators that are emulated ask."""
        if isinstance(inputs, _Parts):
            return _Parts([self.session.infer(each) for each in inputs.each])
        return self.session.infer(inputs)

    def decode(
        self,
        outputs: Any,
        geometries: Sequence[Any],
        options: tuple[tuple[str, Any], ...],
    ) -> Sequence[Any]:
        if isinstance(outputs, _Parts):
            return [
                value
                for part, placed in zip(outputs.each, geometries, strict=True)
                for value in self.codec.decode(part, placed, **dict(options))
            ]
        return self.codec.decode(outputs, geometries, **dict(options))


class Sessions:
    """Every model of a node, by its card's digest. *speeds* is the file of what was timed."""

    def __init__(
        self,
        *,
        threads: int = 0,
        backends: Sequence[str] = (),
        store: ArtefactStore | None = None,
        speeds: Path | None = None,
    ) -> None:
        self._threads = threads or len(os.sched_getaffinity(0))
        self._preferred = tuple(backends)
        self._store = store
        self._speeds = Speeds(speeds or Path(os.devnull))
        self._loaded: dict[str, LoadedModel] = {}

    def load(
        self,
        card: ModelCard,
        *,
        batches: Sequence[int] = (1,),
        progress: Progress | None = None,
        cancel: threading.Event | None = None,
    ) -> LoadedModel:
        """The session of *card*; the second call for one card returns the first one's.

        With several ways to run it (variants, backends) each is loaded and timed, and the fastest
        is kept; what was timed before is not timed again. Raises ModelError or BackendError that
        says what was tried and why it failed.
        """
        if card.digest in self._loaded:
            return self._loaded[card.digest]
        refusals: list[str] = []
        errors: list[EdgeError] = []
        best: LoadedModel | None = None
        candidates, timed = self._by_speed(card, self._candidates(card, refusals))
        for variant, backend in candidates:
            try:
                found = self._open(card, variant, backend, batches, progress, cancel)
            except (ModelError, BackendError) as error:
                refusals.append(f"{backend.name}: {error}")
                errors.append(error)
                continue
            self._speeds.put(self._speed_key(card, variant, backend), found.costs_ns[0])
            if best is None:
                best = found
            else:
                slower, best = sorted((best, found), key=lambda m: -m.costs_ns[0])
                slower.session.unload()
            if timed or self._preferred:
                break
        if best is None:
            raise _nothing_runs(card, refusals, errors)
        self._loaded[card.digest] = best
        return best

    def _by_speed(
        self, card: ModelCard, candidates: list[tuple[Variant, Backend]]
    ) -> tuple[list[tuple[Variant, Backend]], bool]:
        """The fastest first, and whether all of them were timed before."""
        known = {id(c): self._speeds.get(self._speed_key(card, *c)) for c in candidates}
        if self._preferred or any(ns is None for ns in known.values()):
            return candidates, False
        return sorted(candidates, key=lambda c: known[id(c)] or 0), True

    def _speed_key(self, card: ModelCard, variant: Variant, backend: Backend) -> str:
        version = backend.probe().version
        return f"{card.sha256_of(variant)} {backend.name} {version} {self._threads}"

    def loaded(self) -> list[LoadedModel]:
        return list(self._loaded.values())

    def unload(self, digest: str) -> None:
        """Unloads the model of the card *digest*, if it is here, after the inferences in flight."""
        model = self._loaded.pop(digest, None)
        if model is not None:
            model.session.unload()

    def close(self) -> None:
        """Unloads every session; idempotent."""
        while self._loaded:
            _, model = self._loaded.popitem()
            model.session.unload()

    def _candidates(self, card: ModelCard, refusals: list[str]) -> list[tuple[Variant, Backend]]:
        entries = discover()
        if self._preferred:
            known = {entry.name: entry for entry in entries}
            missing = [name for name in self._preferred if name not in known]
            refusals += [f"{name}: no such backend is installed" for name in missing]
            entries = [known[name] for name in self._preferred if name in known]
        found: list[tuple[Variant, Backend]] = []
        for entry in entries:
            for variant in card.variants:
                named = (variant.backend,) if isinstance(variant.backend, str) else variant.backend
                if entry.name not in named:
                    continue
                why_not = _refusal(entry)
                if why_not:
                    refusals.append(f"{entry.name}: {why_not}")
                elif not card.is_present(variant):
                    refusals.append(f"{entry.name}: {card.file_of(variant)} is not there")
                elif entry.backend is not None:
                    found.append((variant, entry.backend))
        if not found and not refusals:
            wanted = sorted({str(v.backend) for v in card.variants})
            refusals.append(f"its variants are for {', '.join(wanted)}")
        return found

    def _open(
        self,
        card: ModelCard,
        variant: Variant,
        backend: Backend,
        batches: Sequence[int],
        progress: Progress | None,
        cancel: threading.Event | None,
    ) -> LoadedModel:
        file = card.model_file(variant)
        found = backend.devices()[0]
        device = found.name
        support = backend.supports(file, device)
        if not support:
            raise BackendError(support.reason, backend=backend.name, device=device)
        # As the runtime itself would run it: on CPUs with bfloat16 OpenVINO's default is half again
        # as fast as float32, and provenance tells which it was.
        options = LoadOptions(
            threads=self._threads, batches=tuple(batches), precision="fast", store=self._store
        )
        codec = Codec(card, variant)
        artifact = backend.prepare(file, device, options, progress, cancel)
        session = backend.load(artifact, device, options)
        try:
            costs = session.warm()
            sizes = _worthwhile(costs)
            # A card that does not fit its model is told now, and not at each frame.
            spec = session.describe()
            codec.bind({output.name: output for output in spec.outputs})
            return LoadedModel(
                card,
                variant,
                card.sha256_of(variant),
                codec,
                session,
                spec,
                sizes,
                _cost_by_items(costs, sizes),
                found.full_name,
                _equal(session, spec, sizes),
            )
        except BaseException:
            session.unload()
            raise


def _nothing_runs(
    card: ModelCard, refusals: Sequence[str], errors: Sequence[EdgeError]
) -> EdgeError:
    """One error for all ways that were tried; one way that failed keeps its own error."""
    if len(refusals) == len(errors) == 1:
        return errors[0]
    message = f"no backend runs model {card.name!r}: " + "; ".join(refusals)
    wrong = next((error for error in errors if isinstance(error, ModelError)), None)
    if wrong is not None:
        return type(wrong)(message)
    return BackendUnavailable(message + "; see: edgesdk doctor", reason="package")


def _refusal(entry: BackendEntry) -> str:
    probe = entry.probe()
    if probe.available:
        return ""
    return f"{probe.reason}: {probe.detail}" + (f"; {probe.next_step}" if probe.next_step else "")


def _worthwhile(costs: Mapping[int, int]) -> tuple[int, ...]:
    """Batch sizes that make an item cheaper: on a CPU, often none does."""
    sizes = [1]
    for size in sorted(costs):
        if size > 1 and costs[size] / size < _WORTH * costs[sizes[-1]] / sizes[-1]:
            sizes.append(size)
    return tuple(sizes)


def _equal(session: Session, spec: IOSpec, sizes: Sequence[int]) -> tuple[int, ...]:
    """Those of *sizes* that make no difference to any bit: the runtime may use other kernels."""
    run = session.infer
    return tuple(
        size
        for size in sizes
        if size == 1 or batching.agrees(spec.inputs, run, run, size, np.array_equal)
    )


def _cost_by_items(costs: Mapping[int, int], sizes: Sequence[int]) -> tuple[int, ...]:
    """Cost of 1, 2, ... items: that of the smallest batch that holds them, never falling."""
    each = [next(size for size in sizes if size >= items) for items in range(1, sizes[-1] + 1)]
    return tuple(accumulate((max(1, costs[size]) for size in each), max))
