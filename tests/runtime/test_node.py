"""A node from end to end: real workers, rings, scheduler and runtime; tiny models."""

from __future__ import annotations

import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import edgesdk as edge
from edgesdk.errors import Cancelled, ModelNotFound, UsageError
from edgesdk.runtime import Node

SCENE = "synthetic:?width=128&height=96&fps=50&frames={frames}&seed=3&pace=fast"
NEVER = threading.Event()
Records = Callable[[Path], list[dict[str, Any]]]


def run(apps: list[Any], cameras: dict[str, str], **options: Any) -> Any:
    with Node(apps, cameras, **options) as node:
        assert node.wait(30)
    return node.summary()


def tracking(cards: Any, name: str = "tracking", score: float = 0.4) -> Any:
    @edge.app(deadline="2s", name=name)
    def application(camera: edge.Camera) -> dict[str, object]:
        tracks = camera.detect(cards.cells, score=score).track(high=score, start=score)
        return {"tracks": tracks, "bright": tracks.count()}

    return application


def sums_hold(frames: Any) -> bool:
    passed = frames.ok + frames.late + frames.dropped + frames.failed
    captured = frames.skipped_sample + frames.held + frames.passed
    return bool(frames.captured == captured and frames.passed == passed)


def test_every_frame_of_a_file_becomes_one_record_in_order(
    cards: Any, tmp_path: Path, records: Records
) -> None:
    out = tmp_path / "out.jsonl"
    summary = run([tracking(cards)], {"cam": SCENE.format(frames=60)}, out=out)
    found = records(out)
    assert [r["sequence"] for r in found] == list(range(1, 61))
    assert {r["state"] for r in found} == {"ok"}
    frames = summary.applications["tracking"].cameras["cam"].frames
    assert (frames.captured, frames.ok) == (60, 60)
    assert sums_hold(frames)
    assert summary.inferences == {"cells": 60}
    assert summary.cameras["cam"].state == "ended"
    assert any(r["outputs"]["tracks"]["items"] for r in found)


def test_record_says_what_produced_it(cards: Any, tmp_path: Path, records: Records) -> None:
    out = tmp_path / "out.jsonl"
    run([tracking(cards)], {"cam": SCENE.format(frames=3)}, out=out)
    record = records(out)[-1]
    (made_by,) = record["provenance"]
    assert made_by["operator"] == "detect"
    assert made_by["card"] == "cells"
    assert made_by["backend"] == "onnxruntime"
    assert made_by["executed_on"].endswith("/onnxruntime:CPU")
    assert made_by["evidence"] == "real"
    assert len(made_by["id"]) == len(made_by["execution_id"]) == len(made_by["model"]) == 64
    assert (record["width"], record["height"]) == (128, 96)
    times = record["timings_ns"]
    assert 0 < times["infer"] <= times["total"]


def test_selectors_are_counted_and_add_up(cards: Any) -> None:
    @edge.app(deadline="2s")
    def sampled(camera: edge.Camera) -> dict[str, object]:
        return {"found": camera.sample(fps=10).gate(hold=0).detect(cards.cells)}

    summary = run([sampled], {"cam": SCENE.format(frames=100)})
    frames = summary.applications["sampled"].cameras["cam"].frames
    assert frames.captured == 100
    # 2 s of 50 frames a second hold 20 or 21 tenths, by where the first one lies.
    assert frames.skipped_sample in (79, 80)
    assert frames.passed == frames.ok > 0
    assert sums_hold(frames)
    assert summary.inferences["cells"] == frames.passed


def test_a_recording_gives_the_same_samples_in_each_run(
    cards: Any, tmp_path: Path, records: Records
) -> None:
    @edge.app(deadline="2s")
    def sampling(camera: edge.Camera) -> object:
        return camera.sample(fps=10).detect(cards.cells)

    for name in ("first.jsonl", "second.jsonl"):
        run([sampling], {"cam": SCENE.format(frames=26)}, out=tmp_path / name)
        assert [r["sequence"] for r in records(tmp_path / name)] == [1, 6, 11, 16, 21, 26]


