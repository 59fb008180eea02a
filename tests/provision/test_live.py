"""A plan carried out on real agents of this machine, one of which is killed."""

import json
import os
import signal
import subprocess
import sys
import time

import pytest

from edgesdk.cli.manage import _streams
from edgesdk.cli.plan import problem_and_input
from edgesdk.cluster.administration import administer
from edgesdk.planner import solve
from edgesdk.provision.live import Live
from edgesdk.provision.local import LocalProcesses

APPLICATION = """
import edgesdk as edge

@edge.operator(version=1)
def bright(frame):
    return float(frame.mean())

@edge.app(deadline="500ms")
def light(camera: edge.Camera):
    return camera.sample(fps=5).apply(bright)
"""
FLEET = """
[streams.light]
count = 4
fps = 5
app = "bright.py:light"
needs = { cpu = 0.2, memory = 0.1 }
[streams.light.cameras]
a = "synthetic:?width=320&height=180&fps=10"
b = "synthetic:?width=320&height=180&fps=10"
c = "synthetic:?width=320&height=180&fps=10"
d = "synthetic:?width=320&height=180&fps=10"
[machines.box]
existing = true
limit = 3
capacity = { cpu = 0.6, memory = 4 }
"""


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    folder = tmp_path_factory.mktemp("site")
    (folder / "bright.py").write_text(APPLICATION)
    (folder / "fleet.toml").write_text(FLEET)
    return folder


def manage(site, *words):
    start = "from edgesdk.cli.entry import main; main()"
    return subprocess.run(
        [sys.executable, "-c", start, "manage", "fleet.toml", *words],
        cwd=site,
        capture_output=True,
        text=True,
        timeout=60,
    )


def test_without_apply_nothing_is_started(site):
    done = manage(site, "--folder", "none", "--json")
    document = json.loads(done.stdout)
    assert (document["applied"], document["machines"]) == (False, {"box": 2})
    assert not (site / "none").exists()


def test_rented_machines_want_a_budget(site):
    rented = FLEET.replace("existing = true", "usd_per_hour = 0.1")
    (site / "rented.toml").write_text(rented)
    start = "from edgesdk.cli.entry import main; main()"
    done = subprocess.run(
        [sys.executable, "-c", start, "manage", "rented.toml", "--apply"],
        cwd=site,
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.returncode == 2
    assert "--budget" in done.stderr


@pytest.mark.timeout(110)
def test_the_streams_of_a_killed_agent_move_and_no_other_does(site):
    problem, given = problem_and_input(site / "fleet.toml")
    streams = _streams(given, site / "fleet.toml")
    provider = LocalProcesses(site / "agents", {"box": 3})
    told = []
    try:
        live = Live(
            problem,
            streams,
            provider,
            lambda address, verb, body: administer(provider.operator, address, verb, body),
            told=told.append,
        )
        live.carry_out(solve(problem, clock=time.monotonic, seconds=2), time.monotonic())
        _step_until(live, lambda: live.settled)
        _step_until(live, lambda: len(live.rates) == 4)
        before = live.where()
        killed = min(before.values())
        os.kill(provider.pid(killed), signal.SIGKILL)
        _step_until(live, lambda: live.settled and killed not in live.where().values())
        after = live.where()
        assert any(f"lost {killed}" in words for words in told)
        assert {c for c in before if before[c] != after[c]} == {
            c for c in before if before[c] == killed
        }
        _step_until(live, lambda: _results(site / "agents", after))
    finally:
        provider.close()


@pytest.mark.timeout(110)
def test_a_frozen_agent_is_lost_its_streams_run_as_guests_and_then_on_another(site):
    problem, given = problem_and_input(site / "fleet.toml")
    streams = _streams(given, site / "fleet.toml")
    provider = LocalProcesses(site / "frozen", {"box": 3})
    told = []
    try:
        live = Live(
            problem,
            streams,
            provider,
            lambda address, verb, body: administer(
                provider.operator, address, verb, body, timeout=2.0 if verb == "status" else 20.0
            ),
            told=told.append,
            silent_s=3.0,
        )
        live.carry_out(solve(problem, clock=time.monotonic, seconds=2), time.monotonic())
        _step_until(live, lambda: live.settled)
        before = live.where()
        frozen = min(before.values())
        pid = provider.pid(frozen)
        os.kill(pid, signal.SIGSTOP)
        _step_until(live, lambda: live.losses)
        assert live.losses[0].machine == frozen
        assert live.losses[0].degraded == 2, "until the new machine is there"
        _step_until(live, lambda: live.settled)
        after = live.where()
        assert frozen not in after.values()
        assert {c for c in before if before[c] != after[c]} == {
            c for c in before if before[c] == frozen
        }
        assert any("runs on" in words and "until then" in words for words in told)
        assert not live.assigner.guests
        assert not os.path.exists(f"/proc/{pid}"), "another was started in its place"
    finally:
        print(*told, sep="\n")
        provider.close()


def test_a_stream_that_no_machine_was_found_for_reaches_nothing_of_its_rate(site):
    problem, given = problem_and_input(site / "fleet.toml")
    provider = LocalProcesses(site / "one", {"box": 1})
    try:
        live = Live(
            problem,
            _streams(given, site / "fleet.toml"),
            provider,
            lambda address, verb, body: administer(provider.operator, address, verb, body),
        )
        live.carry_out(solve(problem, clock=time.monotonic, seconds=2), time.monotonic())
        live.step(time.monotonic())
        waiting = [slot for slot, rate in live.rates.items() if rate.cause == "machine"]
        assert waiting
        assert len(waiting) == 4 - len(live.where())
        assert {live.rates[slot].eta for slot in waiting} == {0.0}
    finally:
        provider.close()


def _step_until(live, condition, seconds=40.0):
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "not in time"
        live.step(time.monotonic())
        time.sleep(0.2)  # between two looks at real processes; nothing rings for them


def _results(agents, where):
    """Every camera has a result on the machine where it is now."""
    for place, machine in where.items():
        file = agents / machine / "results.jsonl"
        lines = file.read_text().splitlines() if file.exists() else []
        camera = place.rpartition("/")[2]
        if not any(json.loads(line)["camera"] == camera for line in lines):
            return False
    return True
