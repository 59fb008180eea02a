"""A day of the paper's third scenario: what 5,310 streams need, minute by minute.

Drawn once from a seed; every policy sees the same day. CPU of each class follows the hour of its
cameras' zone, from 0.35 of the reconstructed need at night to all of it at its busiest; each stream
has noise of its own; now and then a twentieth of all streams needs 60 % more for ten minutes.
Memory is constant.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

__all__ = ["Day", "DaySettings", "StreamKind"]

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
Bools = NDArray[np.bool_]

MINUTES = 24 * 60


@dataclass(frozen=True)
class StreamKind:
    """A class of streams at its busiest. cpu in cores, memory in GB; *busiest*: hour of day."""

    program: str
    name: str
    count: int
    cpu: float
    memory: float
    fps: float
    pixels: int
    stateless: bool
    busiest: float


@dataclass(frozen=True)
class DaySettings:
    """What a day is made of; *zones* are hours by which cameras' local time is ahead."""

    zones: tuple[float, ...] = (0.0, 6.0, 12.0, 18.0)
    quiet: float = 0.35
    noise: float = 0.05
    bursts: int = 20
    burst_streams: float = 0.05
    burst_gain: float = 1.6
    burst_minutes: int = 10
    turnover_an_hour: float = 0.02
    losses: int = 3


@dataclass(eq=False)
class Day:
    """The day of *kinds* under *settings* from *seed*.

    Streams are slots 0 to ``len(kind)``; a slot runs from minute *arrives* to before *leaves*.
    """

    kinds: tuple[StreamKind, ...]
    seed: int = 0
    settings: DaySettings = field(default_factory=DaySettings)

    def __post_init__(self) -> None:
        rng = np.random.default_rng([self.seed, 0])
        settings = self.settings
        first = np.repeat(np.arange(len(self.kinds)), [k.count for k in self.kinds])
        later, arrives = self._arrivals(rng, first)
        self.kind: Ints = np.concatenate([first, later])
        count = len(self.kind)
        self.zone: Ints = rng.integers(len(settings.zones), size=count)
        self.arrives: Ints = np.concatenate([np.zeros(len(first), np.int64), arrives])
        self.leaves: Ints = self._departures(rng, count)
        starts = np.sort(rng.integers(MINUTES - settings.burst_minutes, size=settings.bursts))
        self.bursts: list[tuple[int, Bools]] = [
            (int(start), rng.random(count) < settings.burst_streams) for start in starts
        ]
        self.losses: Ints = np.sort(rng.integers(60, MINUTES - 60, size=settings.losses))
        self.loss_draws: Floats = rng.random(settings.losses)
        self.memory: Floats = np.array([k.memory for k in self.kinds])[self.kind]
        self._cpu = np.array([k.cpu for k in self.kinds])[self.kind]
        self._offset = np.array(settings.zones)[self.zone]
        self._busiest = np.array([k.busiest for k in self.kinds])[self.kind]

    def active(self, minute: int) -> Bools:
        return (self.arrives <= minute) & (minute < self.leaves)

    def mean_cpu(self, minute: float) -> Floats:
        """Each stream's CPU without noise and bursts, cores."""
        hour = minute / 60.0 + self._offset - self._busiest
        swing = 0.5 + 0.5 * np.cos(2 * np.pi * hour / 24.0)
        cpu: Floats = self._cpu * (self.settings.quiet + (1 - self.settings.quiet) * swing)
        return cpu

    def cpu(self, minute: int) -> Floats:
        """Each stream's CPU in this minute, cores."""
        rng = np.random.default_rng([self.seed, 1, minute])
        noise = 1.0 + self.settings.noise * rng.standard_normal(len(self.kind))
        cpu = self.mean_cpu(minute) * np.maximum(noise, 0.0)
        for start, streams in self.bursts:
            if start <= minute < start + self.settings.burst_minutes:
                cpu = np.where(streams, cpu * self.settings.burst_gain, cpu)
        return cpu

    def peak(self) -> Floats:
        """The CPU of each stream's busiest hour, without noise and bursts."""
        return self._cpu

    def _arrivals(self, rng: np.random.Generator, first: Ints) -> tuple[Ints, Ints]:
        expected = len(first) * self.settings.turnover_an_hour * MINUTES / 60
        count = rng.poisson(expected)
        return rng.choice(first, size=count), np.sort(rng.integers(1, MINUTES, size=count))

    def _departures(self, rng: np.random.Generator, count: int) -> Ints:
        hours = rng.exponential(1.0 / max(self.settings.turnover_an_hour, 1e-9), size=count)
        stays = np.minimum(hours * 60, 10 * MINUTES).astype(np.int64) + 1
        return self.arrives + stays
