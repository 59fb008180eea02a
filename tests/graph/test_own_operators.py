"""``@edge.operator``: functions and classes of the user's own."""

import json
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import edgesdk as edge
from edgesdk.graph import FrameInfo, FrameView, Plan
from edgesdk.values import Detections, Measurement


@edge.operator(version=1)
def left_of(rows: edge.Detections, info: edge.FrameInfo, *, share: float = 0.5) -> edge.Detections:
    return rows.select(rows.boxes[:, 2] < info.width * share)


@edge.operator(version=1)
def brightness(image: np.ndarray) -> edge.Measurement:
    return Measurement("brightness", {"mean": float(image.mean()), "first": image[0, 0].tolist()})


@edge.operator(version=1)
def how_many(view: FrameView, rows: edge.Detections) -> edge.Measurement:
    return Measurement("how_many", {"n": len(rows), "box": view.box})


@edge.operator(version=1, stateful=True)
class Busiest:
    def __init__(self, floor: int = 0) -> None:
        self.most = floor

    def step(self, rows: edge.Detections) -> edge.Measurement:
        self.most = max(self.most, len(rows))
        return Measurement("busiest", {"most": self.most})


@edge.operator(version=1, state=dict)
def seen(state: dict, rows: edge.Detections) -> int:
    state["n"] = state.get("n", 0) + len(rows)
    return state["n"]


def plan_of(compiled: Callable[..., Plan], make: Callable[[edge.Camera], Any]) -> Plan:
    return compiled(edge.app(name="main")(lambda camera: make(camera)))


def last(plan: Plan) -> Any:
    return plan.operators[plan.outputs["main", "door"]["output"]]


def test_a_function_is_given_values_frame_and_parameters(compiled, tracks, at) -> None:
    plan = plan_of(compiled, lambda camera: camera.detect("people").apply(left_of, share=0.3))
    operator = last(plan)
    assert (operator.role, operator.gives, operator.params) == (
        "value",
        "detections",
        {"share": 0.3},
    )
    found = operator.start().step(tracks(t1=(0.1, 0.5), t2=(0.6, 0.5)), at(0))
    assert found.track_ids.tolist() == [1]


def test_tracks_stay_tracks_through_an_operator_on_detections(compiled) -> None:
    plan = plan_of(compiled, lambda camera: camera.detect("people").track().apply(left_of).count())
    assert [operator.gives for operator in plan.operators][-2:] == ["tracks", "measurement"]


def test_pixels_come_as_bgr_of_the_part_looked_at(compiled, at) -> None:
    plan = plan_of(compiled, lambda camera: camera.crop(box=(0, 0, 0.5, 1)).apply(brightness))
    image = np.zeros((10, 20, 3), np.uint8)
    image[:, :10] = (1, 2, 3)
    found = last(plan).start().step(FrameView(image, "RGB", (0, 0, 10, 10)), at(0))
    assert found.fields == {"mean": 2.0, "first": [3, 2, 1]}


def test_several_streams_are_joined_and_a_view_is_given_as_one(compiled, tracks, at) -> None:
    plan = plan_of(compiled, lambda camera: camera.apply(how_many, camera.gate().detect("people")))
    operator = last(plan)
    assert [plan.operators[i].kind for i in operator.inputs] == ["camera", "filter"]
    assert [plan.operators[i].kind for i in plan.selectors["main", "door"]["output"]] == ["gate"]
    view = FrameView(np.zeros((10, 20, 3), np.uint8), "BGR", (1, 2, 3, 4))
    found = operator.start().step(view, tracks(t1=(0.1, 0.5)), at(0))
    assert found.fields == {"n": 1, "box": (1, 2, 3, 4)}


@pytest.mark.parametrize("own", [Busiest, seen])
def test_state_is_made_anew_for_each_stream(own, compiled, tracks, at) -> None:
    plan = plan_of(compiled, lambda camera: camera.detect("people").apply(own))
    operator = last(plan)
    assert operator.role == "stateful"
    two = tracks(t1=(0.1, 0.5), t2=(0.2, 0.5))
    for _ in range(2):
        step = operator.start().step
        step(two, at(0))
        found = step(tracks(), at(1))
        assert (found if own is seen else found.fields["most"]) == 2


def test_a_classs_parameters_go_to_its_making(compiled, tracks, at) -> None:
    plan = plan_of(compiled, lambda camera: camera.detect("people").apply(Busiest, floor=5))
    assert last(plan).params == {"floor": 5}
    assert last(plan).start().step(tracks(), at(0)).fields == {"most": 5}


def test_the_decorated_function_can_be_called(tracks, at) -> None:
    rows = tracks(t1=(0.1, 0.5), t2=(0.6, 0.5))
    assert len(left_of(rows, at(0), share=0.3)) == 1


