"""A model that one node has and others lack goes to where it is missed, and is used there."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from edgesdk.balance.digest import Digest
from edgesdk.balance.peers import Peer
from edgesdk.cluster.lending import chance_to_fetch
from edgesdk.models import ModelRegistry
from tests.cluster.agents import Cluster, eventually
from tests.cluster.test_failures import check_ledgers, where

ALSO = """
[emulated.models.cells]
base = "40ms"
"""


def seen(holders: int, others: int, key: int) -> dict[int, Peer]:
    peers = {}
    for number in range(holders + others):
        held = (key,) if number < holders else ()
        peers[number] = Peer(number, 0, 0, 1_000_000, b"")
        peers[number].hear(Digest(7, 0, 0, 0, 0, 1, 0.0, 0, 0.0, 1.0, 0, 0, held), 0)
    return peers


def test_where_few_could_fetch_a_model_each_does_and_of_many_only_some() -> None:
    assert chance_to_fetch(seen(1, 0, 42), 42) == 1.0
    assert chance_to_fetch(seen(8, 2, 42), 42) == 1.0
    assert chance_to_fetch(seen(1, 20, 42), 42) < 0.5


def test_a_model_that_is_missed_is_fetched_from_a_peer_loaded_and_used(
    cards: Any, tmp_path: Path
) -> None:
    with Cluster(tmp_path, cards.cells) as cluster:
        busy = cluster.add("busy", fps=30, service_ms=60)
        ModelRegistry(busy.folder / "cache").add(Path(cards.cells))
        other = cluster.add("other", fps=2, service_ms=30, card=cards.slow_cells, more=ALSO)
        cluster.start()
        assert other.status()["residents"] == ["slow-cells"]
        eventually(lambda: "cells" in other.status().get("residents", ()), "it is loaded", 60)
        eventually(lambda: where(busy.records()[-60:])["other"] > 10, "it is used")
        fetched = ModelRegistry(other.folder / "cache").resolve("cells")
        assert fetched.digest == ModelRegistry(busy.folder / "cache").resolve("cells").digest
        check_ledgers(cluster)
