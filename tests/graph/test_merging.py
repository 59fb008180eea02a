"""Applications on one camera share equal operators, and get what they would get alone."""

from collections.abc import Callable, Iterable
from types import SimpleNamespace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import edgesdk as edge
from edgesdk.graph import Application, FrameInfo, FrameView, Plan, compile_applications
from edgesdk.values import Detections


def application(name: str, make: Callable[[edge.Camera], object]) -> Application:
    return edge.app(name=name)(lambda camera: make(camera))


def operators(plan: Plan, kind: str) -> list:
    return [operator for operator in plan.operators if operator.kind == kind]


def test_other_gates_and_other_thresholds_share_one_inference(
    compiled: Callable[..., Plan],
) -> None:
    plan = compiled(
        application("a", lambda camera: camera.gate().detect("people", score=0.5)),
        application("b", lambda camera: camera.sample(fps=2).detect("people", score=0.3).track()),
        application("c", lambda camera: camera.detect("people", classes="person")),
    )
    (inference,) = operators(plan, "detect")
    assert inference.applications == {"a", "b", "c"}
    assert len(operators(plan, "filter")) == 3


def test_an_inference_does_not_depend_on_who_else_asks(compiled: Callable[..., Plan]) -> None:
    low = application("low", lambda camera: camera.detect("people", score=0.02))
    high = application("high", lambda camera: camera.detect("people", score=0.5))
    (alone,) = operators(compiled(high), "detect")
    together = operators(compiled(low, high), "detect")
    (same,) = [inference for inference in together if "high" in inference.applications]
    assert same.id == alone.id
    assert same.params == alone.params


def test_trackers_are_shared_only_if_they_see_the_same_frames(
    compiled: Callable[..., Plan],
) -> None:
    def tracked(name: str, fps: float) -> Application:
        return application(name, lambda camera: camera.sample(fps=fps).detect("people").track())

    shared = operators(compiled(tracked("a", 5), tracked("b", 5)), "track")
    apart = operators(compiled(tracked("a", 5), tracked("b", 6)), "track")
    assert [track.applications for track in shared] == [{"a", "b"}]
    assert sorted(*zip(*(track.applications for track in apart), strict=True)) == ["a", "b"]


def test_cameras_share_nothing(compiled: Callable[..., Plan]) -> None:
    app = application("a", lambda camera: camera.detect("people").track())
    plan = compiled((app, "door"), (app, "yard"))
    assert plan.cameras == ("door", "yard")
    assert [operator.camera for operator in operators(plan, "detect")] == ["door", "yard"]
    assert len({operator.id for operator in operators(plan, "detect")}) == 1


def test_columns_of_other_names_share_the_inference_on_crops(compiled: Callable[..., Plan]) -> None:
    plan = compiled(
        application("a", lambda camera: camera.detect("people").classify("hats", name="hat")),
        application("b", lambda camera: camera.detect("people").classify("hats", top=2)),
    )
    (inference,) = operators(plan, "classify")
    assert inference.role == "inference"
    assert [plan.operators[i].kind for i in inference.inputs] == ["camera", "filter"]
    assert len(operators(plan, "attach")) == 2


@pytest.mark.parametrize("twice", [False, True])
def test_a_selector_that_another_implies_changes_nothing(
    twice: bool, compiled: Callable[..., Plan]
) -> None:
    @edge.operator(version=1)
    def both(tracks: Detections, kind: edge.Classification) -> Detections:
        return tracks

    def make(camera: edge.Camera) -> object:
        sampled = camera.sample(fps=5)
        again = camera.sample(fps=5) if twice else sampled
        joined = sampled.detect("people").apply(both, again.gate().classify("hats"))
        return joined.track()

    def plainly(camera: edge.Camera) -> object:
        moving = camera.sample(fps=5).gate()
        return moving.detect("people").apply(both, moving.classify("hats")).track()

    plan = compiled(application("a", make), application("b", plainly))
    (track,) = operators(plan, "track")
    assert [plan.operators[i].kind for i in track.selectors] == ["gate"]
    assert plan.selectors["a", "door"]["output"] == track.selectors


