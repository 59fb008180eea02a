"""The paper's tables from its own published counts."""

from __future__ import annotations

import time

from edgesdk.planner.cam2 import builtin_scenarios
from edgesdk.planner.paper import PaperRow, paper_rows


def rows() -> list[PaperRow]:
    scenarios = builtin_scenarios()
    return [
        row
        for name in scenarios.scenarios
        for row in paper_rows(scenarios, name, clock=time.monotonic)
    ]


def test_twenty_of_the_papers_twenty_one_rows_come_about_exactly() -> None:
    found = rows()
    assert len(found) == 21
    missed = [(row.scenario, row.strategy) for row in found if not row.reproduced]
    assert missed == [("3", "ST5")]


def test_each_row_costs_what_the_paper_says_where_it_is_reproduced() -> None:
    for row in rows():
        if row.reproduced:
            assert abs(row.ours_usd - row.published_usd) < 0.011
