"""With offload and without, the same bytes: real agents, a real wire, exact frames or not."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from edgesdk.cluster.frame_codec import DEFAULT_CODEC, coder
from edgesdk.graph import load_application
from edgesdk.runtime import Node
from tests.cluster.agents import Cluster, eventually

Record = dict[str, Any]
FRAMES = 90


@pytest.fixture(scope="module")
def cluster(cards: Any, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    """Two cameras that see more than their accelerators can do, and one node that has time."""
    with Cluster(tmp_path_factory.mktemp("exact"), cards.large_cells) as made:
        made.add("exact", fps=20, service_ms=100, exact=True)
        made.add("plain", fps=20, service_ms=100)
        made.add("idle", fps=1, service_ms=15)
        made.start()
        yield made


def offloaded(cluster: Cluster, name: str) -> list[Record]:
    """Good results that another node than *name* made, some at least."""

    def found() -> list[Record]:
        records = [r for r in cluster.agents[name].records() if r["state"] == "ok"]
        there = [r for r in records if r["provenance"][0]["offload"]]
        return there if len(there) >= 10 else []

    return list(eventually(found, f"results of {name} from others"))


@pytest.fixture(scope="module")
def alone(cluster: Cluster) -> dict[int, Record]:
    """What one node makes of the same frames, by their number."""
    found: dict[int, Record] = {}
    folder = cluster.agents["exact"].folder
    uri = f"synthetic:?width=320&height=240&fps=20&frames={FRAMES}&pace=fast"
    app: Any = load_application(f"{folder}/bright.py:bright")
    with Node(
        [app], {"exact": uri}, on_result=lambda r: found.__setitem__(r["sequence"], r)
    ) as node:
        assert node.wait(30)
    return found


def test_exact_frames_give_the_same_ids_and_bytes_elsewhere(
    cluster: Cluster, alone: dict[int, Record]
) -> None:
    there = offloaded(cluster, "exact")
    compared = 0
    for record in there:
        (made_by,) = record["provenance"]
        offload = made_by["offload"]
        assert offload["origin"] == "exact"
        assert made_by["executed_on"].split("/")[0] in ("plain", "idle")
        assert (offload["codec"], offload["differs"]) == (None, [])
        assert 0 < offload["wire_ns"] == record["timings_ns"]["wire"]
        mine = alone.get(record["sequence"])
        if mine is not None:
            compared += 1
            assert made_by["execution_id"] == mine["provenance"][0]["execution_id"]
            assert record["outputs"] == mine["outputs"]
    assert compared > 0
    assert any(r["outputs"]["found"]["items"] for r in there)


def test_compressed_frames_say_so_and_have_ids_of_their_own(
    cluster: Cluster, alone: dict[int, Record]
) -> None:
    ids = set()
    for record in offloaded(cluster, "plain"):
        (made_by,) = record["provenance"]
        assert made_by["offload"]["differs"] == ["wire codec"]
        codec = made_by["offload"]["codec"]
        assert codec.startswith(f"{DEFAULT_CODEC}, decoded by ")
        assert codec.endswith(f", coded by {coder()}")
        ids.add(made_by["execution_id"])
    assert len(ids) == 1
    assert ids != {record["provenance"][0]["execution_id"] for record in alone.values()}


def test_who_executed_and_who_received_agree(cluster: Cluster) -> None:
    offloaded(cluster, "exact")

    def groups(what: str) -> int:
        return sum(agent.status()["groups"][what] for agent in cluster.agents.values())

    # What is on its way back is counted where it was executed, and nowhere else yet.
    assert 0 < groups("offloaded") <= groups("returned") <= groups("received")
    placed = [agent.stop()["placed"] for agent in cluster.agents.values()]
    assert sum(counts["received"] for counts in placed) > 0
    assert all(counts["executed"] >= counts["received"] for counts in placed)