def test_two_applications_share_one_detector_and_see_what_they_see_alone(
    cards: Any, tmp_path: Path, records: Records
) -> None:
    camera = {"cam": SCENE.format(frames=40)}
    first, second = tracking(cards, "first", 0.4), tracking(cards, "second", 0.6)
    alone = {}
    for app in (first, second):
        run([app], camera, out=tmp_path / f"{app.name}.jsonl")
        alone[app.name] = [r["outputs"] for r in records(tmp_path / f"{app.name}.jsonl")]
    summary = run([first, second], camera, out=tmp_path / "both.jsonl")
    both = records(tmp_path / "both.jsonl")
    for name, outputs in alone.items():
        assert [r["outputs"] for r in both if r["app"] == name] == outputs
    assert summary.inferences == {"cells": 40}


def test_classifier_runs_on_the_crop_of_each_detection(
    cards: Any, tmp_path: Path, records: Records
) -> None:
    @edge.app(deadline="5s")
    def cascade(camera: edge.Camera) -> dict[str, object]:
        found = camera.detect(cards.cells, score=0.25)
        return {"found": found.classify(cards.colours, name="colour")}

    out = tmp_path / "out.jsonl"
    summary = run([cascade], {"cam": SCENE.format(frames=30)}, out=out)
    found = records(out)
    assert {r["state"] for r in found} == {"ok"}
    items = [item for r in found for item in r["outputs"]["found"]["items"]]
    assert len(items) > 30
    assert {item["colour"]["label"] for item in items} <= {"red", "green", "blue"}
    assert len({item["colour"]["label"] for item in items}) > 1
    assert summary.inferences == {"cells": 30, "colours": len(items)}
    both = next(r for r in found if r["outputs"]["found"]["items"])
    assert [p["operator"] for p in both["provenance"]] == ["detect", "classify"]


def test_operator_that_raises_fails_its_frame_and_its_application_only(
    cards: Any, tmp_path: Path, records: Records
) -> None:
    @edge.operator(version=1)
    def third_is_bad(found: edge.Detections, info: edge.FrameInfo) -> edge.Measurement:
        if info.sequence % 3 == 0:
            raise RuntimeError("no thirds")
        return edge.Measurement("n", {"n": len(found)})

    @edge.app(deadline="2s")
    def brittle(camera: edge.Camera) -> dict[str, object]:
        return {"n": camera.detect(cards.cells).apply(third_is_bad)}

    out = tmp_path / "out.jsonl"
    run([brittle, tracking(cards)], {"cam": SCENE.format(frames=30)}, out=out)
    found = records(out)
    mine = [r for r in found if r["app"] == "brittle"]
    assert [r["state"] for r in mine] == ["ok", "ok", "failed"] * 10
    reason = mine[2]["reason"]
    assert "third_is_bad" in reason
    assert "no thirds" in reason
    assert "test_node.py" in reason
    assert {r["state"] for r in found if r["app"] == "tracking"} == {"ok"}


def test_output_that_json_cannot_say_fails_its_frame_with_the_reason(
    cards: Any, tmp_path: Path, records: Records
) -> None:
    @edge.operator(version=1)
    def odd(found: edge.Detections, info: edge.FrameInfo):  # type: ignore[no-untyped-def]
        return {"n": len(found)} if info.sequence % 2 else object()

    @edge.app(deadline="2s")
    def careless(camera: edge.Camera) -> dict[str, object]:
        return {"odd": camera.detect(cards.cells).apply(odd)}

    out = tmp_path / "out.jsonl"
    run([careless], {"cam": SCENE.format(frames=4)}, out=out)
    found = records(out)
    assert [r["state"] for r in found] == ["ok", "failed", "ok", "failed"]
    assert found[0]["outputs"]["odd"].keys() == {"n"}
    assert "output 'odd' is a object, which has no JSON form" in found[1]["reason"]


