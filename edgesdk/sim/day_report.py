"""``edgesdk sim --day``: policies side by side over one day of the paper's third scenario."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict
from typing import Annotated, Literal

import msgspec
import numpy as np

from edgesdk.planner.cam2 import builtin_scenarios
from edgesdk.planner.migration import MachineKind
from edgesdk.planner.packing import Clock
from edgesdk.planner.watch import Watcher, WatchSettings
from edgesdk.sim.day import DayResult, clairvoyant_usd, run_day
from edgesdk.sim.day_fleets import ffod_fleet, planned_fleet
from edgesdk.sim.day_policies import PaperRules, Static
from edgesdk.sim.day_world import Day, DaySettings, StreamKind

__all__ = ["DayDocument", "DayPolicy", "day_report"]

_SCENARIO = "3"
# The paper does not say so; a tracker and a background model have state, a detector on one frame
# and motion between two do not.
_STATELESS = {"HD", "ME"}
_BUSIEST_HOUR = {"ME": 14.0, "MOD": 15.0, "FT": 16.0, "HD": 13.0}
_SHARE = 0.9

Amount = Annotated[float, msgspec.Meta(ge=0)]
Count = Annotated[int, msgspec.Meta(ge=0)]


class DayPolicy(msgspec.Struct, frozen=True, kw_only=True):
    """What one policy did; see :class:`~edgesdk.sim.day.DayResult`.

    usd: a day, by the billing that the policy was told. below_static, below_paper and
    over_clairvoyant: as shares of those.
    """

    policy: str
    billing: Literal["second", "hour"]
    usd: Amount
    below_static: float
    below_paper: float
    over_clairvoyant: float
    eta: dict[str, float]
    overloaded: Amount
    migrations: Count
    migrations_a_stream: Amount
    flapping: Count
    restarts: Count
    boots: Count
    releases: Count
    machines_mean: Amount
    machines_most: Count


class DayDocument(msgspec.Struct, frozen=True, kw_only=True):
    """*requirements*: the vectors are reconstructed, the paper prints them in figures only."""

    schema: Literal[1] = 1
    command: Literal["sim-day"] = "sim-day"
    requirements: Literal["reconstructed"] = "reconstructed"
    scenario: str
    seed: int
    zones: tuple[float, ...]
    streams: Count
    clairvoyant_usd: Amount
    policies: tuple[DayPolicy, ...]
    seconds: Amount


def day_report(
    seed: int,
    zones: tuple[float, ...],
    *,
    clock: Clock,
    told: Callable[[str], None] = lambda words: None,
) -> DayDocument:
    """Runs every policy over the day of *seed*. Half a minute."""
    began = clock()
    day = Day(_streams(), seed=seed, settings=DaySettings(zones=zones))
    kinds = _kinds()
    active = day.active(0)
    now = day.mean_cpu(0)
    peak = np.column_stack([day.peak(), day.memory])
    told("clairvoyant bound")
    bound = clairvoyant_usd(day, kinds)
    told("static fleet for the peak")
    static = run_day(
        day, Static(kinds, peak), kinds, ffod_fleet(day, kinds, day.peak(), active, _SHARE)
    )
    told("the paper's rules")
    paper = run_day(day, PaperRules(kinds), kinds, ffod_fleet(day, kinds, now, active, _SHARE))
    rows = [("static FFOD", "second", static), ("static FFOD", "hour", static)]
    rows += [("paper's rules", "second", paper), ("paper's rules", "hour", paper)]
    for billing, paid_s in (("second", 1.0), ("hour", 3600.0)):
        told(f"ours, billed by the {billing}")
        settings = WatchSettings(paid_s=paid_s)
        fleet = planned_fleet(day, kinds, now, active, (settings.fill, settings.brim), clock)
        rows.append(("ours", billing, run_day(day, Watcher(kinds, settings), kinds, fleet)))
    bases = {"second": (_usd(static, "second"), _usd(paper, "second")),
             "hour": (_usd(static, "hour"), _usd(paper, "hour"))}  # fmt: skip
    return DayDocument(
        scenario=_SCENARIO,
        seed=seed,
        zones=zones,
        streams=int(active.sum()),
        clairvoyant_usd=bound,
        policies=tuple(_row(name, billing, r, bases[billing], bound) for name, billing, r in rows),
        seconds=clock() - began,
    )


def _usd(result: DayResult, billing: str) -> float:
    return result.usd_per_second_billing if billing == "second" else result.usd_hourly_billing


def _row(
    name: str, billing: str, result: DayResult, bases: tuple[float, float], bound: float
) -> DayPolicy:
    usd = _usd(result, billing)
    figures = asdict(result)
    del figures["usd_per_second_billing"], figures["usd_hourly_billing"]
    return DayPolicy(
        policy=name,
        billing="second" if billing == "second" else "hour",
        usd=usd,
        below_static=1 - usd / bases[0],
        below_paper=1 - usd / bases[1],
        over_clairvoyant=usd / bound - 1,
        **figures,
    )


def _streams() -> tuple[StreamKind, ...]:
    found = []
    for one in builtin_scenarios().scenarios[_SCENARIO].classes:
        width, _, height = one.resolution.partition("x")
        found.append(
            StreamKind(
                program=one.program,
                name=f"{one.program}@{one.resolution}",
                count=one.streams,
                cpu=one.cpu_microcores / 1e6,
                memory=one.mem_kb / 1e6,
                fps=one.fps,
                pixels=int(width) * int(height),
                stateless=one.program in _STATELESS,
                busiest=_BUSIEST_HOUR[one.program],
            )
        )
    return tuple(found)


def _kinds() -> tuple[MachineKind, ...]:
    scenarios = builtin_scenarios()
    allowed = scenarios.scenarios[_SCENARIO].types
    return tuple(
        MachineKind(kind.name, (float(kind.cores), float(kind.mem_gb)), kind.usd_per_hour)
        for kind in scenarios.instance_types
        if kind.name in allowed
    )
