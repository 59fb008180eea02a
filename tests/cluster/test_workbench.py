"""What is done about pictures, in which order, and when they are coded ahead."""

from __future__ import annotations

import threading
from types import SimpleNamespace
from typing import Any

import numpy as np

from edgesdk.balance import Drop
from edgesdk.cluster.asking import Asking
from edgesdk.cluster.local import Loads, NodeLocal
from edgesdk.cluster.payload import Travelling
from edgesdk.cluster.workbench import Haste, Workbench
from edgesdk.models import load_card
from edgesdk.runtime.request import Request, Terms
from edgesdk.runtime.sessions import KnownModel, Picture


def test_what_a_peer_waits_for_goes_before_what_nobody_waits_for() -> None:
    bench = Workbench("test")
    begun, go, over = threading.Event(), threading.Event(), threading.Event()
    done: list[str] = []

    def first() -> None:
        begun.set()
        go.wait(10)

    bench.do(Haste.AHEAD, first)
    assert begun.wait(10)
    bench.do(Haste.AHEAD, lambda: done.append("ahead"))
    bench.do(Haste.AHEAD, over.set)
    bench.do(Haste.SHRINK, lambda: done.append("shrink"))
    bench.do(Haste.SEND, lambda: done.append("one"))
    bench.do(Haste.SEND, lambda: done.append("two"))
    go.set()
    assert over.wait(10)
    assert done == ["one", "two", "shrink", "ahead"]
    bench.close()


def test_work_that_breaks_does_not_stop_the_rest() -> None:
    bench, over = Workbench("test"), threading.Event()
    bench.do(Haste.SEND, lambda: 1 // 0)
    bench.do(Haste.SEND, over.set)
    assert over.wait(10)
    bench.close()
    bench.do(Haste.SEND, over.clear)
    assert over.is_set()


class Origin:
    """Asking with nobody around it, for groups of one picture."""

    def __init__(self, card: str) -> None:
        nothing: Any = SimpleNamespace()
        self.model = KnownModel.of(load_card(card))
        self.asking = Asking(
            NodeLocal(lambda: (), Loads(1)),
            nothing,
            nothing,
            report=lambda outcomes: None,
            peer=lambda number: None,
        )

    def seek(self, reach: Any = "cluster") -> tuple[Any, Request]:
        """A group that was not decided at once."""
        picture = Picture(np.zeros((48, 64, 3), np.uint8), "BGR")
        terms = Terms("cam", "app", frozenset({"app"}), 1.0, "00", reach=reach)
        request = Request(
            -1, self.model, [picture], 1 << 62, lambda _: None, captured_ns=1, terms=terms
        )
        group = self.asking.ask([request])
        self.asking.prepare(group)
        return group, request

    def settled(self, request: Request) -> Request:
        """*request*, once all that was to be done about it has been."""
        after = threading.Event()
        self.asking._bench.do(Haste.AHEAD, after.set)
        assert after.wait(10)
        assert isinstance(request.pictures[0], Travelling)
        return request

    def end(self, group: Any) -> None:
        drop = self.asking.note(Drop(group, "deadline"))
        assert drop is not None
        drop()


def coded(request: Request) -> bool:
    (picture,) = request.pictures
    return isinstance(picture, Travelling) and picture.coded is not None


def test_a_group_is_coded_while_peers_think_about_it(cards: Any, wait_for: Any) -> None:
    origin = Origin(cards.cells)
    _, request = origin.seek()
    wait_for(lambda: coded(request), "its bytes")
    origin.asking.close()


def test_nothing_is_coded_ahead_while_peers_have_no_room(cards: Any) -> None:
    origin = Origin(cards.cells)
    for _ in range(40):
        origin.end(origin.seek()[0])
    assert not coded(origin.settled(origin.seek()[1]))
    origin.asking.close()


def test_a_group_that_may_not_leave_is_not_coded(cards: Any) -> None:
    origin = Origin(cards.cells)
    assert not coded(origin.settled(origin.seek("node")[1]))
    origin.asking.close()
