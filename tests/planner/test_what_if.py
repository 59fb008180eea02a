"""What would change the bill: every answer is a plan's."""

import json
import time

import pytest
from typer.testing import CliRunner

from edgesdk.cli.plan import app
from edgesdk.planner.plan_file import problem_of, read_plan_input
from edgesdk.planner.what_if import (
    Answer,
    cost_of_caps,
    cost_of_goodputs,
    cost_of_rates,
    cost_of_sizes,
    orderly,
    upgrades,
)

FLEET = """
target = 0.9
[streams.traffic]
count = 20
fps = 10
needs_per_fps = { cpu = 0.1 }
needs = { memory = 0.25 }
[streams.weather]
count = 10
fps = 0.1
needs = { cpu = 0.05, memory = 0.1 }
[machines.box]
existing = true
limit = 2
capacity = { cpu = 4, memory = 16 }
[machines.rented]
usd_per_hour = 0.2
capacity = { cpu = 4, memory = 8 }
"""
clock = time.monotonic


@pytest.fixture
def given():
    return read_plan_input(FLEET, file="fleet.toml", form="toml")


@pytest.fixture
def problem(given):
    return problem_of(given)


def dollars(answers):
    return [round(answer.usd_per_hour, 3) for answer in answers]


def test_cost_grows_with_the_frame_rate(given):
    # 3 streams of 1.0 core fill a machine of 3.6 usable cores; of 0.5 cores 7, of 2 cores 1.
    assert dollars(cost_of_rates(given, (0.5, 1.0, 2.0), clock)) == [0.2, 1.0, 3.6]


def test_cost_falls_as_machines_are_filled_more(problem):
    caps = dollars(cost_of_caps(problem, (0.6, 0.9), clock))
    assert caps[0] > caps[1]


def test_twice_the_streams_cost_at_least_twice_what_is_rented(problem):
    one, two = dollars(cost_of_sizes(problem, (1.0, 2.0), clock))
    assert two >= 2 * one


def test_the_cheapest_fleet_for_a_goodput_leaves_the_dearest_streams_out(problem):
    whole, most = cost_of_goodputs(problem, (1.0, 0.8), clock)
    assert whole.left_out == {}
    assert most.left_out == {"traffic": 6}
    assert most.answer.usd_per_hour < whole.answer.usd_per_hour


def test_the_machine_whose_upgrade_saves_most_comes_first(problem):
    (best,) = upgrades(problem, clock)
    assert best.type == "box"
    assert best.saves_usd_per_hour == pytest.approx(0.2)


def test_what_cannot_be_planned_says_why(problem):
    (answer,) = cost_of_caps(problem, (0.05,), clock)
    assert answer.usd_per_hour is None
    assert "traffic" in answer.why or "cpu" in answer.why


def test_the_command_prints_one_document_and_draws_it(tmp_path):
    (tmp_path / "fleet.toml").write_text(FLEET)
    words = [str(tmp_path / "fleet.toml"), "--what-if", "--plot", str(tmp_path / "p"), "--json"]
    done = CliRunner().invoke(app, words)
    document = json.loads(done.stdout)
    assert [answer["x"] for answer in document["rates"]] == [0.25, 0.5, 0.75, 1, 1.25, 1.5, 2]
    assert len(document["plots"]) == 4
    assert all(
        (tmp_path / "p" / name.rpartition("/")[2]).stat().st_size for name in document["plots"]
    )


def test_less_never_costs_more_however_near_each_plan_came() -> None:
    answers = [
        Answer(0.5, 1.02, 0.9, 11),
        Answer(1.0, 1.01, 1.0, 10),
        Answer(1.5, None, None, None, "not found in time"),
        Answer(2.0, 3.0, 2.9, 30),
    ]
    half, one, more, two = orderly(answers, hardest_is_largest=True)
    assert (half.usd_per_hour, half.machines, half.lower_bound_usd_per_hour) == (1.01, 10, 0.9)
    assert (more.usd_per_hour, more.machines, more.why) == (3.0, 30, "")
    assert (one, two) == (answers[1], answers[3])
    assert orderly(answers[:2], hardest_is_largest=False) == answers[:2]