def test_measurement_that_json_cannot_say_fails_its_frame_and_spares_the_summary(
    cards: Any, tmp_path: Path, records: Records
) -> None:
    @edge.operator(version=1)
    def odd(found: edge.Detections) -> edge.Measurement:
        return edge.Measurement("odd", {"thing": object()})

    @edge.app(deadline="2s")
    def careless(camera: edge.Camera) -> dict[str, object]:
        return {"odd": camera.detect(cards.cells).apply(odd)}

    out = tmp_path / "out.jsonl"
    summary = run([careless], {"cam": SCENE.format(frames=3)}, out=out)
    assert summary.applications["careless"].cameras["cam"].frames.failed == 3
    assert (
        "output 'odd' is a Measurement, and what it holds has no JSON form"
        in records(out)[0]["reason"]
    )


def test_operator_that_exits_fails_its_frame_and_no_thread(
    cards: Any, tmp_path: Path, records: Records
) -> None:
    @edge.operator(version=1)
    def leaves(found: edge.Detections, info: edge.FrameInfo) -> edge.Measurement:
        if info.sequence == 2:
            raise SystemExit("enough")
        return edge.Measurement("n", {"n": len(found)})

    @edge.app(deadline="2s")
    def leaving(camera: edge.Camera) -> dict[str, object]:
        return {"n": camera.detect(cards.cells).apply(leaves)}

    out = tmp_path / "out.jsonl"
    run([leaving], {"cam": SCENE.format(frames=4)}, out=out)
    assert [r["state"] for r in records(out)] == ["ok", "failed", "ok", "ok"]
    assert "SystemExit: enough" in records(out)[1]["reason"]


def test_stateful_operator_of_the_users_own_sees_frames_in_order(
    cards: Any, tmp_path: Path, records: Records
) -> None:
    @edge.operator(version=1, stateful=True, state=list)
    def seen(state: list[int], found: edge.Detections, info: edge.FrameInfo) -> edge.Measurement:
        state.append(info.sequence)
        return edge.Measurement("seen", {"ordered": state == sorted(state), "n": len(state)})

    @edge.app(deadline="2s")
    def ordered(camera: edge.Camera) -> dict[str, object]:
        return {"seen": camera.detect(cards.cells).apply(seen)}

    out = tmp_path / "out.jsonl"
    run([ordered], {"cam": SCENE.format(frames=40)}, out=out)
    outputs = [r["outputs"]["seen"] for r in records(out)]
    assert [o["n"] for o in outputs] == list(range(1, 41))
    assert all(o["ordered"] for o in outputs)


def test_operator_that_hangs_stops_its_own_application_only(cards: Any) -> None:
    @edge.operator(version=1)
    def hangs(found: edge.Detections, info: edge.FrameInfo) -> edge.Measurement:
        NEVER.wait(60)
        return edge.Measurement("n", {})

    @edge.app(deadline="1s")
    def stuck(camera: edge.Camera) -> dict[str, object]:
        return {"n": camera.detect(cards.cells).apply(hangs)}

    live = "synthetic:?width=64&height=64&fps=50&frames=50&seed=1"
    node = Node([stuck, tracking(cards)], {"cam": live})
    got = threading.Event()
    node.start()
    try:
        healthy = node.feeds["cam"].flow.outlets["tracking"].channel.counts
        while healthy.ok < 40 and not got.wait(0.02):
            assert node.seconds < 20
    finally:
        node.stop()
        NEVER.set()
    summary = node.summary()
    frames = summary.applications["stuck"].cameras["cam"].frames
    assert frames.ok == 0
    assert sums_hold(frames)
    assert summary.applications["stuck"].cameras["cam"].dropped_by_reason["shutdown"] > 0


def test_frames_ends_each_camera_after_so_many(cards: Any) -> None:
    endless = "synthetic:?width=64&height=64&fps=200&pace=fast"
    summary = run([tracking(cards)], {"a": endless, "b": endless}, frames=25)
    for camera in ("a", "b"):
        assert summary.applications["tracking"].cameras[camera].frames.captured == 25


