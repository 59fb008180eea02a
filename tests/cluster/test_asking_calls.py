"""Which calls of users' operators are offered to others, and how the balancer sees operators."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

import edgesdk as edge
from edgesdk.balance import Deliver, Drop, Group, Reach
from edgesdk.cluster.asking import Asking
from edgesdk.cluster.data import Failure
from edgesdk.cluster.local import Loads, NodeLocal, model_key
from edgesdk.graph import compile_applications
from edgesdk.graph.frames import FrameInfo, FrameView
from edgesdk.runtime.installed import Installed
from edgesdk.runtime.own_code import OwnCode
from edgesdk.runtime.own_operator import Call, OwnOperator
from edgesdk.runtime.request import Outcome, Request, Terms
from tests.cluster.test_asking import BrokenWay

FAR = 1 << 62
PIXELS = np.zeros((48, 64, 3), np.uint8)


@edge.operator(version=1)
def look(pixels: Any, other: Any) -> edge.Measurement:
    return edge.Measurement("look", {})


@edge.app(deadline="1s")
def looking(camera: edge.Camera) -> dict[str, object]:
    return {"look": camera.apply(look, camera)}


class Origin:
    """A node with one operator, whose deliveries all end in *failure*."""

    def __init__(self, failure: str = "unsendable") -> None:
        plan = compile_applications([(looking, "cam")], lambda reference: None)  # type: ignore[arg-type,return-value]
        self.installed = Installed(OwnCode(lambda calls: None), lambda outcomes: None)
        self.installed.add([plan])
        (found,) = (self.installed.find(key) for key in self.installed.ids)
        assert isinstance(found, OwnOperator)
        self.operator = found
        self.local = NodeLocal(lambda: (), Loads(1), lambda: self.installed.executors.values())
        self.local.refresh()
        self.told: list[Outcome] = []
        self.verdicts: list[str] = []
        self.asking = Asking(
            self.local,
            BrokenWay(Failure(failure, "no form on the wire", sent=True)),  # type: ignore[arg-type]
            SimpleNamespace(failed=lambda group, why: self.verdicts.append(why)),  # type: ignore[arg-type]
            report=self.told.extend,
            peer=lambda number: SimpleNamespace(node_id="peer"),  # type: ignore[arg-type,return-value]
        )

    def ask(self, *values: Any, **said: Any) -> Group:
        terms = Terms("cam", "looking", frozenset({"looking"}), 1.0, "00", **said)
        call = Call(values, FrameInfo(1, 1, 0, 0, 64, 48))
        request = Request(
            -1, self.operator, [call], FAR, lambda _: None, captured_ns=1, terms=terms
        )
        return self.asking.ask([request])

    def close(self) -> None:
        self.asking.close()
        self.installed.stop()


@pytest.fixture
def origin() -> Any:
    made = Origin()
    yield made
    made.close()


def deliver(origin: Origin, group: Group) -> None:
    send = origin.asking.note(Deliver(group, 7, b"t" * 16, FAR, FAR))
    assert send is not None
    send()


def test_an_operator_is_told_beside_the_models_by_the_beginning_of_its_id(origin: Origin) -> None:
    key = model_key(origin.operator.digest)
    assert (origin.local.residents(), origin.local.installed()) == ([], [key])
    assert origin.local.lane(key) != origin.local.lane(1) == 0
    assert origin.local.cost_ns(key, 1) > 0
    assert origin.local.variant(key) != 0
    assert origin.local.name(key) == "look"


def test_a_call_is_offered_as_far_as_its_frame_may_go(origin: Origin) -> None:
    view = FrameView(PIXELS)
    assert origin.ask(view, view).reach == Reach.CLUSTER
    assert origin.ask(view, view, reach="site").reach == Reach.SITE
    assert origin.ask(view, view, reach="node").reach == Reach.NODE
    group = origin.ask(view, view, exact=True)
    assert (group.items, group.model) == (1, model_key(origin.operator.digest))
    assert group.variant == origin.local.variant(group.model) != 0
    assert group.payload_bytes >= 2 * PIXELS.nbytes


def test_frames_that_are_too_large_to_travel_stay(origin: Origin) -> None:
    large = FrameView(np.zeros((2160, 3840, 3), np.uint8))
    assert origin.ask(large, 1, exact=True).reach == Reach.NODE
    assert origin.ask(large, 1).reach == Reach.CLUSTER
    assert origin.ask(large, large, 1, large).reach == Reach.NODE


def test_an_argument_that_cannot_travel_keeps_the_next_calls_at_home(
    origin: Origin, wait_for: Any
) -> None:
    group = origin.ask(FrameView(PIXELS), object())
    deliver(origin, group)
    wait_for(lambda: bool(origin.verdicts), "the verdict")
    assert origin.verdicts == ["unsendable"]
    assert origin.ask(FrameView(PIXELS), 1).reach == Reach.NODE


def test_a_value_that_a_peer_cannot_send_keeps_the_next_calls_at_home(
    origin: Origin, wait_for: Any
) -> None:
    group = origin.ask(FrameView(PIXELS), 1)
    deliver(origin, group)
    wait_for(lambda: bool(origin.verdicts), "the verdict")
    assert origin.ask(FrameView(PIXELS), 1).reach == Reach.NODE
    end = origin.asking.note(Drop(group, "deadline"))
    assert end is not None
    end()
    (outcome,) = origin.told
    assert "no form on the wire" in str(outcome.error)


def test_an_estimate_beyond_the_deadline_comes_down_as_calls_are_given_up(origin: Origin) -> None:
    key = model_key(origin.operator.digest)
    before = origin.local.cost_ns(key, 1)
    origin.local.doubt(key, 1, before * 2)
    assert origin.local.cost_ns(key, 1) == before
    origin.local.doubt(key, 1, before // 2)
    assert origin.local.cost_ns(key, 1) == before * 7 // 8
