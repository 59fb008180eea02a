"""The reference cluster's accelerators and models, and what the pool of them can do at most."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from hashlib import blake2b

from edgesdk.sim.linear import maximise

__all__ = ["BATCH", "CLASSES", "MODELS", "DeviceClass", "ModelSpec", "Pool", "Service"]

BATCH = 8
"""Frames of the largest batch."""
_MS = 1_000_000


@dataclass(frozen=True, slots=True)
class DeviceClass:
    """An accelerator's service law: s(b) = slowdown x base x (overlap + (1 - overlap) b)."""

    name: str
    share: float
    slowdown: float
    heavy_slowdown: float
    """For the two slowest models."""
    overlap: float
    slots: int
    """Models it holds at most."""


@dataclass(frozen=True, slots=True)
class ModelSpec:
    base_ns: int
    load_ns: int
    popularity: float
    heavy: bool
    number: int
    """The 64 bits by which nodes call it."""


CLASSES = (
    DeviceClass("orin-nano", 0.20, 1.0, 1.0, 0.40, 4),
    DeviceClass("n100", 0.25, 2.5, 2.5, 0.25, 3),
    DeviceClass("coral", 0.25, 2.0, 4.0, 0.05, 1),
    DeviceClass("pi5", 0.30, 6.0, 6.0, 0.05, 2),
)


def _models() -> tuple[ModelSpec, ...]:
    bases, loads = (20, 12, 15, 25, 40, 20), (10, 5, 6, 8, 14, 10)
    popularity = (0.30, 0.22, 0.17, 0.13, 0.10, 0.08)
    # The second six are twins that nobody runs before a shift.
    return tuple(
        ModelSpec(
            base * _MS,
            load * 1000 * _MS,
            popular,
            base >= 25,
            int.from_bytes(blake2b(b"reference model %d" % index, digest_size=8).digest(), "big"),
        )
        for index, (base, load, popular) in enumerate(
            zip(bases * 2, loads * 2, (*popularity, *[0.0] * 6), strict=True)
        )
    )


MODELS = _models()
KINDS = len(MODELS) // 2
"""Models that cameras run from the start."""


class Service:
    """What a batch takes, by class and model, with all times scaled alike."""

    def __init__(self, scale: float) -> None:
        self.scale = scale
        self.costs: list[list[tuple[int, ...]]] = [
            [tuple(_cost(kind, model, b, scale) for b in range(1, BATCH + 1)) for model in MODELS]
            for kind in CLASSES
        ]
        """ns, by class, model and frames - 1."""


def _cost(kind: DeviceClass, model: ModelSpec, frames: int, scale: float) -> int:
    slowdown = kind.heavy_slowdown if model.heavy else kind.slowdown
    law = kind.overlap + (1 - kind.overlap) * frames
    return round(scale * slowdown * model.base_ns * law)


class Pool:
    """All accelerators as one fluid machine: every model everywhere, full batches, no network.

    *rate* is the most frames a second it serves of the given mix of models (a linear programme:
    time of each class on each model), at scale 1. *prices*, the programme's dual, say what share
    of the pool a second of a class is worth: work priced by them can never exceed one pool, which
    makes the bound of :mod:`edgesdk.sim.fluid` hold for every policy.
    """

    def __init__(self, counts: Sequence[int], mix: Sequence[float]) -> None:
        unit = Service(1.0)
        kinds = [k for k, count in enumerate(counts) if count]
        models = [m for m, part in enumerate(mix) if part > 0]
        columns = [(k, m) for k in kinds for m in models]
        rows = [[1.0 if kind == k else 0.0 for kind, _ in columns] + [0.0] for k in kinds]
        for m in models:
            served = [
                -(BATCH * 1e9 / unit.costs[k][model][-1]) if model == m else 0.0
                for k, model in columns
            ]
            rows.append([*served, mix[m]])
        limits = [float(counts[k]) for k in kinds] + [0.0] * len(models)
        goal = [0.0] * len(columns) + [1.0]
        self.rate, dual = maximise(goal, rows, limits)
        worth = dict(zip(kinds, dual, strict=False))
        self.prices = [worth.get(k, 0.0) / self.rate for k in range(len(CLASSES))]
