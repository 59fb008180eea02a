"""A camera's flow under any order of outcomes: inference and threads are the test's."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Any

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

import edgesdk as edge
from edgesdk.errors import InferFailed
from edgesdk.graph.frames import FrameInfo, FrameView
from edgesdk.graph.plan import Plan
from edgesdk.records import Provenance
from edgesdk.runtime.executor import Outcome, Request
from edgesdk.runtime.flow import CameraFlow, Port, StageClock
from edgesdk.runtime.ledger import Ledger
from edgesdk.runtime.outlet import Delivery, Outlet
from edgesdk.runtime.program import CameraProgram

FAR_NS = 10**12
CARD = SimpleNamespace(name="fake", task="detect", digest="d1", labels={1: "thing"})
OTHER = SimpleNamespace(name="kind", task="classify", digest="d2", labels={0: "a"})


@edge.operator(version=1, stateful=True, state=list)
def remember(state: list[int], found: edge.Detections, info: edge.FrameInfo) -> edge.Measurement:
    state.append(info.sequence)
    return edge.Measurement("seen", {"sequences": list(state)})


@edge.app(deadline="1s")
def simple(camera: edge.Camera) -> dict[str, object]:
    return {"seen": camera.detect("fake").apply(remember)}


@edge.app(deadline="2s")
def cascade(camera: edge.Camera) -> dict[str, object]:
    found = camera.detect("fake").classify("kind")
    return {"found": found, "n": found.track().count()}


def found_things(rows: int) -> edge.Detections:
    boxes = np.tile(np.array([[1, 1, 9, 9]], np.float32), (rows, 1))
    return edge.Detections(
        boxes, np.full(rows, 0.9, np.float32), np.ones(rows, np.int32), ("thing",) * rows
    )


def kind() -> edge.Classification:
    return edge.Classification((0,), ("a",), (0.5,))


@dataclass
class Hands:
    """The node's part: keeps what was asked until the test answers it."""

    name: str = "n"
    requests: list[tuple[Request, Callable[[Outcome], None]]] = field(default_factory=list)
    calls: deque[tuple[Callable[[], Any], Callable[[Outcome], None]]] = field(default_factory=deque)
    observed_frames: int = 0

    def infer(self, port: Port, pictures: Any, deadline_ns: int, done: Any) -> None:
        request = Request(port.stream, port.model, pictures, deadline_ns, done)
        self.requests.append((request, done))

    def call(self, app: str, function: Callable[[], Any], done: Any) -> None:
        self.calls.append((function, done))

    def provenance(self, stage: Any, camera: str) -> Provenance:
        fields = ("operator", "id", "execution_id", "model", "card", "backend")
        rest = ("backend_version", "precision", "executed_on")
        return Provenance(**dict.fromkeys((*fields, *rest), "x"))

    def observed(self, camera: str, info: Any, view: Any, results: Sequence[Delivery]) -> None:
        self.observed_frames += 1

    def answer(self, which: int, how: str, rows: int = 1) -> None:
        """Ends one open request as the executor would."""
        request, done = self.requests.pop(which % len(self.requests))
        if how == "ok":
            one = found_things(rows) if request.model is CARD else kind()
            done(Outcome(request, values=[one] * len(request.pictures)))
        elif how == "failed":
            done(Outcome(request, error=InferFailed("broken", backend="b", device="CPU")))
        else:
            done(Outcome(request, dropped=how))

    def run_calls(self) -> None:
        while self.calls:
            function, done = self.calls.popleft()
            done(Outcome(values=[function()]))


class Bench:
    """One camera with its flow, and every record it delivered."""

    def __init__(self, *apps: Any) -> None:
        resolve = {"fake": CARD, "kind": OTHER}.__getitem__
        plan: Plan = edge.compile_applications([(app, "cam") for app in apps], resolve)
        self.program = CameraProgram(plan, "cam")
        self.ledger = Ledger()
        self.delivered: list[Delivery] = []
        self.hands = Hands()
        outlets = {
            app.name: Outlet(self.ledger.channel(app.name, "cam"), app.deadline_ns, self._deliver)
            for app in apps
        }
        ports = {s.index: Port(0, 2, s.planned.model) for s in self.program.inferences}
        clocks = {i: StageClock("k", "i") for i in self.program.stages}
        self.flow = CameraFlow(self.program, outlets, ports, clocks, self.hands)
        self.sequence = 0

    def _deliver(self, delivery: Delivery, forget: Callable[[], None]) -> None:
        self.delivered.append(delivery)
        forget()

    def frame(self, *, overdue: bool = False) -> None:
        self.sequence += 1
        now = time.monotonic_ns()
        captured = now - FAR_NS if overdue else now + FAR_NS
        info = FrameInfo(self.sequence, 1, captured, captured, 16, 16)
        self.flow.frame(info, FrameView(np.zeros((16, 16, 3), np.uint8)), now)

    def records(self, app: str) -> list[Any]:
        return [d.record for d in self.delivered if d.record.app == app]


def test_results_that_come_out_of_order_are_delivered_in_order() -> None:
    bench = Bench(simple)
    for _ in range(3):
        bench.frame()
    for which in (2, 1, 0):
        bench.hands.answer(which, "ok")
        bench.hands.run_calls()
    records = bench.records("simple")
    assert [r.sequence for r in records] == [1, 2, 3]
    assert records[-1].outputs["seen"]["sequences"] == [1, 2, 3]


