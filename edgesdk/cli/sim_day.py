"""``edgesdk sim --day``: a day of rented machines, policies side by side."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from edgesdk.errors import UsageError

if TYPE_CHECKING:
    from edgesdk.sim.day_report import DayDocument

__all__ = ["show_day"]

_MOST_ZONES = 24


def show_day(
    changes: dict[str, Any], zones: str, *, as_json: bool, told: Callable[[str], None]
) -> None:
    """Runs the day and prints it; *changes* are what else the command line said."""
    from edgesdk.records import encode_line
    from edgesdk.sim.day_report import day_report

    others = sorted(changes.keys() - {"seed"})
    if others:
        raise UsageError(f"--day has a workload of its own: {', '.join(others)} cannot be given")
    document = day_report(
        int(changes.get("seed", 1)), _hours(zones), clock=time.monotonic, told=told
    )
    told("")
    if as_json:
        sys.stdout.buffer.write(encode_line(document))
        sys.stdout.flush()
    else:
        _print(document)


def _hours(text: str) -> tuple[float, ...]:
    try:
        hours = tuple(float(part) for part in text.split(","))
    except ValueError:
        hours = ()
    if not 1 <= len(hours) <= _MOST_ZONES or not all(-24 <= hour <= 24 for hour in hours):
        raise UsageError(f"--zones {text!r}: expected 1 to 24 hours of -24 to 24, such as 0,6,12")
    return hours


def _print(day: DayDocument) -> None:
    print(
        f"24 h of the paper's scenario {day.scenario} (requirements reconstructed), {day.streams} "
        f"streams in zones {', '.join(f'{zone:+g}' for zone in day.zones)} h, seed {day.seed}"
    )
    print(f"a clairvoyant who plans each hour pays ${day.clairvoyant_usd:.2f} at least")
    print(
        f"{'policy':15}{'billing':9}{'$ a day':>9}{'static':>9}{'paper':>8}{'bound':>8}"
        f"{'eta':>8}{'> 90 %':>9}{'moves':>8}{'flaps':>7}{'boots':>7}"
    )
    for row in day.policies:
        print(
            f"{row.policy:15}{row.billing:9}{row.usd:9.2f}{0.0 - row.below_static:+9.1%}"
            f"{0.0 - row.below_paper:+8.1%}{row.over_clairvoyant:+8.1%}{min(row.eta.values()):8.4f}"
            f"{row.overloaded:9.2%}{row.migrations_a_stream:8.2f}{row.flapping:7}{row.boots:7}"
        )
    print(
        "static, paper, bound: cost against theirs; eta: of the worst program; > 90 %: share of "
        "machine-minutes; moves: a stream and day; flaps: moves within 30 min of the last"
    )