def test_an_application_may_be_used_inside_another(compiled: Callable[..., Plan]) -> None:
    @edge.app
    def people(camera: edge.Camera) -> edge.TrackStream:
        return camera.gate().detect("people").track()

    @edge.app
    def crowd(camera: edge.Camera) -> edge.MeasurementStream:
        return people(camera).count()

    plan = compiled(people, crowd)
    (track,) = operators(plan, "track")
    assert track.applications == {"people", "crowd"}


def test_the_order_is_one_in_which_everything_needed_comes_first(
    compiled: Callable[..., Plan],
) -> None:
    plan = compiled(
        application("a", lambda camera: camera.sample(fps=5).gate().detect("people").track()),
        application("b", lambda camera: camera.gate().detect("people").embed("faces").track()),
    )
    for operator in plan.operators:
        assert all(needed < operator.index for needed in (*operator.inputs, *operator.selectors))
        assert plan.operators[operator.index] is operator


def test_sinks_are_part_of_the_plan_and_keep_their_stream_alive(
    compiled: Callable[..., Plan],
) -> None:
    def make(camera: edge.Camera) -> object:
        tracks = camera.gate().detect("people").track().to_jsonl("tracks.jsonl")
        tracks.count().to_mqtt("mqtt://host", topic="people", name="crowd")
        return {"people": tracks}

    plan = compiled(application("a", make))
    first, second = plan.sinks
    assert (first.kind, first.params, first.output) == ("jsonl", {"path": "tracks.jsonl"}, "people")
    assert (second.kind, second.output) == ("mqtt", "crowd")
    assert plan.operators[second.operator].kind == "count"
    (gate,) = plan.selectors_of["door"]
    assert second.operator in plan.wanted("door", {gate})


def test_a_sample_that_refuses_is_a_skip_and_a_gate_that_refuses_holds(
    compiled: Callable[..., Plan],
) -> None:
    plan = compiled(
        application("a", lambda camera: camera.sample(fps=5).gate().detect("people").track())
    )
    sample, gate = plan.selectors_of["door"]
    assert plan.verdict("a", "door", set()) == "skipped_sample"
    assert plan.verdict("a", "door", {sample}) == "held"
    assert plan.verdict("a", "door", {sample, gate}) == "passed"


def test_an_output_has_a_value_only_where_its_own_selectors_passed(
    compiled: Callable[..., Plan],
) -> None:
    def make(camera: edge.Camera) -> object:
        tracks = camera.sample(fps=5).detect("people").track()
        return {"tracks": tracks, "moving": camera.sample(fps=5).gate().classify("hats")}

    plan = compiled(application("a", make))
    sample, gate = plan.selectors_of["door"]
    assert list(plan.outputs_of("a", "door", {sample})) == ["tracks"]
    assert list(plan.outputs_of("a", "door", {sample, gate})) == ["tracks", "moving"]
    kinds = [plan.operators[i].kind for i in plan.wanted("door", {sample})]
    assert kinds == ["detect", "filter", "track"]


def test_state_is_kept_up_on_frames_that_its_consumer_does_not_want(
    compiled: Callable[..., Plan],
) -> None:
    @edge.operator(version=1)
    def both(tracks: Detections, kind: edge.Classification) -> Detections:
        return tracks

    def make(camera: edge.Camera) -> object:
        return camera.detect("people").track().apply(both, camera.gate().classify("hats"))

    plan = compiled(application("a", make))
    assert [plan.operators[i].kind for i in plan.wanted("door", set())] == [
        "detect",
        "filter",
        "track",
    ]


def run(plan: Plan, frames: Iterable[tuple[FrameInfo, FrameView, Detections]]) -> dict[str, list]:
    """Each application's outputs as JSON, frame by frame; the detector finds what it is told."""
    steps = {p.index: p.start() for p in plan.operators if p.role not in ("source", "inference")}
    found: dict[str, list] = {app: [] for app in plan.applications}
    for info, view, detected in frames:
        values: dict[int, object] = {0: view}
        passed: set[int] = set()
        for i in plan.selectors_of["door"]:
            inputs = [values[j] for j in plan.operators[i].inputs]
            if plan.operators[i].selectors <= passed and steps[i].step(*inputs, info):
                passed.add(i)
        for i in plan.wanted("door", passed):
            inputs = [values[j] for j in plan.operators[i].inputs]
            inference = plan.operators[i].role == "inference"
            values[i] = detected if inference else steps[i].step(*inputs, info)
        for app in plan.applications_on("door"):
            outputs = plan.outputs_of(app, "door", passed)
            found[app].append({name: values[i].to_json() for name, i in outputs.items()})
    return found


