"""Users' own operators run on peers that have the same, and on no other: against real agents."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from edgesdk.runtime import Node
from tests.cluster.agents import Agent, Cluster, eventually, ledger_closes

# Twice as long as there is time for at eight frames a second; sleeping leaves this machine alone.
SERVICE_MS, FPS = 250, 8
OWN = """
import time
import zlib

import numpy as np

import edgesdk as edge

@edge.operator(version={version})
def marks(pixels: np.ndarray, info: edge.FrameInfo, pause: float):
    time.sleep(pause)
    return {{"sequence": info.sequence, "at": (info.width, info.height),
            "crc": zlib.crc32(np.ascontiguousarray(pixels)), "rows": pixels.mean(axis=(1, 2))[:2]}}

@edge.operator(version=1)
def twice(found):
    return {{"sequence": 2 * found["sequence"], "tuple": isinstance(found["at"], tuple),
            "rows": found["rows"].tolist()}}

@edge.app(deadline="900ms", exact={exact})
def bright(camera: edge.Camera):
    found = camera.crop(box=(0.1, 0.1, 0.8, 0.9)).apply(marks, pause={pause})
    return {{"found": found.apply(twice), "crc": found.apply(crc)}}

@edge.operator(version=1)
def crc(found):
    return found["crc"]
"""


def own(
    agent: Agent, *, version: int = 1, exact: bool = True, pause: float = SERVICE_MS / 1e3
) -> None:
    source = OWN.format(version=version, exact=exact, pause=pause)
    (agent.folder / "bright.py").write_text(source)


@pytest.fixture
def cluster(cards: Any, tmp_path: Path) -> Iterator[Cluster]:
    with Cluster(tmp_path, cards.cells) as made:
        yield made


def test_an_operator_runs_on_the_peer_that_has_the_same_and_on_no_other(
    cluster: Cluster, tmp_path: Path
) -> None:
    own(cluster.add("cam", fps=FPS))
    own(cluster.add("same", fps=1))
    own(cluster.add("newer", fps=1), version=2)
    cluster.add("plain", fps=1)
    cluster.start()
    cam, same = cluster.agents["cam"], cluster.agents["same"]

    def away() -> list[dict[str, Any]]:
        return [r for r in cam.records() if any(p["offload"] for p in r["provenance"])]

    eventually(lambda: len(away()) >= 15, "frames went to a peer", 40)
    status = {name: agent.status() for name, agent in cluster.agents.items()}
    assert status["same"]["groups"]["returned"] >= 15
    assert status["newer"]["groups"]["received"] == status["plain"]["groups"]["received"] == 0
    assert status["same"]["operators"] == ["crc", "marks", "twice"]
    assert status["plain"]["operators"] == []
    print(away()[-1])
