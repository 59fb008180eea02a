"""What a planner gives an agent to do, on top of the agent's own file."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from edgesdk.config import load_config, parse_config
from edgesdk.errors import CaptureError, ConfigError
from edgesdk.runtime.agent import Agent
from edgesdk.runtime.assignment import assigned, read_assignments

LIVE = "synthetic:?width=128&height=96&fps=40&seed={}"
SECRET = "s3cret-word"
APPLICATION = """
import edgesdk as edge

@edge.app(deadline="3s")
def finder(camera: edge.Camera):
    return camera.detect({cells!r}, score=0.3)
"""


def given(
    cameras: dict[str, str], apps: dict[str, list[str]], address: str = "apps.py:finder"
) -> dict[str, Any]:
    return {
        "schema": 1,
        "cameras": {name: {"uri": uri} for name, uri in cameras.items()},
        "apps": {name: {"app": address, "cameras": wanted} for name, wanted in apps.items()},
    }


OWN = parse_config(
    '[cameras.a]\nuri = "synthetic:"\n[cameras.b]\nuri = "synthetic:?seed=2"\n'
    '[apps.people]\napp = "x.py:people"\ncameras = ["a"]\n'
)


def test_an_assignment_adds_to_the_file_and_takes_nothing_away() -> None:
    document = given({"c": "synthetic:?seed=3"}, {"cars": ["b", "c"]}, "y.py:cars")
    found = assigned(OWN, read_assignments(document))
    assert set(found.cameras) == {"a", "b", "c"}
    assert found.apps["people"] == OWN.apps["people"]
    assert found.apps["cars"].cameras == ("b", "c")
    assert assigned(OWN, read_assignments({})) == OWN


def test_an_application_of_both_runs_on_the_cameras_of_both() -> None:
    document = given({}, {"people": ["b"]}, "x.py:people")
    assert assigned(OWN, read_assignments(document)).apps["people"].cameras == ("a", "b")


@pytest.mark.parametrize(
    ("document", "said"),
    [
        (given({"a": "synthetic:?seed=9"}, {}), "another source"),
        (given({}, {"people": ["a"]}, "other.py:people"), "x.py:people"),
        (given({}, {"cars": ["nowhere"]}), "nowhere"),
        (given({"c": f"rtsp://me:{SECRET}@h/x?edge.timeout=never"}, {}), "camera c"),
        ({"cameras": {"c": {}}}, "uri"),
        ({"cameras": {"../c": {"uri": "synthetic:"}}}, "assignment"),
        ({"apps": {"x": {"app": "no address"}}}, "assignment"),
        ({"apps": {"x": {"app": "x.py:x", "deadline": "soon"}}}, "assignment"),
        ({"extra": 1}, "extra"),
        ([], "assignment"),
        (given({f"c{n}": "synthetic:" for n in range(5000)}, {}), "more than"),
    ],
)
def test_what_contradicts_the_file_or_means_nothing_is_refused_with_its_name(
    document: Any, said: str
) -> None:
    with pytest.raises(ConfigError, match=said) as caught:
        assigned(OWN, read_assignments(document))
    assert SECRET not in str(caught.value)


@pytest.fixture
def start(tmp_path: Path, cards: Any) -> Iterator[Callable[[], Agent]]:
    (tmp_path / "apps.py").write_text(APPLICATION.format(cells=cards.cells))
    file = tmp_path / "node.toml"
    file.write_text(
        '[node]\nname = "n"\nstate = "state"\n[results]\nout = "out.jsonl"\n'
        f'[cameras.a]\nuri = "{LIVE.format(1)}"\n[apps.mine]\napp = "apps.py:finder"\n'
        'cameras = ["a"]\n'
    )
    started: list[Agent] = []

    def begin() -> Agent:
        agent = Agent(lambda: load_config(file), folder=tmp_path)
        started.append(agent)
        agent.start()
        return agent

    yield begin
    for agent in started:
        agent.stop()


def pairs(agent: Agent) -> set[tuple[str, str]]:
    assert agent.node.plan is not None
    return set(agent.node.plan.outputs)


def test_an_assignment_runs_and_holds_over_a_restart_until_it_is_taken_back(
    start: Callable[[], Agent], tmp_path: Path, wait_for: Any, records: Any
) -> None:
    agent = start()
    found = agent.assign(given({"c": LIVE.format(3)}, {"theirs": ["a", "c"]}))
    assert (found.cameras_added, found.apps_added) == (["c"], ["theirs"])
    outlets = agent.node.outlets
    wait_for(lambda: outlets["theirs", "c"].channel.counts.ok > 5, "results of what was assigned")
    agent.stop()
    kept = tmp_path / "state" / "assignment.json"
    assert kept.stat().st_mode & 0o777 == 0o600
    agent = start()
    assert pairs(agent) == {("mine", "a"), ("theirs", "a"), ("theirs", "c")}
    agent.reload()
    assert pairs(agent) == {("mine", "a"), ("theirs", "a"), ("theirs", "c")}
    found = agent.assign(None)
    assert (found.cameras_removed, found.apps_removed) == (["c"], ["theirs"])
    assert not kept.exists()
    agent.stop()
    keys = [
        (r["app"], r["camera"], r["incarnation"], r["sequence"])
        for r in records(tmp_path / "out.jsonl")
    ]
    assert len(keys) == len(set(keys))


def test_an_assignment_that_cannot_run_changes_nothing_and_is_not_kept(
    start: Callable[[], Agent], tmp_path: Path
) -> None:
    agent = start()
    with pytest.raises(CaptureError, match=r"gone\.mp4"):
        agent.assign(given({"c": "gone.mp4"}, {"theirs": ["c"]}))
    assert pairs(agent) == {("mine", "a")}
    assert agent.assignments.cameras == {}
    assert not (tmp_path / "state" / "assignment.json").exists()


@pytest.mark.parametrize(
    "text", ["no json", json.dumps(given({}, {"theirs": ["a"]}, "gone.py:finder"))]
)
def test_an_agent_starts_though_what_was_assigned_cannot_be_done_any_more(
    start: Callable[[], Agent], tmp_path: Path, caplog: pytest.LogCaptureFixture, text: str
) -> None:
    (tmp_path / "state").mkdir()
    (tmp_path / "state" / "assignment.json").write_text(text)
    agent = start()
    assert pairs(agent) == {("mine", "a")}
    assert "assigned" in caplog.text
