"""Plots of plans: cost against what one may choose, and how full each machine is."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from edgesdk.errors import UsageError

if TYPE_CHECKING:
    from edgesdk.planner.plan import Plan
    from edgesdk.planner.problem import Problem
    from edgesdk.planner.what_if import Answer

__all__ = ["draw_plan", "draw_what_if"]


def draw_what_if(folder: Path, curves: Mapping[str, Sequence[Answer]]) -> list[Path]:
    """A file for each curve that has points; raises UsageError where it cannot be written."""
    pyplot = _pyplot()
    made = []
    for title, answers in curves.items():
        points = [(a.x, a.usd_per_hour, a.lower_bound_usd_per_hour) for a in answers]
        there = sorted((x, y, b) for x, y, b in points if y is not None and b is not None)
        if not there:
            continue
        figure, axes = pyplot.subplots(figsize=(6, 4))
        axes.plot([x for x, _, _ in there], [y for _, y, _ in there], "o-", label="plan")
        axes.plot([x for x, _, _ in there], [b for _, _, b in there], ":", label="lower bound")
        axes.set_xlabel(title)
        axes.set_ylabel("dollars an hour")
        axes.set_ylim(bottom=0)
        axes.grid(alpha=0.3)
        axes.legend(loc="best")
        name = re.sub(r"[^a-z]+", "-", title.partition(",")[0].lower()).strip("-")
        made.append(_saved(figure, folder, f"cost-{name}.png"))
    return made


def draw_plan(folder: Path, problem: Problem, plan: Plan) -> list[Path]:
    """Cost by type, and the use of each resource of each machine, as in the paper's figures."""
    pyplot = _pyplot()
    types = {m.name: m for m in problem.machines}
    counts = plan.instances()
    figure, axes = pyplot.subplots(figsize=(max(6.0, 0.8 * len(counts)), 4))
    prices = [count * types[name].microusd / 1e6 for name, count in counts.items()]
    bars = axes.bar([f"{count} x {name}" for name, count in counts.items()], prices, width=0.6)
    axes.bar_label(bars, [f"${price:.3f}" for price in prices], padding=2)
    axes.margins(x=max(0.05, 0.6 - 0.2 * len(counts)), y=0.12)
    axes.set_ylabel("dollars an hour")
    axes.set_title(f"${plan.usd_per_hour:.3f} an hour on {len(plan.machines)} machines")
    pyplot.setp(axes.get_xticklabels(), rotation=20, ha="right", rotation_mode="anchor")
    made = [_saved(figure, folder, "plan-cost.png")]
    count = len(problem.resources)
    figure, rows = pyplot.subplots(count, 1, figsize=(8, 2.4 * count), squeeze=False, sharex=True)
    shares = _shares(problem, plan)
    places = range(1, len(shares) + 1)
    for index, resource in enumerate(problem.resources):
        axes = rows[index][0]
        # A gap between bars, where there is room for one.
        axes.bar(places, [share[index] for share in shares], width=0.8 if len(shares) < 60 else 1.0)
        if not resource.whole:
            axes.axhline(problem.target_ppm / 1e4, color="black", linewidth=0.8, linestyle="--")
        axes.set_ylabel(f"{resource.name}, %")
        axes.set_ylim(0, 105)
        axes.xaxis.get_major_locator().set_params(integer=True)
    rows[0][0].set_title(
        f"use of each machine; dashed: the target of {problem.target_ppm / 1e4:g} %"
    )
    rows[-1][0].set_xlabel(f"machines, in one order: by {problem.resources[0].name}")
    return [*made, _saved(figure, folder, "plan-utilisation.png")]


def _shares(problem: Problem, plan: Plan) -> list[list[float]]:
    """Percent of each resource that each machine uses, the fullest in the first resource first."""
    types = {m.name: m for m in problem.machines}
    classes = {c.name: c for c in problem.classes}
    found = []
    for machine in plan.machines:
        kind = types[machine.type]
        loads = {load for c in machine.streams for load in classes[c].loads}
        found.append(
            [
                100
                * (
                    sum(n * classes[c].needs_at(kind)[index] for c, n in machine.streams.items())
                    + sum(problem.loads[load][index] for load in loads)
                )
                / max(kind.capacity[index], 1)
                for index in range(len(problem.resources))
            ]
        )
    return sorted(found, reverse=True)


def _pyplot() -> Any:
    try:
        import matplotlib
    except ModuleNotFoundError:
        raise UsageError(
            "plots need matplotlib: pip install 'edgesdk[plots]', or leave --plot out"
        ) from None
    matplotlib.use("agg")
    from matplotlib import pyplot

    return pyplot


def _saved(figure: Any, folder: Path, name: str) -> Path:
    path = folder / name
    try:
        folder.mkdir(parents=True, exist_ok=True)
        figure.savefig(path, dpi=130, bbox_inches="tight")
    except OSError as error:
        raise UsageError(f"--plot {path}: {error.strerror}") from None
    _pyplot().close(figure)
    return path
