"""``edgesdk manage`` as a process: how it ends, what it leaves, and that it may begin again."""

import contextlib
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

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
count = 2
fps = 5
app = "bright.py:light"
needs = { cpu = 0.4, memory = 0.1 }
[streams.light.cameras]
a = "synthetic:?width=96&height=64&fps=10"
b = "synthetic:?width=96&height=64&fps=10"
[machines.box]
existing = true
limit = 2
capacity = { cpu = 0.6, memory = 4 }
"""
START = "from edgesdk.cli.entry import main; main()"


@pytest.fixture
def site(tmp_path):
    (tmp_path / "bright.py").write_text(APPLICATION)
    (tmp_path / "fleet.toml").write_text(FLEET)
    return tmp_path


@contextlib.contextmanager
def manage(site, *words):
    with subprocess.Popen(
        [sys.executable, "-c", START, "manage", "fleet.toml", "--apply", "--json", *words],
        cwd=site,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        try:
            yield process
        finally:
            process.kill()


def wait_for_words(process, words, seconds=60.0):
    end = time.monotonic() + seconds
    seen = []
    for line in process.stderr:
        seen.append(line)
        if words in line:
            return seen
        assert time.monotonic() < end, seen
    raise AssertionError(f"ended without {words!r}: {seen}")


def agents_of(folder: Path):
    """Command lines of agents in *folder*; an agent's own processes have the same as it."""
    found = set()
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            with contextlib.suppress(OSError):
                line = (entry / "cmdline").read_bytes().decode(errors="replace")
                if f"{folder}/n-" in line and "node.toml" in line:
                    found.add(line)
    return found


def wait_for(condition, seconds):
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "not in time"
        time.sleep(0.05)


@pytest.mark.timeout(110)
def test_sigterm_ends_it_soon_with_a_summary_and_no_agent_is_left(site):
    folder = site / "agents"
    with manage(site, "--folder", str(folder)) as process:
        wait_for_words(process, "all 2 streams have their machine")
        assert len(agents_of(folder)) == 2
        process.send_signal(signal.SIGTERM)
        began = time.monotonic()
        out, err = process.communicate(timeout=20)
        # Two seconds, and one for whoever else uses the machine.
        assert time.monotonic() - began < 3
    assert process.returncode == 0
    document = json.loads(out)
    assert len(document["where"]) == 2
    assert "2 of 2 streams on 2 machines" in err
    assert not agents_of(folder)


@pytest.mark.timeout(110)
def test_killed_it_leaves_no_agent_behind(site):
    folder = site / "agents"
    with manage(site, "--folder", str(folder)) as process:
        wait_for_words(process, "all 2 streams have their machine")
        assert len(agents_of(folder)) == 2
        process.kill()
    wait_for(lambda: not agents_of(folder), 15)


@pytest.mark.timeout(170)
def test_begun_again_on_a_clusters_nodes_it_moves_nothing(site):
    nodes = LocalProcesses(site / "nodes", {"box": 2})
    try:
        names = [nodes.start("box"), nodes.start("box")]
        wait_for(lambda: all(h.state == "ready" for h in nodes.hosts().values()), 60)
        host, port = nodes.hosts()[names[0]].address
        bundle = site / "nodes" / "cluster" / "operator.bundle"
        words = ["--provider", "cluster", "--bundle", str(bundle), "--peer", f"{host}:{port}"]
        words += [part for name in names for part in ("--node", f"{name}=box")]
        runs = []
        for _ in range(2):
            with manage(site, *words) as process:
                wait_for_words(process, "all 2 streams have their machine")
                process.send_signal(signal.SIGINT)
                out, _ = process.communicate(timeout=20)
            runs.append(json.loads(out))
        assert sorted(runs[0]["where"].values()) == sorted(names)
        assert runs[1]["where"] == runs[0]["where"]
        # The nodes' agents belong to nobody here: they go on with what they were told.
        assert all(os.path.exists(f"/proc/{nodes.pid(name)}") for name in names)
    finally:
        nodes.close()
