"""What the balancer decides about models happens, and both it and the peers see it."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from edgesdk.balance import Evict, Load
from edgesdk.cluster.loading import Loader
from edgesdk.cluster.local import Loads, NodeLocal, model_key
from edgesdk.config import parse_config
from edgesdk.models import ModelRegistry
from edgesdk.runtime import Node

MS = 1_000_000
CONFIG = """
[node]
name = "n"
threads = 1
cache = "cache"
state = "state"
[emulated]
name = "pi5"
residents = 1
[emulated.models.cells]
base = "10ms"
load = "400ms"
[emulated.models.colours]
base = "4ms"
overlap = 0.5
"""


class Bench:
    """A standing node with nothing to do, whose registry has models."""

    def __init__(self, folder: Path, cards: Any) -> None:
        registry = ModelRegistry(folder / "cache")
        self.cells, self.colours, self.slow = (
            registry.add(path) for path in (cards.cells, cards.colours, cards.slow_cells)
        )
        self.node = Node(config=parse_config(CONFIG, directory=folder), standing=True)
        self.node.start()
        self.loads = Loads(1)
        self.local = NodeLocal(lambda: self.node.wiring.executors.values(), self.loads)
        self.loader = Loader(self.node, self.loads, self.local.refresh)
        self.loader.start()

    def does(self, action: Load | Evict) -> None:
        self.loader.note(action)()

    def close(self) -> None:
        self.loader.close()
        self.node.stop()


@pytest.fixture
def bench(tmp_path: Path, cards: Any) -> Iterator[Bench]:
    bench = Bench(tmp_path, cards)
    yield bench
    bench.close()


def test_the_catalogue_has_what_is_here_and_can_be_run_with_its_cost(bench: Bench) -> None:
    cells, colours = model_key(bench.cells.digest), model_key(bench.colours.digest)
    assert set(bench.local.loadable()) == {cells, colours}, "nothing is stated of the third"
    assert bench.local.expected_ns(cells, 4) == 40 * MS
    assert bench.local.expected_ns(colours, 4) == 4 * MS * (0.5 + 0.5 * 4)
    assert bench.local.residents() == []


def test_a_load_is_announced_at_once_and_promises_can_be_given_after_it(
    bench: Bench, wait_for: Any
) -> None:
    cells = model_key(bench.cells.digest)
    began = time.monotonic_ns()
    later = bench.loader.note(Load(cells))
    ready = bench.local.ready_ns(cells)
    assert ready is not None
    assert ready - began >= 400 * MS
    assert bench.loads.names() == ["cells"]
    later()
    wait_for(lambda: cells in bench.local.residents(), "the model is resident")
    assert time.monotonic_ns() - began >= 400 * MS
    wait_for(lambda: bench.local.ready_ns(cells) is None, "it is loading no more")
    now = time.monotonic_ns()
    promise = bench.local.reserve(
        cells, 2, release_ns=now + 100 * MS, deadline_ns=now + 10**9, now_ns=now
    )
    assert promise is not None
    bench.local.cancel(promise)


def test_an_eviction_makes_room_for_the_load_that_follows(bench: Bench, wait_for: Any) -> None:
    cells, colours = model_key(bench.cells.digest), model_key(bench.colours.digest)
    bench.does(Load(colours))
    wait_for(lambda: colours in bench.local.residents(), "the first")
    bench.does(Load(cells))
    wait_for(lambda: bench.local.ready_ns(cells) is None, "there is no room")
    assert list(bench.local.residents()) == [colours]
    bench.does(Evict(colours))
    bench.does(Load(cells))
    wait_for(lambda: list(bench.local.residents()) == [cells], "the other one")


def test_a_model_that_nobody_knows_is_no_load(bench: Bench, wait_for: Any) -> None:
    bench.does(Load(12345))
    bench.does(Evict(54321))
    bench.does(Load(model_key(bench.colours.digest)))
    wait_for(lambda: bench.local.residents(), "the loader goes on")
    assert bench.local.ready_ns(12345) is None
