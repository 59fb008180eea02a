"""``edgesdk plan FILE --what-if``: what would change the bill, and by how much."""

from __future__ import annotations

import math
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from edgesdk.planner.plan_entries import PlanInput
    from edgesdk.planner.plan_file import Estimator
    from edgesdk.planner.problem import Problem
    from edgesdk.planner.what_if_document import AnswerEntry, WhatIfDocument

__all__ = ["show_what_if"]

_RATES = (0.25, 0.5, 0.75, 1.0, 1.25, 1.5, 2.0)
_CAPS = (0.5, 0.6, 0.7, 0.8, 0.9, 1.0)
_SIZES = (0.5, 0.75, 1.0, 1.25, 1.5, 2.0)
_GOODPUTS = (1.0, 0.99, 0.95, 0.9, 0.8, 0.7)


def show_what_if(
    problem: Problem,
    given: PlanInput | None,
    *,
    estimate: Estimator | None,
    plot: Path | None,
    as_json: bool,
    told: Callable[[str], None],
) -> None:
    """Answers every question for *problem*; *given* is its file, where that states frame rates.

    Raises UsageError where *plot* cannot be written or matplotlib is not there.
    """
    from edgesdk.records import encode_line

    document = _answered(problem, given, estimate, plot, told)
    told("")
    if as_json:
        sys.stdout.buffer.write(encode_line(document))
        sys.stdout.flush()
    else:
        _print(document)


def _answered(
    problem: Problem,
    given: PlanInput | None,
    estimate: Estimator | None,
    plot: Path | None,
    told: Callable[[str], None],
) -> WhatIfDocument:
    from edgesdk.planner import what_if
    from edgesdk.planner.what_if_document import (
        AnswerEntry,
        DegradedEntry,
        UpgradeEntry,
        WhatIfDocument,
    )

    began = time.monotonic()
    clock = time.monotonic
    has_rates = given is not None and any(s.fps for s in given.streams.values())
    told("cost against frame rate")
    rates = what_if.cost_of_rates(given, _RATES, clock, estimate) if given and has_rates else []
    told("cost against how full machines are planned")
    caps = what_if.cost_of_caps(problem, _CAPS, clock)
    told("cost against the number of streams")
    sizes = what_if.cost_of_sizes(problem, _SIZES, clock)
    told("the cheapest fleet for a goodput")
    goodputs = what_if.cost_of_goodputs(problem, _GOODPUTS, clock)
    told("what to upgrade first")
    upgrades = what_if.upgrades(problem, clock)
    plots: Sequence[Path] = ()
    if plot is not None:
        from edgesdk.cli.plan_plots import draw_what_if

        curves = {
            "frame rate, times what is wanted": rates,
            "share to which machines are filled": caps,
            "streams, times what there are": sizes,
            "goodput": [d.answer for d in goodputs],
        }
        plots = draw_what_if(plot, curves)
    return WhatIfDocument(
        rates=tuple(AnswerEntry(**asdict(a)) for a in rates),
        caps=tuple(AnswerEntry(**asdict(a)) for a in caps),
        sizes=tuple(AnswerEntry(**asdict(a)) for a in sizes),
        goodputs=tuple(
            DegradedEntry(**asdict(d.answer), left_out=dict(d.left_out)) for d in goodputs
        ),
        upgrades=tuple(
            UpgradeEntry(
                type=u.type,
                usd_per_hour=u.usd_per_hour,
                saves_usd_per_hour=u.saves_usd_per_hour
                if math.isfinite(u.saves_usd_per_hour)
                else None,
            )
            for u in upgrades
        ),
        plots=tuple(str(path) for path in plots),
        seconds=round(time.monotonic() - began, 3),
    )


def _print(document: WhatIfDocument) -> None:
    if document.rates:
        _curve("frame rates, times what is wanted", document.rates)
    _curve("machines planned to be this full", document.caps)
    _curve("streams, times what there are", document.sizes)
    _curve("share of the streams that is enough", document.goodputs)
    for degraded in document.goodputs:
        if degraded.left_out:
            named = ", ".join(f"{count} of {name}" for name, count in degraded.left_out.items())
            print(f"  at {degraded.x:g} not served: {named}")
    if document.upgrades:
        print("one machine with twice the capacity")
    for upgrade in document.upgrades:
        if upgrade.usd_per_hour is None:
            print(f"  {upgrade.type}: still no plan")
        elif upgrade.saves_usd_per_hour is None:
            print(f"  {upgrade.type}: makes a plan possible, ${upgrade.usd_per_hour:.3f} an hour")
        else:
            print(f"  {upgrade.type}: saves ${upgrade.saves_usd_per_hour:.3f} an hour")


def _curve(title: str, answers: Sequence[AnswerEntry]) -> None:
    print(title)
    for answer in answers:
        if answer.usd_per_hour is None or answer.lower_bound_usd_per_hour is None:
            print(f"  {answer.x:<6g} no plan: {answer.why.splitlines()[0]}")
        else:
            print(
                f"  {answer.x:<6g} ${answer.usd_per_hour:.3f} an hour on {answer.machines} machines"
                f" (no less than ${answer.lower_bound_usd_per_hour:.3f})"
            )