def test_stateful_operator_sees_a_drop_and_a_failure_as_gaps() -> None:
    bench = Bench(simple)
    for _ in range(4):
        bench.frame()
    for how in ("ok", "queue", "failed", "ok"):
        bench.hands.answer(0, how)
    bench.hands.run_calls()
    records = bench.records("simple")
    assert [r.state for r in records] == ["ok", "dropped", "failed", "ok"]
    assert [r.reason for r in records][:2] == [None, "queue"]
    assert "broken" in records[2].reason
    assert records[3].outputs["seen"]["sequences"] == [1, 4]


def test_overdue_frame_that_blocks_newer_ones_is_given_up_and_ends_once() -> None:
    bench = Bench(simple)
    bench.frame(overdue=True)
    bench.frame()
    bench.hands.answer(1, "ok")
    bench.flow.tick(time.monotonic_ns())
    bench.hands.run_calls()
    bench.hands.answer(0, "ok")
    bench.hands.run_calls()
    records = bench.records("simple")
    assert [(r.sequence, r.state, r.reason) for r in records] == [
        (1, "dropped", "deadline"),
        (2, "ok", None),
    ]
    assert records[1].outputs["seen"]["sequences"] == [2]


def test_result_after_the_deadline_is_late_and_there_all_the_same() -> None:
    bench = Bench(simple)
    bench.frame(overdue=True)
    bench.hands.answer(0, "ok")
    bench.hands.run_calls()
    (record,) = bench.records("simple")
    assert record.state == "late"
    assert record.outputs["seen"]["sequences"] == [1]


def test_merged_inference_that_one_deadline_gave_up_is_tried_for_the_later_one() -> None:
    bench = Bench(simple, cascade)
    bench.frame()
    assert len(bench.hands.requests) == 1
    (request, _) = bench.hands.requests[0]
    bench.hands.answer(0, "deadline")
    (again, _) = bench.hands.requests[0]
    assert again.deadline_ns - request.deadline_ns == 10**9
    bench.hands.answer(0, "deadline")
    assert not bench.hands.requests
    assert {r.reason for r in bench.records("simple") + bench.records("cascade")} == {"deadline"}


def test_pixels_are_given_back_once_no_stage_needs_them() -> None:
    bench = Bench(cascade)
    bench.frame()
    (task,) = bench.flow._tasks.values()
    assert task.view is not None  # the crops are still to be cut
    bench.hands.answer(0, "ok", rows=3)
    assert task.view is None
    assert not any(isinstance(value, FrameView) for value in task.values.values())
    assert [len(request.pictures) for request, _ in bench.hands.requests] == [2, 1]


def test_frame_without_detections_needs_no_second_model() -> None:
    bench = Bench(cascade)
    bench.frame()
    bench.hands.answer(0, "ok", rows=0)
    assert not bench.hands.requests
    (record,) = bench.records("cascade")
    assert record.outputs["found"] == {"type": "detections", "items": []}


actions = st.lists(
    st.one_of(
        st.tuples(st.just("frame"), st.booleans(), st.just(0)),
        st.tuples(st.just("lost"), st.just(False), st.integers(1, 3)),
        st.tuples(
            st.sampled_from(["ok", "ok", "ok", "failed", "deadline", "queue"]),
            st.booleans(),
            st.integers(0, 7),
        ),
        st.tuples(st.just("calls"), st.just(False), st.just(0)),
        st.tuples(st.just("tick"), st.just(False), st.just(0)),
        st.tuples(st.just("reject"), st.just(False), st.just(0)),
    ),
    max_size=40,
)


@settings(max_examples=150, deadline=None)
@given(actions)
def test_whatever_happens_every_frame_ends_once_and_the_counters_add_up(
    steps: list[tuple[str, bool, int]],
) -> None:
    bench = Bench(simple, cascade)
    for what, flag, number in steps:
        if what == "frame":
            bench.frame(overdue=flag)
        elif what == "lost":
            bench.flow.lost(number)
        elif what == "calls":
            bench.hands.run_calls()
        elif what == "tick":
            bench.flow.tick(time.monotonic_ns())
        elif what == "reject":
            bench.sequence += 1
            bench.flow.reject(FrameInfo(bench.sequence, 1, 1, 1, 16, 16), "no picture")
        elif bench.hands.requests:
            bench.hands.answer(number, what, rows=number % 4)
        assert all(channel.counts.balanced() for channel in bench.ledger.channels())
    bench.flow.abandon()
    while bench.hands.requests:
        bench.hands.answer(0, "ok")
    bench.hands.run_calls()
    assert bench.flow.open_tasks == 0
    for channel in bench.ledger.channels():
        counts = channel.counts
        assert counts.balanced()
        assert counts.open == 0
        assert counts.duplicate == 0
        assert not channel._open
        records = bench.records(channel.app)
        assert sorted(r.sequence for r in records) == list(range(1, bench.sequence + 1))
        ends = [r.state for r in records]
        assert ends.count("ok") == counts.ok
        assert ends.count("failed") == counts.failed
        assert all((r.outputs is None) == (r.state in ("dropped", "failed")) for r in records)
    seen = [r.outputs["seen"]["sequences"] for r in bench.records("simple") if r.outputs]
    assert all(sequences == sorted(set(sequences)) for sequences in seen)
