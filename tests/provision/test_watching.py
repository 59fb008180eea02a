"""What the manager does about streams that fall short, and what goes with those that move."""

import json
import time

import pytest

from edgesdk.cli.manage import _streams
from edgesdk.cli.plan import problem_and_input
from edgesdk.cluster.administration import administer
from edgesdk.planner import solve
from edgesdk.provision.live import Live
from edgesdk.provision.local import LocalProcesses

APPLICATION = """
import time
import edgesdk as edge

@edge.operator(version=1, state=dict)
def busy(state: dict, frame) -> edge.Measurement:
    end = time.thread_time() + 0.05
    while time.thread_time() < end:
        pass
    state["frames"] = state.get("frames", 0) + 1
    return edge.Measurement("busy", dict(state))

@edge.app(deadline="2s")
def busy_app(camera: edge.Camera):
    return {"busy": camera.sample(fps=5).apply(busy)}

@edge.operator(version=1)
def bright(frame):
    return float(frame.mean())

@edge.app(deadline="2s")
def light(camera: edge.Camera):
    return camera.sample(fps=5).apply(bright)
"""
FLEET = """
[streams.busy]
count = 2
fps = 5
app = "apps.py:busy_app"
needs = { cpu = 0.1, memory = 0.1 }
[streams.busy.cameras]
a = "synthetic:?width=96&height=64&fps=10"
b = "synthetic:?width=96&height=64&fps=10"
[streams.slow]
count = 1
fps = 5
app = "apps.py:light"
needs = { cpu = 0.01, memory = 0.1 }
[streams.slow.cameras]
c = "synthetic:?width=96&height=64&fps=2"
[machines.box]
existing = true
limit = 2
capacity = { cpu = 0.5, memory = 4 }
"""


@pytest.mark.timeout(110)
def test_what_a_machine_cannot_do_moves_with_its_state_and_a_slow_camera_moves_nothing(tmp_path):
    (tmp_path / "apps.py").write_text(APPLICATION)
    (tmp_path / "fleet.toml").write_text(FLEET)
    problem, given = problem_and_input(tmp_path / "fleet.toml")
    streams = _streams(given, tmp_path / "fleet.toml")
    assert [s.stateless for s in streams] == [False, False, True]
    provider = LocalProcesses(tmp_path / "agents", {"box": 2})
    told = []
    try:
        live = Live(
            problem,
            streams,
            provider,
            lambda address, verb, body: administer(provider.operator, address, verb, body),
            told=told.append,
            warm_s=4.0,
        )
        live.carry_out(solve(problem, clock=time.monotonic, seconds=2), time.monotonic())
        assert len(live.machines) == 1
        _step_until(live, lambda: live.settled and _apart(live.where()))
        _step_until(live, lambda: 2 in live.rates)
        # The camera that gives 2 of the 5 frames a second that are wanted is nobody's fault here.
        slow = live.rates[2]
        assert slow.cause == "outside"
        assert slow.eta < 0.7
        where = live.where()
        # Of what fits beside neither, the stateless goes first, then one of the others.
        assert live.migrations <= 2
        (moved,) = [c for c in ("a", "b") if any(f"busy/{c}: n-1" in words for words in told)]
        assert any("state of busy goes with it" in words for words in told), told
        first, *_ = _frames(tmp_path / "agents" / where[f"busy/{moved}"], moved)
        assert first > 5
    finally:
        print(*told, sep="\n")
        provider.close()


def _apart(where):
    """The operators that need three times what was planned are on a machine each."""
    return where["busy/a"] != where["busy/b"]


def _step_until(live, condition, seconds=60.0):
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "not in time"
        live.step(time.monotonic())
        time.sleep(0.5)  # between two looks at real processes; nothing rings for them


def _frames(folder, camera, seconds=20.0):
    """The operator's count in each result of *camera*."""
    end = time.monotonic() + seconds
    file = folder / "results.jsonl"
    while True:
        lines = file.read_text().splitlines() if file.exists() else []
        records = [json.loads(line) for line in lines]
        found = [
            r["outputs"]["busy"]["frames"]
            for r in records
            if r["camera"] == camera and r["state"] == "ok"
        ]
        if found:
            return found
        assert time.monotonic() < end, f"no result of {camera} in {file}"
        time.sleep(0.1)
