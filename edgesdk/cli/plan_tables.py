"""Plans as tables for people."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

from rich.console import Console
from rich.table import Table

from edgesdk.planner.documents import PaperDocument, needs_sources, price_sources
from edgesdk.planner.plan import Plan
from edgesdk.planner.problem import Problem

if TYPE_CHECKING:
    from edgesdk.planner.incremental import Replan

__all__ = ["show_paper", "show_plan"]

_MOST_ROWS = 40


def show_plan(problem: Problem, plan: Plan, replanned: Replan | None = None) -> None:
    """The machines, equal ones on one line, and the cost with its bound."""
    console = Console()
    alike: Counter[tuple[str, tuple[tuple[str, int], ...]]] = Counter(
        (machine.type, tuple(sorted(machine.streams.items()))) for machine in plan.machines
    )
    table = Table(box=None, header_style="bold", pad_edge=False)
    table.add_column("machines", justify="right")
    table.add_column("type", no_wrap=True)
    table.add_column("streams on each")
    for (kind, streams), count in alike.most_common(_MOST_ROWS):
        table.add_row(str(count), kind, ", ".join(f"{n} {name}" for name, n in streams[:8]))
    console.print(table)
    if len(alike) > _MOST_ROWS:
        console.print(f"and {len(alike) - _MOST_ROWS} other loads; --json has every machine")
    counts = ", ".join(f"{n} {kind}" for kind, n in sorted(plan.instances().items()))
    console.print(
        f"{problem.streams():,} streams on {len(plan.machines):,} machines ({counts})",
        highlight=False,
    )
    bound = f"no plan costs less than ${plan.lower_bound_usd_per_hour:,.3f}"
    words = "optimal, proven" if plan.status == "optimal" else f"gap at most {plan.gap:.3%}"
    console.print(
        f"${plan.usd_per_hour:,.3f} an hour; {bound}: {words}. "
        f"{plan.method}, {plan.seconds:.2f} s, verified",
        highlight=False,
    )
    for needs in needs_sources(problem):
        if needs.evidence in ("stand-in", "published"):
            names = ", ".join(needs.streams)
            console.print(
                f"needs of {names}: {needs.evidence}, not measured on such hardware here "
                f"({needs.source})",
                highlight=False,
            )
    for prices in price_sources(problem):
        date = f", {prices.date}" if prices.date else ""
        console.print(
            f"prices of {', '.join(prices.types)}: {prices.source}{date}", highlight=False
        )
    if replanned is not None:
        console.print(
            f"{replanned.moved:,} streams move; a fresh plan costs "
            f"${replanned.fresh.usd_per_hour:,.3f} an hour. What moving buys:",
            highlight=False,
        )
        for point in replanned.trade_off:
            console.print(
                f"  {point.moved:>8,} moved  ${point.microusd / 1e6:,.3f} an hour", highlight=False
            )


def show_paper(document: PaperDocument) -> None:
    """Published beside ours, then the proven optima."""
    console = Console()
    console.print(
        "Kaseb, Mohan, Koh, Lu, IEEE TCC 2017. The requirement vectors are reconstructed: an "
        "inverse fit to the published counts.",
        highlight=False,
    )
    for number in sorted({row.table for row in document.rows}):
        table = Table(title=f"Table {number}" if number else "other", title_justify="left")
        for name in ("", "published", "$/h", "ours, reconstructed", "$/h", "by"):
            table.add_column(name, justify="right" if name == "$/h" else "left")
        for row in document.rows:
            if row.table == number:
                table.add_row(
                    f"{row.scenario} {row.strategy}",
                    _counts(row.published),
                    f"{row.published_usd_per_hour:.2f}",
                    ("= " if row.reproduced else "≠ ") + _counts(row.ours),
                    f"{row.ours_usd_per_hour:.3f}",
                    row.rule,
                )
        console.print(table)
    console.print(f"{document.reproduced} of {len(document.rows)} rows reproduced", highlight=False)
    table = Table(title="Optima (reconstructed vectors)", title_justify="left")
    for name in ("scenario", "types", "$/h", "no plan under", "", "machines", "s"):
        table.add_column(name, justify="right" if name in ("$/h", "s") else "left")
    for both in document.optima:
        table.add_row(
            both.scenario,
            both.types,
            f"{both.usd_per_hour:.3f}",
            f"{both.lower_bound_usd_per_hour:.3f}",
            "optimal" if both.status == "optimal" else "not proven",
            _counts(both.instances),
            f"{both.seconds:.2f}",
        )
    console.print(table)


def _counts(counts: dict[str, int]) -> str:
    return " + ".join(f"{n} {kind}" for kind, n in sorted(counts.items()))