MISTAKES = {
    "an unknown parameter": (
        lambda camera: camera.detect("people").apply(left_of, shar=0.3),
        r"left_of\(shar=0.3\): unknown parameter 'shar'; did you mean 'share'\?",
    ),
    "a parameter that is no plain data": (
        lambda camera: camera.detect("people").apply(left_of, share=object),
        r"left_of\(share=<class 'object'>\): expected plain data",
    ),
    "a stream of the wrong type": (
        lambda camera: camera.apply(left_of),
        r"left_of: 'rows' takes detections or tracks, and this is a stream of frames",
    ),
    "a stream too many": (
        lambda camera: camera.detect("people").apply(seen, camera),
        r"seen: is given 2 streams, and takes 1",
    ),
    "a stream as a parameter": (
        lambda camera: camera.detect("people").apply(left_of, share=camera),
        r"left_of: share= is given a stream; give streams without a name, in order",
    ),
    "no announcement of what it gives": (
        lambda camera: camera.detect("people").apply(seen).track(),
        r"track: needs detections, and this is a stream of values of seen; annotate what it gives, "
        r"such as -> edge.Detections",
    ),
    "no stream": (
        lambda camera: camera.detect("people").apply(how_many, 3),
        r"how_many: expected a stream, not 3; parameters are given by name",
    ),
}


@pytest.mark.parametrize("mistake", MISTAKES)
def test_a_mistake_is_found_when_the_graph_is_built(mistake, compiled) -> None:
    make, message = MISTAKES[mistake]
    with pytest.raises(edge.GraphError, match=rf"test_own_operators\.py:\d+: {message}"):
        plan_of(compiled, make)


def test_decorator_mistakes() -> None:
    with pytest.raises(edge.GraphError, match=r"write @edge.operator\(version=1\) above plain"):

        @edge.operator
        def plain(rows):
            return rows

    with pytest.raises(edge.GraphError, match=r"operator\(version=0\): expected a whole number"):
        edge.operator(version=0)
    with pytest.raises(edge.GraphError, match=r"Idle: a class needs a method step\(self, value\)"):

        @edge.operator(version=1)
        class Idle:
            pass

    with pytest.raises(edge.GraphError, match=r"later: must be a plain function"):

        @edge.operator(version=1)
        async def later(rows):
            return rows

    with pytest.raises(edge.GraphError, match=r"forgetful: a stateful function needs state="):

        @edge.operator(version=1, stateful=True)
        def forgetful(state, rows):
            return rows


def test_an_exception_in_an_operator_names_its_line(compiled, tracks, at) -> None:
    @edge.operator(version=1)
    def broken(rows: edge.Detections) -> edge.Detections:
        return rows.select(np.array([1 // 0]))

    line = broken.function.__code__.co_firstlineno + 2
    plan = plan_of(compiled, lambda camera: camera.detect("people").apply(broken))
    with pytest.raises(edge.GraphError, match=rf"py:{line}: broken: ZeroDivisionError: integer"):
        last(plan).start().step(tracks(), at(0))


def test_a_value_of_another_kind_than_announced_is_an_error(compiled, tracks, at) -> None:
    @edge.operator(version=1)
    def silent(rows: edge.Detections) -> edge.Detections:
        return None

    plan = plan_of(compiled, lambda camera: camera.detect("people").apply(silent))
    with pytest.raises(edge.GraphError, match="silent: gave a NoneType, and is annotated to give "
                       "Detections"):  # fmt: skip
        last(plan).start().step(tracks(), at(0))


def test_the_frames_information_comes_after_the_values(compiled) -> None:
    @edge.operator(version=1)
    def when(info: FrameInfo, rows: Detections) -> Detections:
        return rows

    with pytest.raises(edge.GraphError, match="when: write the parameter 'info' after the streams"):
        plan_of(compiled, lambda camera: camera.detect("people").apply(when))


def test_numpys_numbers_in_a_users_values_can_be_written() -> None:
    fields = {"mean": np.float32(0.5), "parts": (np.int64(1), np.array([2, 3]))}
    assert json.loads(json.dumps(Measurement("own", fields).to_json())) == {
        "type": "own",
        "mean": 0.5,
        "parts": [1, [2, 3]],
    }


def test_frames_information_is_given_by_the_name_info(compiled, at) -> None:
    @edge.operator(version=1)
    def when(rows: Detections, info: FrameInfo) -> Measurement:
        return Measurement("when", {"ns": info.capture_mono_ns})

    plan = plan_of(compiled, lambda camera: camera.detect("people").apply(when))
    assert last(plan).start().step(Detections.empty(), at(2.0)).fields == {"ns": 2 * 10**9}
