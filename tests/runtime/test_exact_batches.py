"""An exact application's values do not depend on what runs beside its pictures."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from threading import Event
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper

from edgesdk.models import load_card
from edgesdk.runtime.executor import Executor, Outcome, Request
from edgesdk.runtime.sessions import LoadedModel, Picture, Sessions
from tests.conftest import CELLS_CARD, SIDE, cells_model

S = 1_000_000_000


def leaking(data: bytes) -> bytes:
    """The model of *data*, where each score has a little of all pictures of its batch: as little as
    runtimes that sum in another order may have, and are used for all that."""
    model = onnx.load_from_string(data)
    nodes = list(model.graph.node)
    (at,) = (i for i, node in enumerate(nodes) if "scores" in node.output)
    nodes[at].output[0] = "own"
    small = helper.make_tensor("small", TensorProto.FLOAT, [], [3e-5])
    nodes[at + 1 : at + 1] = [
        helper.make_node("Constant", [], ["part"], value=small),
        helper.make_node("ReduceMean", ["own"], ["all"], keepdims=0),
        helper.make_node("Mul", ["all", "part"], ["leak"]),
        helper.make_node("Add", ["own", "leak"], ["scores"]),
    ]
    del model.graph.node[:]
    model.graph.node.extend(nodes)
    return bytes(model.SerializeToString())


def load(folder: Path, name: str, data: bytes) -> LoadedModel:
    (folder / f"{name}.onnx").write_bytes(data)
    (folder / f"{name}.toml").write_text(CELLS_CARD.format(name=name, side=SIDE))
    sessions = Sessions(threads=1)
    model = sessions.load(load_card(folder / f"{name}.toml"), batches=(1, 2, 4))
    # Whichever were faster here and now: all of them are to be used.
    return replace(model, batches=(1, 2, 4), costs_ns=(S // 100,) * 4)


@pytest.fixture
def pictures() -> list[Picture]:
    rng = np.random.default_rng(4)
    return [Picture(rng.integers(0, 255, (50, 60, 3), dtype=np.uint8), "BGR") for _ in range(4)]


@pytest.fixture
def model(tmp_path: Path) -> Iterator[LoadedModel]:
    made = load(tmp_path, "leaking", leaking(cells_model()))
    yield made
    made.session.unload()


def scores(model: LoadedModel, pictures: Sequence[Picture], *, exact: bool) -> list[bytes]:
    inputs, geometries = model.encode(pictures, exact=exact)
    values = model.decode(model.infer(inputs), geometries, (("score", 0.0),))
    return [value.scores.tobytes() for value in values]


def test_batches_that_change_a_bit_are_not_for_exact_pictures(
    model: LoadedModel, pictures: list[Picture]
) -> None:
    alone = [scores(model, [one], exact=False)[0] for one in pictures]
    assert model.session.describe().batches == (1, 2, 4)
    assert model.equal_batches == (1,)
    assert scores(model, pictures, exact=True) == alone
    assert scores(model, pictures, exact=False) != alone


def test_batches_that_change_nothing_are_for_all(tmp_path: Path, pictures: list[Picture]) -> None:
    # Which sizes are worth their while is measured, so there may be fewer than were asked for.
    model = load(tmp_path, "cells", cells_model())
    assert set(model.equal_batches) <= {1, 2, 4}
    wide = replace(model, equal_batches=(1, 2, 4))
    assert not hasattr(wide.encode(pictures, exact=True)[0], "each")
    assert scores(wide, pictures, exact=True) == scores(model, pictures, exact=False)
    model.session.unload()


def test_one_exact_request_in_a_batch_gets_what_it_gets_alone(
    model: LoadedModel, pictures: list[Picture]
) -> None:
    ended: dict[Any, Outcome] = {}
    all_there = Event()

    def report(outcomes: Sequence[Outcome]) -> None:
        ended.update((outcome.request, outcome) for outcome in outcomes)
        if len(ended) == 2:
            all_there.set()

    executor = Executor("CPU", report, lanes=1)
    executor.add_model(model)
    now = time.monotonic_ns()
    promise = executor.reserve(model, 4, release_ns=now + S, deadline_ns=now + 9 * S, now_ns=now)
    assert promise is not None
    options: tuple[tuple[str, Any], ...] = (("score", 0.0),)
    exact, other = (
        Request(-1, model, pictures[i : i + 2], now + 9 * S, print, options, exact=not i)
        for i in (0, 2)
    )
    assert executor.claim([exact, other], promise)
    executor.start()
    assert all_there.wait(10)
    assert executor.stop(5)
    values = ended[exact].values
    assert values is not None
    alone = [scores(model, [one], exact=False)[0] for one in pictures[:2]]
    assert [value.scores.tobytes() for value in values] == alone