def test_results_reach_a_callback(cards: Any) -> None:
    got: list[dict[str, Any]] = []
    run([tracking(cards)], {"cam": SCENE.format(frames=20)}, on_result=got.append)
    assert [record["sequence"] for record in got] == list(range(1, 21))


def test_stream_has_a_sink_of_its_own(cards: Any, tmp_path: Path, records: Records) -> None:
    @edge.app(deadline="2s")
    def sinking(camera: edge.Camera) -> dict[str, object]:
        found = camera.detect(cards.cells, score=0.4)
        found.to_jsonl(str(tmp_path / "found.jsonl"), name="only")
        return {"n": found.track().count()}

    run([sinking], {"cam": SCENE.format(frames=10)}, out=tmp_path / "all.jsonl")
    own, everything = records(tmp_path / "found.jsonl"), records(tmp_path / "all.jsonl")
    assert [list(r["outputs"]) for r in own] == [["only"]] * 10
    assert [list(r["outputs"]) for r in everything] == [["n"]] * 10


def test_two_streams_into_one_sink_are_two_records(
    cards: Any, tmp_path: Path, records: Records
) -> None:
    file = str(tmp_path / "both.jsonl")

    @edge.app(deadline="2s")
    def sinking(camera: edge.Camera) -> dict[str, object]:
        tracks = camera.detect(cards.cells, score=0.4).to_jsonl(file, name="found").track()
        return {"n": tracks.count().to_jsonl(file, name="n")}

    run([sinking], {"cam": SCENE.format(frames=10)})
    written = records(tmp_path / "both.jsonl")
    assert sorted(name for r in written for name in r["outputs"]) == ["found"] * 10 + ["n"] * 10
    assert len({r["id"] for r in written}) == 20


def test_overload_drops_with_reasons_and_loses_no_count(cards: Any) -> None:
    @edge.app(deadline="150ms")
    def heavy(camera: edge.Camera) -> dict[str, object]:
        return {"found": camera.detect(cards.slow_cells)}

    fast = "synthetic:?width=64&height=64&fps=300&frames=300&seed={}"
    summary = run([heavy], {f"c{i}": fast.format(i) for i in range(3)})
    reasons: set[str] = set()
    for found in summary.applications["heavy"].cameras.values():
        assert found.frames.captured == 300
        assert sums_hold(found.frames)
        assert found.frames.failed == 0
        reasons |= set(found.dropped_by_reason)
    assert reasons
    assert reasons <= {"queue", "deadline", "thinned", "overrun"}


def test_start_can_be_cancelled(cards: Any) -> None:
    cancel = threading.Event()
    cancel.set()
    node = Node([tracking(cards)], {"cam": SCENE.format(frames=3)})
    with pytest.raises(Cancelled):
        node.start(cancel=cancel)


def test_what_cannot_be_run_is_said_before_anything_starts(cards: Any, tmp_path: Path) -> None:
    app = tracking(cards)
    with pytest.raises(UsageError, match="no camera"):
        Node([app], {})
    with pytest.raises(UsageError, match="no application"):
        Node([], {"cam": SCENE.format(frames=1)})

    @edge.app(cameras=["yard-*"])
    def picky(camera: edge.Camera) -> dict[str, object]:
        return {"found": camera.detect(cards.cells)}

    with pytest.raises(UsageError, match=r"wants cameras yard-\*; there are cam"):
        Node([picky], {"cam": SCENE.format(frames=1)})

    @edge.app
    def unknown(camera: edge.Camera) -> dict[str, object]:
        return {"found": camera.detect("no-such-model")}

    with pytest.raises(ModelNotFound, match="no-such-model"):
        Node([unknown], {"cam": SCENE.format(frames=1)}).start()


def test_stop_twice_and_before_start_is_harmless(cards: Any) -> None:
    node = Node([tracking(cards)], {"cam": SCENE.format(frames=3)})
    node.stop()
    node.stop()
    assert node.summary().inferences == {}
