"""Users' operators as work of an executor: one thread an application, measured, kept or let go."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import pytest

import edgesdk as edge
from edgesdk.errors import Cancelled
from edgesdk.graph import compile_applications
from edgesdk.graph.frames import FrameInfo
from edgesdk.graph.plan import Plan
from edgesdk.runtime import Node
from edgesdk.runtime.installed import Installed
from edgesdk.runtime.latency import Durations
from edgesdk.runtime.own_code import OwnCode
from edgesdk.runtime.own_operator import Call
from edgesdk.runtime.own_times import OwnTimes
from edgesdk.runtime.program import CameraProgram
from edgesdk.runtime.request import Outcome, Request
from edgesdk.runtime.services import StageClock

MS = 1_000_000
INFO = FrameInfo(1, 1, 0, 0, 64, 48)
LIVE = "synthetic:?width=96&height=64&fps=25&frames=20&seed=3"


@edge.operator(version=1)
def where(value: Any) -> edge.Measurement:
    return edge.Measurement("where", {"thread": threading.current_thread().name, "value": value})


@edge.operator(version=1, state=dict)
def seen(state: dict[str, int], value: Any) -> edge.Measurement:
    state["n"] = state.get("n", 0) + 1
    return edge.Measurement("seen", {"thread": threading.current_thread().name, "n": state["n"]})


@edge.operator(version=1)
def awkward(value: Any):  # type: ignore[no-untyped-def]
    return {object()}


@edge.operator(version=1)
def shape(pixels: Any) -> edge.Measurement:
    return edge.Measurement("shape", {"of": list(pixels.shape)})


@edge.app(deadline="5s")
def mine(camera: edge.Camera) -> dict[str, object]:
    shapes = camera.apply(shape)
    return {"where": shapes.apply(where), "seen": shapes.apply(seen)}


@edge.app(deadline="5s")
def odd(camera: edge.Camera) -> dict[str, object]:
    return {"awkward": camera.apply(shape).apply(awkward)}


def plan_of(*apps: Any) -> Plan:
    return compile_applications([(app, "cam") for app in apps], lambda reference: None)  # type: ignore[arg-type,return-value]


class Bench:
    """What is installed, and what came of it."""

    def __init__(self) -> None:
        self.own_code = OwnCode(lambda calls: [call() for call in calls] and None)
        self.outcomes: list[Outcome] = []
        self.came = threading.Condition()
        self.installed = Installed(self.own_code, self._report)

    def _report(self, outcomes: Sequence[Outcome]) -> None:
        with self.came:
            self.outcomes += outcomes
            self.came.notify_all()

    def operator(self, name: str) -> Any:
        found = (self.installed.find(key) for key in self.installed.ids)
        return next(o for o in found if o is not None and o.name == name)

    def call(self, name: str, *values: Any) -> Outcome:
        operator = self.operator(name)
        executor = self.installed.executors[operator.runs_on]
        deadline = time.monotonic_ns() + 5_000 * MS
        executor.submit(Request(-1, operator, [Call(values, INFO)], deadline, lambda _: None))
        with self.came:
            assert self.came.wait_for(lambda: bool(self.outcomes), 10)
            return self.outcomes.pop()


@pytest.fixture
def bench() -> Iterator[Bench]:
    made = Bench()
    yield made
    made.installed.stop()
    made.own_code.stop()


def test_only_operators_without_state_are_installed(bench: Bench) -> None:
    bench.installed.add([plan_of(mine)])
    names = {bench.installed.find(key).name for key in bench.installed.ids}  # type: ignore[union-attr]
    assert names == {"shape", "where"}


def test_a_call_runs_on_the_thread_of_its_application(bench: Bench) -> None:
    bench.installed.add([plan_of(mine)])
    told: list[str] = []
    done = threading.Event()

    def after(outcome: Outcome) -> None:
        told.extend(outcome.values or ())
        done.set()

    bench.own_code.call("mine", lambda: threading.current_thread().name, after)
    outcome = bench.call("where", 7)
    assert outcome.values is not None
    assert done.wait(5)
    assert outcome.values[0].fields == {"thread": told[0], "value": 7}


def test_what_an_operator_raises_is_its_outcome(bench: Bench) -> None:
    bench.installed.add([plan_of(mine)])
    outcome = bench.call("shape", 7)
    assert "AttributeError: 'int' object has no attribute 'shape'" in str(outcome.error)


def test_values_that_cannot_travel_are_noticed_at_home(bench: Bench) -> None:
    bench.installed.add([plan_of(odd)])
    assert bench.operator("awkward").travels
    assert bench.call("awkward", 1).error is None
    assert not bench.operator("awkward").travels
    assert bench.operator("shape").travels


def test_the_first_call_tells_nothing_of_the_next(bench: Bench) -> None:
    bench.installed.add([plan_of(mine)])
    operator = bench.operator("where")
    executor = bench.installed.executors["mine"]
    first = executor.cost_ns(operator, 1)
    bench.call("where", 1)
    assert executor.cost_ns(operator, 1) == first
    bench.call("where", 1)
    assert executor.cost_ns(operator, 1) < first


def test_an_estimate_that_lets_nothing_run_comes_down(bench: Bench) -> None:
    bench.installed.add([plan_of(mine)])
    operator, executor = bench.operator("where"), bench.installed.executors["mine"]
    before = executor.cost_ns(operator, 1)
    for _ in range(10):
        executor.doubt(operator)
    assert executor.cost_ns(operator, 1) < before / 3
    assert bench.call("where", 1).error is None


def test_operators_that_no_application_brings_any_more_are_gone(bench: Bench) -> None:
    first = bench.installed.add([plan_of(mine)])
    second = bench.installed.add([plan_of(odd)])
    assert bench.installed.ids == first | second
    assert set(bench.installed.executors) == {"mine", "odd"}
    bench.installed.keep(second)
    # The operator that both bring goes on, where it is.
    assert bench.installed.ids == second
    assert bench.call("shape", b"").error is not None
    assert bench.call("awkward", 1).error is None


def test_more_operators_than_an_executor_knows_run_at_home_only(bench: Bench) -> None:
    @edge.app(deadline="5s")
    def many(camera: edge.Camera) -> dict[str, object]:
        return {f"o{i}": camera.apply(numbered, number=i) for i in range(70)}

    found = bench.installed.add([plan_of(many)])
    assert len(found) == 70
    assert len(bench.installed.ids) == 64


@edge.operator(version=1)
def numbered(pixels: Any, number: int) -> edge.Measurement:
    return edge.Measurement("number", {"is": number})


def test_a_call_that_waits_ends_with_its_node(bench: Bench) -> None:
    inside, leave = threading.Event(), threading.Event()

    def long() -> None:
        inside.set()
        leave.wait(5)

    bench.own_code.call("mine", long, lambda outcome: None)
    assert inside.wait(5)
    told: list[BaseException] = []

    def wait() -> None:
        try:
            bench.own_code.run("mine", lambda: 1)
        except Cancelled as error:
            told.append(error)

    waiting = threading.Thread(target=wait)
    waiting.start()
    while not bench.own_code.waiting():
        pass
    bench.own_code.stop()
    waiting.join(5)
    leave.set()
    assert len(told) == 1


class HomePlacer:
    """Runs everything here, as a cluster would that nobody else is in."""

    def __init__(self) -> None:
        self.requests: list[Request] = []
        self.node: Any = None

    def join(self, node: Node) -> None:
        self.node = node

    def attach(self) -> None:
        """It is ready."""

    def place(self, request: Request) -> None:
        self.requests.append(request)
        self.node.workshop.installed.executors["mine"].submit(request)

    def close(self) -> None:
        """Nothing is under way."""


def results(uri: str, placer: Any) -> tuple[dict[int, Any], Node]:
    found: dict[int, Any] = {}
    keep: Callable[[Any], None] = lambda r: found.__setitem__(r["sequence"], r)  # noqa: E731
    with Node([mine], {"cam": uri}, on_result=keep, placer=placer) as node:
        assert node.wait(30)
    return found, node


def test_results_and_ids_are_the_same_with_a_placer_and_without() -> None:
    alone, _ = results(LIVE, None)
    placer = HomePlacer()
    placed, node = results(LIVE, placer)
    assert len(alone) == len(placed) == 20
    for number, record in alone.items():
        other = placed[number]
        assert other["outputs"]["where"]["value"] == record["outputs"]["where"]["value"]
        assert other["outputs"]["seen"] == record["outputs"]["seen"]
        assert other["provenance"] == record["provenance"]
        assert [p["operator"] for p in record["provenance"]] == ["shape", "where"]
    summary = node.summary()
    assert {request.model.name for request in placer.requests} <= {"shape", "where"}
    assert summary.inferences == {}
    assert summary.placed.executed == len(placer.requests) >= 4


def test_a_file_that_waits_for_its_results_places_nothing() -> None:
    placer = HomePlacer()
    found, _ = results(LIVE + "&pace=fast", placer)
    assert (len(found), placer.requests) == (20, [])


def clocks_of(program: CameraProgram, **took_ms: int) -> dict[int, StageClock]:
    clocks = {}
    for stage in program.stages.values():
        clock = clocks[stage.index] = StageClock("x", "y", Durations())
        if stage.planned.name in took_ms:
            clock.add(took_ms[stage.planned.name] * MS)
    return clocks


def test_what_comes_before_an_operator_leaves_it_time() -> None:
    program = CameraProgram(plan_of(mine), "cam")
    at = {stage.planned.name: stage.index for stage in program.stages.values()}
    times = OwnTimes()
    times.look(program, clocks_of(program, shape=100, where=20, seen=10), 1)
    # The two behind it, one of another frame that may be in their thread, and some for handing on.
    assert 130 * MS <= times.after(at["shape"]) <= 150 * MS
    assert times.after(at["where"]) == 0
    assert times.until(at["shape"], 500 * MS, 0) == 500 * MS - times.after(at["shape"])
    assert times.until(at["shape"], 500 * MS, 400 * MS) == 500 * MS
    assert not times.is_brief(at["shape"])


def test_an_operator_is_brief_once_it_was_seen_to_be() -> None:
    program = CameraProgram(plan_of(mine), "cam")
    at = {stage.planned.name: stage.index for stage in program.stages.values()}
    times = OwnTimes()
    assert not times.is_brief(at["where"])
    clocks = clocks_of(program, where=1)
    times.look(program, clocks, 1)
    assert times.is_brief(at["where"])
    clocks[at["where"]].add(9 * MS)
    times.look(program, clocks, 10_000 * MS)
    assert not times.is_brief(at["where"])
