"""A stream moves from one real agent to another, and its tracks keep their ids."""

import json
import time

import pytest

from edgesdk.cluster.administration import administer
from edgesdk.planner.running import RunningFleet
from edgesdk.provision.assigning import Assigner
from edgesdk.provision.live_records import LiveMachine, LiveStream
from edgesdk.provision.local import LocalProcesses

# Every 0.7 s somebody comes, to a place of his own, and stays for 3.5 s.
APPLICATION = """
import numpy as np
import edgesdk as edge

@edge.operator(version=1)
def visitors(frame, info: edge.FrameInfo) -> edge.Detections:
    now = info.capture_utc_ns / 1e9
    first, last = int((now - 3.5) / 0.7) + 1, int(now / 0.7)
    x = np.array([(k % 12) * 50 for k in range(first, last + 1)], np.float32)
    boxes = np.stack([x, x * 0 + 10, x + 40, x * 0 + 110], axis=1)
    n = len(x)
    return edge.Detections(boxes, np.ones(n, "f4"), np.ones(n, "i4"), ("person",) * n)

@edge.app(deadline="2s")
def walk(camera: edge.Camera):
    tracks = camera.apply(visitors).track(confirm=1)
    return {
        "tracks": tracks, "count": tracks.count(), "dwell": tracks.dwell(),
        "window": tracks.window(seconds="1h", aggregate="sum"),
    }
"""


def results(folder):
    file = folder / "results.jsonl"
    lines = file.read_text().splitlines() if file.exists() else []
    found = [json.loads(line) for line in lines if line.endswith("}")]
    return [record for record in found if record["state"] == "ok"]


def wait_for(condition, seconds=60.0):
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "not in time"
        time.sleep(0.1)


def ids_by_visitor(records):
    """Track ids of each visitor; who comes to a place after another is another."""
    found = {}
    for record in records:
        now = record["captured"]["utc_ns"] / 1e9
        for row in record["outputs"]["tracks"]["items"]:
            place = round(row["box"][0] / 50)
            last = int(now / 0.7)
            visitor = next(k for k in range(last, last - 12, -1) if k % 12 == place)
            found.setdefault(visitor, set()).add(row["track_id"])
    return found


@pytest.mark.timeout(110)
def test_tracks_keep_their_ids_and_sums_their_content(tmp_path):
    (tmp_path / "walk.py").write_text(APPLICATION)
    streams = [
        LiveStream(
            klass="walk",
            camera="door",
            uri="synthetic:?width=640&height=120&fps=10",
            app=f"{tmp_path / 'walk.py'}:walk",
            fps=10,
            stateless=False,
        )
    ]
    nodes = LocalProcesses(tmp_path / "agents", {"box": 2})
    told = []
    try:
        one, other = nodes.start("box"), nodes.start("box")
        wait_for(lambda: all(host.state == "ready" for host in nodes.hosts().values()))
        fleet = RunningFleet(resources=1, streams=1, machines=2, groups=1)
        machines = {one: LiveMachine(0, 0), other: LiveMachine(1, 0)}
        assigner = Assigner(
            streams,
            fleet,
            lambda address, verb, body: administer(nodes.operator, address, verb, body),
            told.append,
        )
        fleet.machine[0] = 0
        assigner.assign(machines, nodes.hosts(), 0.0)
        folders = [tmp_path / "agents" / name for name in (one, other)]
        wait_for(lambda: len(results(folders[0])) > 60, 30)
        fleet.machine[0] = 1
        assigner.left[0] = one
        assigner.assign(machines, nodes.hosts(), 1.0)
        wait_for(lambda: len(results(folders[1])) > 20)
    finally:
        print(*told, sep="\n")
        nodes.close()
    before, after = results(folders[0]), results(folders[1])
    assert not [words for words in told if "anew" in words]
    old, new = ids_by_visitor(before), ids_by_visitor(after)
    common = old.keys() & new.keys()
    assert len(common) >= 2
    assert {k: new[k] for k in common} == {k: old[k] for k in common}
    known = set().union(*old.values())
    came_later = [ids for visitor, ids in new.items() if visitor not in old]
    assert not known & set().union(*came_later)
    last, first = before[-1]["outputs"], after[0]["outputs"]
    ended, began = before[-1]["captured"]["utc_ns"], after[0]["captured"]["utc_ns"]
    print("seconds between", (began - ended) / 1e9)
    assert abs(began - ended) < 2e9, "it is seen by one or the other nearly all the time"
    assert 0 <= first["count"]["total"] - last["count"]["total"] <= 4
    assert first["window"]["running"] > last["window"]["running"] * 0.8
    assert max(row["seconds"] for row in first["dwell"]["tracks"]) > 1.5
