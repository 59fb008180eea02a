"""How groups end that no peer could do."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from edgesdk.balance import Deliver, Drop, Reach
from edgesdk.cluster.asking import Asking
from edgesdk.cluster.deliveries import Failure
from edgesdk.cluster.local import Loads, NodeLocal, execution_key
from edgesdk.errors import PeerFailed
from edgesdk.models import load_card
from edgesdk.runtime.request import Outcome, Request, Terms
from edgesdk.runtime.sessions import KnownModel, LoadedModel, Picture, Sessions

SECOND = 1_000_000_000


class BrokenWay:
    """A data plane whose deliveries end at once in *failure*."""

    def __init__(self, failure: Failure) -> None:
        self.failure = failure

    def deliver(self, *_: Any, done: Any, **__: Any) -> Any:
        done(self.failure)
        return SimpleNamespace(cancel=lambda: None)


@pytest.mark.parametrize(
    ("reason", "ends"), [("failed", "peer: onnxruntime:CPU: InferFailed: broken"), ("late", "")]
)
def test_a_model_that_broke_on_a_peer_is_a_failure_of_that_peer(
    cards: Any, wait_for: Any, reason: Any, ends: str
) -> None:
    model = KnownModel.of(load_card(cards.cells))
    told: list[Outcome] = []
    verdicts: list[str] = []
    failed = SimpleNamespace(failed=lambda group, why: verdicts.append(why))
    asking = Asking(
        NodeLocal(lambda: (), Loads(1)),
        BrokenWay(Failure(reason, "onnxruntime:CPU: InferFailed: broken", sent=True)),  # type: ignore[arg-type]
        failed,  # type: ignore[arg-type]
        report=told.extend,
        peer=lambda number: SimpleNamespace(node_id="peer"),  # type: ignore[arg-type,return-value]
    )
    picture = Picture(np.zeros((48, 64, 3), np.uint8), "BGR")
    terms = Terms("cam", "app", frozenset({"app"}), 1.0, "00")
    far = 1 << 62
    request = Request(-1, model, [picture], far, lambda _: None, captured_ns=1, terms=terms)
    group = asking.ask([request])
    send = asking.note(Deliver(group, 7, b"t" * 16, far, far))
    assert send is not None
    send()
    wait_for(lambda: bool(verdicts), "the verdict")
    assert verdicts == [reason]
    end = asking.note(Drop(group, "deadline"))
    assert end is not None
    end()
    (outcome,) = told
    assert outcome.request is request
    if ends:
        assert isinstance(outcome.error, PeerFailed)
        assert f"{outcome.error.node}: {outcome.error}" == ends
    else:
        assert outcome.dropped == "deadline"
    asking.close()


def asked(resident: list[LoadedModel], model: KnownModel) -> Any:
    """The group of a request for exact results on a node where *resident* are loaded."""
    executor: Any = SimpleNamespace(models=lambda: resident)
    local = NodeLocal(lambda: [executor], Loads(1))
    local.refresh()
    way = BrokenWay(Failure("lost", "", sent=True))
    asking = Asking(local, way, SimpleNamespace(), report=lambda _: None, peer=lambda _: None)  # type: ignore[arg-type]
    picture = Picture(np.zeros((48, 64, 3), np.uint8), "BGR")
    terms = Terms("cam", "app", frozenset({"app"}), 1.0, "00", exact=True)
    request = Request(-1, model, [picture], 1 << 62, lambda _: None, captured_ns=1, terms=terms)
    try:
        return asking.ask([request])
    finally:
        asking.close()


def test_exact_groups_of_a_model_that_never_was_here_ask_for_what_would_be_here(cards: Any) -> None:
    sessions = Sessions(threads=1)
    resident = sessions.load(load_card(cards.colours))
    wanted = KnownModel.of(load_card(cards.cells))
    group = asked([resident], wanted)
    assert group.reach == Reach.CLUSTER
    assert group.variant == execution_key(sessions.load(wanted.card).execution())


def test_exact_groups_stay_at_home_where_nobody_knows_what_it_would_make(cards: Any) -> None:
    wanted = KnownModel.of(load_card(cards.cells))
    group = asked([], wanted)
    assert (group.variant, group.reach) == (0, Reach.NODE)
