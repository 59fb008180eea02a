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
        axes.legend()
        name = re.sub(r"[^a-z]+", "-", title.partition(",")[0].lower()).strip("-")
        made.append(_saved(figure, folder, f"cost-{name}.png"))
    return made


def draw_plan(folder: Path, problem: Problem, plan: Plan) -> list[Path]:
    """Cost by type, and the use of each resource of each machine, as in the paper's figures."""
    pyplot = _pyplot()
    types = {m.name: m for m in problem.machines}
    classes = {c.name: c for c in problem.classes}
    counts = plan.instances()
    figure, axes = pyplot.subplots(figsize=(6, 4))
    prices = [count * types[name].microusd / 1e6 for name, count in counts.items()]
    axes.bar([f"{count} x {name}" for name, count in counts.items()], prices)
    axes.set_ylabel("dollars an hour")
    axes.tick_params(axis="x", rotation=20)
    made = [_saved(figure, folder, "plan-cost.png")]
    figure, rows = pyplot.subplots(
        len(problem.resources), 1, figsize=(8, 2.4 * len(problem.resources)), squeeze=False
    )
    for index, resource in enumerate(problem.resources):
        shares = []
        for machine in plan.machines:
            kind = types[machine.type]
            used = sum(n * classes[c].needs_at(kind)[index] for c, n in machine.streams.items())
            loads = {load for c in machine.streams for load in classes[c].loads}
            used += sum(problem.loads[load][index] for load in loads)
            shares.append(100 * used / max(kind.capacity[index], 1))
        axes = rows[index][0]
        axes.bar(range(1, len(shares) + 1), sorted(shares, reverse=True), width=1.0)
        axes.axhline(problem.target_ppm / 1e4, color="black", linewidth=0.8, linestyle="--")
        axes.set_ylabel(f"{resource.name}, %")
        axes.set_ylim(0, 100)
    rows[-1][0].set_xlabel("machines, the fullest first; dashed: the target")
    return [*made, _saved(figure, folder, "plan-utilisation.png")]


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
