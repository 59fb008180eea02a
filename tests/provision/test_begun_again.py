"""A manager that begins where another ended, with a plan that puts a stream elsewhere."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from edgesdk.cli.manage import _streams
from edgesdk.cli.plan import problem_and_input
from edgesdk.cluster.administration import administer
from edgesdk.planner import solve
from edgesdk.provision.live import Live
from edgesdk.provision.local import LocalProcesses

APPLICATION = """
import edgesdk as edge

@edge.operator(version=1, state=dict)
def tally(state, frame, info: edge.FrameInfo) -> edge.Measurement:
    state["n"] = state.get("n", 0) + 1
    return edge.Measurement("tally", {"n": state["n"]})

@edge.app(deadline="1s")
def count(camera: edge.Camera):
    return {"tally": camera.sample(fps=5).apply(tally)}
"""
FLEET = """
[streams.count]
count = 2
fps = 5
app = "tally.py:count"
needs = { cpu = 0.3, memory = 0.1 }
cameras = { a = "synthetic:?width=96&height=64&fps=10", b = "synthetic:?width=96&height=64&fps=10" }
[machines.box]
existing = true
limit = 2
capacity = { cpu = 1.2, memory = 4 }
"""


def counted(folder: Path, machine: str, camera: str) -> list[int]:
    file = folder / machine / "results.jsonl"
    lines = file.read_text().splitlines() if file.exists() else []
    found: list[dict[str, Any]] = [json.loads(line) for line in lines if line.endswith("}")]
    return [
        one["outputs"]["tally"]["n"]
        for one in found
        if one["camera"] == camera and one["state"] == "ok"
    ]


def step_until(live: Live, condition: Callable[[], object]) -> None:
    end = time.monotonic() + 40.0
    while not condition():
        assert time.monotonic() < end, "not in time"
        live.step(time.monotonic())
        time.sleep(0.2)  # between two looks at real processes; nothing rings for them


@pytest.mark.timeout(110)
def test_what_the_new_plan_puts_elsewhere_takes_its_state_along(tmp_path: Path) -> None:
    (tmp_path / "tally.py").write_text(APPLICATION)
    nodes = LocalProcesses(tmp_path / "nodes", {"box": 2})
    told: list[str] = []

    def begin(fleet: str) -> Live:
        (tmp_path / "fleet.toml").write_text(fleet)
        problem, given = problem_and_input(tmp_path / "fleet.toml")
        live = Live(
            problem,
            _streams(given, tmp_path / "fleet.toml"),
            nodes,
            lambda address, verb, body: administer(nodes.operator, address, verb, body),
            told=told.append,
        )
        live.carry_out(solve(problem, clock=time.monotonic, seconds=2), time.monotonic())
        return live

    try:
        first = begin(FLEET)
        step_until(first, lambda: first.settled)
        (old,) = set(first.where().values())
        step_until(first, lambda: len(counted(tmp_path / "nodes", old, "a")) > 10)
        second = begin(FLEET.replace("cpu = 1.2", "cpu = 0.6"))
        (moved,) = {c for c, at in second.where().items() if at != old}
        assert second.migrations == 1
        new = second.where()[moved]
        camera = moved.rpartition("/")[2]
        step_until(second, lambda: counted(tmp_path / "nodes", new, camera))
        assert any(f"{moved}: {old} -> {new}" in words for words in told)
        assert counted(tmp_path / "nodes", new, camera)[0] > 10
    finally:
        print(*told, sep="\n")
        nodes.close()