def seen(seed: int) -> list[tuple[FrameInfo, FrameView, Detections]]:
    rng = np.random.default_rng(seed)
    frames = []
    image = np.zeros((90, 160, 3), np.uint8)
    for t in range(40):
        if rng.random() < 0.3:
            image = rng.integers(0, 255, (90, 160, 3), dtype=np.uint8)
        n = int(rng.integers(0, 4))
        corners = rng.uniform(0, 80, (n, 2))
        detections = Detections(
            np.c_[corners, corners + rng.uniform(5, 60, (n, 2))].astype(np.float32),
            rng.uniform(0.05, 1, n).astype(np.float32),
            rng.integers(1, 3, n).astype(np.int32),
            ("person",) * n,
        )
        nanoseconds = t * 70_000_000
        info = FrameInfo(t + 1, 1, nanoseconds, nanoseconds, 160, 90, 0.0)
        frames.append((info, FrameView(image), detections))
    return frames


CARD = SimpleNamespace(name="people", task="detect", digest="a1" * 32, labels={1: "person"})

SELECTIONS = {
    "all": lambda camera: camera,
    "few": lambda camera: camera.sample(fps=4),
    "moving": lambda camera: camera.gate(hold="100ms"),
    "few moving": lambda camera: camera.sample(fps=7).gate(hold="50ms"),
}
ANALYSES = {
    "found": lambda frames, score: frames.detect("people", score=score),
    "count": lambda frames, score: frames.detect("people", score=score).track(start=0.3).count(),
    "line": lambda frames, score: (
        frames.detect("people", score=score).track(start=0.3).line_count(line=[(0, 0.5), (1, 0.5)])
    ),
}
choices = st.tuples(
    st.sampled_from(sorted(SELECTIONS)),
    st.sampled_from(sorted(ANALYSES)),
    st.sampled_from([0.01, 0.1, 0.3, 0.5]),
)


@settings(max_examples=40, deadline=None, derandomize=True)
@given(st.lists(choices, min_size=1, max_size=4), st.integers(0, 5))
def test_results_are_those_of_running_alone(chosen: list, seed: int) -> None:
    def made(number: int, selection: str, analysis: str, score: float) -> Application:
        return application(
            f"app{number}",
            lambda camera: ANALYSES[analysis](SELECTIONS[selection](camera), score),
        )

    apps = [made(number, *choice) for number, choice in enumerate(chosen)]
    frames = seen(seed)
    together = run(compile_applications([(a, "door") for a in apps], lambda _: CARD), frames)
    for app in apps:
        alone = run(compile_applications([(app, "door")], lambda _: CARD), frames)
        assert together[app.name] == alone[app.name]


@settings(max_examples=40, deadline=None, derandomize=True)
@given(st.lists(choices, min_size=1, max_size=5), st.data())
def test_a_plan_does_not_depend_on_the_order_of_its_applications(chosen, data) -> None:
    apps = [
        application(
            f"app{number}",
            lambda camera, s=selection, a=analysis, t=score: ANALYSES[a](SELECTIONS[s](camera), t),
        )
        for number, (selection, analysis, score) in enumerate(chosen)
    ]

    def merged(order: list[Application]) -> set:
        plan = compile_applications([(app, "door") for app in order], lambda _: CARD)
        assert len({operator.id for operator in plan.operators}) == len(plan.operators)
        return {(operator.id, operator.applications) for operator in plan.operators}

    assert merged(apps) == merged(data.draw(st.permutations(apps)))


@pytest.mark.parametrize("kind", ["camera", "detect"])
def test_sources_and_inferences_are_not_started_here(
    kind: str, compiled: Callable[..., Plan]
) -> None:
    plan = compiled(application("a", lambda camera: camera.detect("people")))
    (operator,) = operators(plan, kind)
    with pytest.raises(TypeError, match="have no steps"):
        operator.start()
