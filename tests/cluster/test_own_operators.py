"""Users' own operators run on peers that have the same, and on no other: against real agents."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from edgesdk.cluster.frame_codec import DEFAULT_CODEC
from edgesdk.graph import load_application
from edgesdk.runtime import Node
from tests.cluster.agents import Agent, Cluster, eventually, ledger_closes

Record = dict[str, Any]

# At eight frames a second twice what one thread can do; to sleep leaves this machine to others.
FPS, PAUSE = 8, 0.25
SOURCE = """
import time
import zlib
from pathlib import Path

import numpy as np

import edgesdk as edge

@edge.operator(version={version})
def marks(pixels: np.ndarray, info: edge.FrameInfo, pause: float):
    if Path("broken").exists():
        raise RuntimeError("a library is missing")
    time.sleep(pause)
    bits = zlib.crc32(np.ascontiguousarray(pixels))
    return {{"at": (info.sequence, info.width), "bits": bits, "rows": pixels.mean(axis=(1, 2))}}

@edge.operator(version=1)
def told(found):
    return {{"tuple": isinstance(found["at"], tuple), "rows": found["rows"].round(3).tolist(),
            "bits": found["bits"], "sequence": found["at"][0]}}

@edge.operator(version=1, state=dict)
def count(state: dict, found):
    state["n"] = state.get("n", 0) + 1
    return edge.Measurement("count", {{"n": state["n"]}})

@edge.app(deadline="900ms"{more})
def bright(camera: edge.Camera):
    found = camera.crop(box=(0.1, 0.1, 0.8, 0.9)).apply(marks, pause={pause})
    return {{"found": found.apply(told), "n": found.apply(count)}}
"""


def own(agent: Agent, *, version: int = 1, exact: bool = True, pause: float = PAUSE) -> Agent:
    """Gives *agent* the application with operators of its own."""
    source = SOURCE.format(version=version, more=", exact=True" if exact else "", pause=pause)
    (agent.folder / "bright.py").write_text(source)
    return agent


def without_camera(agent: Agent) -> Agent:
    """It has the application, and nothing to do."""
    file = agent.folder / "node.toml"
    text = re.sub(r"\[cameras\..*\]\nuri.*\nframes.*\n", "", file.read_text())
    file.write_text(text)
    return agent


def start(cluster: Cluster) -> None:
    """Starts all agents, and returns once they know each other."""
    for agent in cluster.agents.values():
        agent.start()
    for agent in cluster.agents.values():
        others = cluster.agents.keys() - {agent.name}
        eventually(lambda a=agent, o=others: a.peers() >= o, f"{agent.name} meets all", 40)


def away(agent: Agent, state: str = "ok") -> list[Record]:
    """Results of which another node made something."""
    records = [r for r in agent.records() if r["state"] == state]
    return [r for r in records if any(p["offload"] for p in r["provenance"])]


@pytest.fixture
def cluster(cards: Any, tmp_path: Path) -> Iterator[Cluster]:
    with Cluster(tmp_path, cards.cells) as made:
        yield made


def alone(folder: Path) -> dict[int, Record]:
    """What one node makes of the same frames, by their number."""
    found: dict[int, Record] = {}
    uri = f"synthetic:?width=320&height=240&fps={FPS}&frames=150&pace=fast"
    app: Any = load_application(f"{folder}/bright.py:bright")
    results: Callable[[Record], None] = lambda r: found.__setitem__(r["sequence"], r)  # noqa: E731
    with Node([app], {"cam": uri}, on_result=results) as node:
        assert node.wait(30)
    return found


def test_an_operator_runs_on_peers_that_have_the_same_and_on_no_others(cluster: Cluster) -> None:
    cam = own(cluster.add("cam", fps=FPS))
    without_camera(own(cluster.add("same")))
    own(cluster.add("newer", fps=1), version=2, pause=0.0)
    cluster.add("plain", fps=1)
    start(cluster)
    eventually(lambda: len(away(cam)) >= 12, "frames were done by a peer", 40)
    status = {name: agent.status() for name, agent in cluster.agents.items()}
    assert status["same"]["groups"]["returned"] >= 12
    assert {status[name]["groups"]["received"] for name in ("newer", "plain")} == {0}
    assert [status[name]["operators"] for name in ("same", "newer", "plain")] == [
        ["marks", "told"],
        ["marks", "told"],
        [],
    ]

    own(cam, pause=0.0)
    mine = alone(cam.folder)
    records = away(cam)
    for record in records:
        assert record["outputs"]["found"] == mine[record["sequence"]]["outputs"]["found"]
        assert record["outputs"]["found"]["tuple"]
        elsewhere = next(p for p in record["provenance"] if p["operator"] == "marks")
        assert elsewhere["executed_on"] == "same/python:CPU"
        assert (elsewhere["offload"]["origin"], elsewhere["offload"]["codec"]) == ("cam", None)
        assert elsewhere["offload"]["differs"] == []
        assert 0 < elsewhere["offload"]["wire_ns"] <= record["timings_ns"]["wire"]
    here = [
        p
        for r in cam.records()
        for p in r["provenance"]
        if p["operator"] == "marks" and not p["offload"]
    ]
    assert {p["executed_on"] for p in here} == {"cam/python:CPU"}
    # The node that has the camera runs it too, and to the same execution id.
    ids = {p["execution_id"] for r in records for p in r["provenance"] if p["operator"] == "marks"}
    assert ids == {p["execution_id"] for p in here}
    # State lives with its stream: what needs it saw every frame that has a result, in order.
    counts = [r["outputs"]["n"]["n"] for r in cam.records() if r["state"] == "ok"]
    assert counts == sorted(set(counts))
    summary = cam.stop()
    assert list(ledger_closes(summary)) == []
    assert summary["inferences"] == {}
    assert summary["placed"]["offloaded"] >= 12


def test_frames_travel_compressed_and_those_of_a_camera_that_is_private_do_not(
    cluster: Cluster,
) -> None:
    cam = own(cluster.add("cam", fps=FPS), exact=False)
    private = own(cluster.add("private", fps=FPS, frames="node"), exact=False)
    without_camera(own(cluster.add("idle"), exact=False))
    start(cluster)
    eventually(lambda: len(away(cam)) >= 8, "frames were done by a peer", 40)
    for record in away(cam):
        (entry,) = (p["offload"] for p in record["provenance"] if p["offload"])
        assert entry["codec"].startswith(DEFAULT_CODEC)
        assert entry["differs"] == ["wire codec"]
    assert len(private.records()) > 8
    assert [p for r in private.records() for p in r["provenance"] if p["offload"]] == []
    assert private.status()["groups"]["offloaded"] == 0


def test_an_operator_that_raises_on_a_peer_is_told_with_the_peers_name(cluster: Cluster) -> None:
    cam = own(cluster.add("cam", fps=FPS))
    peer = without_camera(own(cluster.add("peer")))
    (peer.folder / "broken").touch()
    start(cluster)

    def failed() -> list[Record]:
        return [r for r in cam.records() if r["state"] == "failed"]

    eventually(failed, "a frame that only the peer had time for", 40)
    for record in failed():
        assert re.match(
            r"peer: marks \(bright\.py:\d+\): .*bright\.py:\d+: marks: "
            r"RuntimeError: a library is missing$",
            record["reason"],
        )
        assert record["outputs"] is None
    # What there was time for here was done here.
    assert any(r["state"] == "ok" for r in cam.records())
    assert list(ledger_closes(cam.stop())) == []
