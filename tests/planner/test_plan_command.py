"""``edgesdk plan`` as it is called."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from edgesdk.schemas import schema

ROOT = Path(__file__).parents[2]
SCENARIOS = ROOT / "edgesdk/planner/data/cam2_scenarios.json"
EXAMPLES = ROOT / "docs/examples"


def edgesdk_plan(*words: str | Path) -> subprocess.CompletedProcess[str]:
    code = "from edgesdk.cli.entry import main; main()"
    return subprocess.run(
        [sys.executable, "-c", code, "plan", *map(str, words)],
        capture_output=True,
        text=True,
        check=False,
        timeout=100,
    )


def planned(*words: str | Path) -> dict[str, Any]:
    done = edgesdk_plan(*words, "--json")
    assert done.returncode == 0, done.stderr
    document: dict[str, Any] = json.loads(done.stdout)
    return document


def test_a_scenario_of_the_paper_is_planned_as_one_document() -> None:
    import jsonschema

    document = planned(SCENARIOS, "--scenario", "A")
    jsonschema.validate(document, schema("plan"))
    assert document["usd_per_hour"] == document["lower_bound_usd_per_hour"] == 4.6
    assert document["status"] == "optimal"
    assert document["instances"] == {"c4.xlarge": 18, "c4.2xlarge": 2}
    streams = [sum(a["streams"].values()) for a in document["assignments"]]
    assert sum(streams) == 100
    assert len(streams) == 20
    assert document["seconds"] > 0
    assert max(a["used"]["cpu"] for a in document["assignments"]) <= 0.9


def test_what_cannot_be_is_refused_with_the_shortfall() -> None:
    limits = [w for t in "mcr" for w in ("--limit", f"{t}{3 if t == 'r' else 4}.2xlarge=5")]
    done = edgesdk_plan(SCENARIOS, "--scenario", "3", *limits, "--target", "0.7", "--json")
    assert done.returncode == 9
    document = json.loads(done.stdout)
    assert document["status"] == "infeasible"
    assert document["usd_per_hour"] is None
    assert "need 198.119 cores" in document["shortages"][0]
    assert "hold 84 cores at 70 %" in document["error"]["message"]
    assert "Traceback" not in done.stderr


def test_the_papers_example_is_an_example() -> None:
    document = planned(EXAMPLES / "paper_example.toml")
    assert document["streams"] == 1100
    assert document["status"] == "optimal"


def test_a_vbp_file_is_planned_in_bins() -> None:
    document = planned(Path(__file__).parent / "vbp" / "class3_20_3_5.vbp")
    assert document["instances"] == {"bin": 7}


def test_an_earlier_plan_is_repaired_and_replanned(tmp_path: Path) -> None:
    first = edgesdk_plan(EXAMPLES / "site_and_cloud.toml", "--json")
    before = tmp_path / "plan.json"
    before.write_text(first.stdout)
    again = planned(EXAMPLES / "site_and_cloud.toml", "--replan", before)
    assert again["moved"] == 0
    assert again["fresh_usd_per_hour"] == json.loads(first.stdout)["usd_per_hour"]
    assert again["trade_off"]
    lost = json.loads(first.stdout)["assignments"][0]["instance"]
    after = planned(EXAMPLES / "site_and_cloud.toml", "--replan", before, "--lost", lost)
    assert lost not in {a["instance"] for a in after["assignments"]}


def test_people_are_shown_machines_cost_and_bound() -> None:
    done = edgesdk_plan(SCENARIOS, "--scenario", "C")
    assert done.returncode == 0
    words = " ".join(done.stdout.split())
    assert "$0.627 an hour; no plan costs less than $0.627: optimal, proven" in words


@pytest.mark.parametrize(
    ("words", "told"),
    [
        ((), "a FILE is wanted, or --paper"),
        (("nowhere.toml",), "nowhere.toml: No such file or directory"),
        ((SCENARIOS,), "has scenarios A, B, C, 1, 2, 3: name one with --scenario"),
        ((SCENARIOS, "--scenario", "D"), "there is no scenario 'D'"),
        ((SCENARIOS, "--scenario", "A", "--target", "70"), "--target 70"),
        ((SCENARIOS, "--scenario", "A", "--types", "c5"), "there is no machine type 'c5'"),
        ((SCENARIOS, "--scenario", "A", "--limit", "c4.xlarge"), "expected TYPE=N"),
    ],
)
def test_a_call_that_means_nothing_says_what_was_expected(
    words: tuple[str | Path, ...], told: str
) -> None:
    done = edgesdk_plan(*words)
    assert done.returncode == 2
    assert told in done.stderr
    assert "Traceback" not in done.stderr
