"""What one camera, model or reader does wrong stays with it."""

from __future__ import annotations

import os
import threading
import time
import urllib.request
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from onnx import TensorProto, helper, numpy_helper

import edgesdk as edge
from edgesdk.config import Config, NodeConfig, parse_config
from edgesdk.core.ring import FrameProperties, PixelFormat, RingWriter
from edgesdk.errors import AdmissionRefused, ModelError
from edgesdk.runtime import Node

Records = Callable[[Path], list[dict[str, Any]]]
LIVE = "synthetic:?width=64&height=64&fps=50&frames=50&seed=1"


def finder(cards: Any, name: str = "finder", **options: Any) -> Any:
    @edge.app(name=name, **{"deadline": "2s", **options})
    def application(camera: edge.Camera) -> dict[str, object]:
        return {"found": camera.detect(cards.cells, score=0.3)}

    return application


def publish(writer: RingWriter, width: int, height: int, form: PixelFormat, fill: int) -> None:
    channels = 3 if form in (PixelFormat.BGR, PixelFormat.RGB) else 1
    rows = height * 3 // 2 if form in (PixelFormat.NV12, PixelFormat.I420) else height
    now = time.monotonic_ns()
    properties = FrameProperties(width, height, form, width * channels, now, time.time_ns())
    writer.publish(np.full((rows, width * channels), fill, np.uint8), properties)


def test_ring_of_another_process_changes_size_and_format_in_mid_run(
    cards: Any, tmp_path: Path, records: Records, wait_for: Any
) -> None:
    out = tmp_path / "out.jsonl"
    name = f"test-{os.getpid()}-sizes"
    shapes = [
        (64, 64, PixelFormat.BGR),
        (320, 240, PixelFormat.BGR),
        (64, 64, PixelFormat.RGB),
        (640, 480, PixelFormat.GRAY),
        (64, 32, PixelFormat.NV12),
        (64, 64, PixelFormat.I420),
    ]
    with RingWriter(name, slot_bytes=64 * 64 * 3) as writer:
        node = Node([finder(cards)], {"fw": f"ring:{name}"}, out=out)
        with node:
            counts = node.feeds["fw"].flow.outlets["finder"].channel.counts
            for i, (width, height, form) in enumerate(shapes):
                publish(writer, width, height, form, 200)
                wait_for(lambda want=i + 1: counts.ok + counts.failed == want, "a result")
    found = records(out)
    assert [(r["width"], r["height"]) for r in found] == [(w, h) for w, h, _ in shapes]
    assert {r["state"] for r in found} == {"ok"}
    for record in found:
        boxes = [item["box"] for item in record["outputs"]["found"]["items"]]
        assert max(box[2] for box in boxes) == record["width"]
        assert max(box[3] for box in boxes) == record["height"]


def test_frames_that_are_none_fail_and_the_next_one_is_fine(
    cards: Any, tmp_path: Path, records: Records, wait_for: Any
) -> None:
    out = tmp_path / "out.jsonl"
    name = f"test-{os.getpid()}-garbage"
    with RingWriter(name, slot_bytes=1 << 20) as writer:
        node = Node([finder(cards)], {"fw": f"ring:{name}"}, out=out)
        with node:
            counts = node.feeds["fw"].flow.outlets["finder"].channel.counts
            lies = FrameProperties(4000, 4000, PixelFormat.BGR, 12000, 1, 1)
            writer.publish(np.zeros(1000, np.uint8), lies)
            wait_for(lambda: counts.failed == 1, "the first failure")
            no_jpeg = FrameProperties(64, 64, PixelFormat.JPEG, 0, 1, 1)
            writer.publish(np.zeros(1000, np.uint8), no_jpeg)
            wait_for(lambda: counts.failed == 2, "the second failure")
            publish(writer, 64, 64, PixelFormat.BGR, 200)
            wait_for(lambda: counts.ok == 1, "a result")
    found = records(out)
    assert [r["state"] for r in found] == ["failed", "failed", "ok"]
    assert "4000x4000" in found[0]["reason"]
    assert "JPEG" in found[1]["reason"] or "jpeg" in found[1]["reason"].lower()


@pytest.fixture
def picky_card(tmp_path: Path, cards: Any) -> str:
    """A classifier that fails at inference where the picture is brighter than 127."""
    table = numpy_helper.from_array(np.zeros(128, np.float32), "table")
    axes = numpy_helper.from_array(np.array([1, 2, 3], np.int64), "axes")
    shape = numpy_helper.from_array(np.array([-1, 1], np.int64), "shape")
    nodes = [
        helper.make_node("Cast", ["image"], ["real"], to=TensorProto.FLOAT),
        helper.make_node("ReduceMax", ["real", "axes"], ["top"], keepdims=0),
        helper.make_node("Cast", ["top"], ["index"], to=TensorProto.INT64),
        helper.make_node("Gather", ["table", "index"], ["looked"]),
        helper.make_node("Reshape", ["looked", "shape"], ["scores"]),
    ]
    image = helper.make_tensor_value_info("image", TensorProto.UINT8, [1, 8, 8, 3])
    scores = helper.make_tensor_value_info("scores", TensorProto.FLOAT, [1, 1])
    graph = helper.make_graph(nodes, "picky", [image], [scores], [table, axes, shape])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)])
    model.ir_version = 9
    (tmp_path / "picky.onnx").write_bytes(model.SerializeToString())
    card = Path(cards.colours).read_text().replace("colours", "picky")
    card = card.replace('["red", "green", "blue"]', '["a"]').replace(
        "[-1, 8, 8, 3]", "[1, 8, 8, 3]"
    )
    (tmp_path / "picky.toml").write_text(card)
    return str(tmp_path / "picky.toml")


def test_inference_that_fails_names_node_backend_and_cause_and_spares_the_rest(
    cards: Any, picky_card: str, tmp_path: Path, records: Records, wait_for: Any
) -> None:
    @edge.app(deadline="2s")
    def picky(camera: edge.Camera) -> dict[str, object]:
        return {"kind": camera.classify(picky_card)}

    out = tmp_path / "out.jsonl"
    name = f"test-{os.getpid()}-picky"
    config = Config(node=NodeConfig(name="node-7"))
    with RingWriter(name, slot_bytes=64 * 64 * 3) as writer:
        node = Node([picky, finder(cards)], {"fw": f"ring:{name}"}, config=config, out=out)
        with node:
            counts = node.feeds["fw"].flow.outlets["picky"].channel.counts
            for i, fill in enumerate((10, 250, 10)):
                publish(writer, 64, 64, PixelFormat.BGR, fill)
                wait_for(lambda want=i + 1: counts.ok + counts.failed == want, "a result")
    found = records(out)
    mine = [r for r in found if r["app"] == "picky"]
    assert [r["state"] for r in mine] == ["ok", "failed", "ok"]
    assert mine[1]["outputs"] is None
    assert mine[1]["reason"].startswith("node-7: classify")
    assert "onnxruntime" in mine[1]["reason"].lower()
    assert [r["state"] for r in found if r["app"] == "finder"] == ["ok"] * 3


def test_slow_operator_makes_its_results_late_and_no_others(
    cards: Any, tmp_path: Path, records: Records
) -> None:
    @edge.operator(version=1)
    def slow(found: edge.Detections) -> edge.Measurement:
        threading.Event().wait(0.15)
        return edge.Measurement("n", {"n": len(found)})

    @edge.app(deadline="100ms")
    def patient(camera: edge.Camera) -> dict[str, object]:
        return {"n": camera.sample(fps=5).detect(cards.cells).apply(slow)}

    out = tmp_path / "out.jsonl"
    with Node([patient, finder(cards)], {"cam": LIVE}, out=out) as node:
        assert node.wait(20)
    found = records(out)
    states = [r["state"] for r in found if r["app"] == "patient"]
    assert "late" in states
    assert set(states) <= {"late", "dropped"}
    assert all(r["outputs"] for r in found if r["state"] == "late")
    others = [r["state"] for r in found if r["app"] == "finder"]
    assert others.count("ok") >= 0.8 * len(others) > 0


def test_deadline_that_no_inference_can_meet_is_refused_with_the_figure(cards: Any) -> None:
    @edge.app(deadline="100us")
    def hasty(camera: edge.Camera) -> dict[str, object]:
        return {"found": camera.detect(cards.slow_cells)}

    with pytest.raises(AdmissionRefused, match=r"detect: a deadline of 0\.1 ms cannot be kept"):
        Node([hasty], {"cam": LIVE}).start()


def test_truncated_model_is_a_model_error_that_names_it(cards: Any, tmp_path: Path) -> None:
    whole = Path(cards.cells).with_suffix(".onnx").read_bytes()
    (tmp_path / "cells.onnx").write_bytes(whole[: len(whole) // 2])
    (tmp_path / "cells.toml").write_text(Path(cards.cells).read_text())

    @edge.app
    def broken(camera: edge.Camera) -> dict[str, object]:
        return {"found": camera.detect(str(tmp_path / "cells.toml"))}

    with pytest.raises(ModelError, match=r"cells"):
        Node([broken], {"cam": LIVE}).start()


def test_configuration_file_runs_a_node(cards: Any, tmp_path: Path, records: Records) -> None:
    (tmp_path / "app.py").write_text(
        "import edgesdk as edge\n"
        "@edge.app(deadline='2s')\n"
        "def found(camera: edge.Camera):\n"
        f"    return {{'found': camera.detect({cards.cells!r}, score=0.3)}}\n"
    )
    text = f"""
[node]
name = "box"
threads = 1
state = "state"
[cameras.a]
uri = "{LIVE}&pace=fast"
queue = 4
[cameras.b]
uri = "{LIVE}&pace=fast"
[apps.one]
app = "app.py:found"
cameras = ["a"]
deadline = "3s"
[apps.two]
app = "app.py:found"
weight = 2.0
"""
    config = parse_config(text, directory=tmp_path)
    with Node(config=config, out=tmp_path / "out.jsonl") as node:
        assert node.wait(20)
    summary = node.summary()
    assert set(summary.applications["one"].cameras) == {"a"}
    assert set(summary.applications["two"].cameras) == {"a", "b"}
    assert summary.inferences == {"cells": 100}
    (place,) = {p["executed_on"] for r in records(tmp_path / "out.jsonl") for p in r["provenance"]}
    assert place == "box/onnxruntime:CPU"


def test_web_shows_metrics_and_pictures_of_a_running_node(cards: Any, wait_for: Any) -> None:
    from edgesdk.web import WebServer

    endless = "synthetic:?width=128&height=96&fps=30&seed=3"
    with Node([finder(cards)], {"cam": endless}) as node:
        server = WebServer(node, "127.0.0.1:0")
        server.start()
        try:
            counts = node.feeds["cam"].flow.outlets["finder"].channel.counts
            wait_for(lambda: counts.ok > 3, "results")
            with urllib.request.urlopen(f"{server.url}/metrics", timeout=5) as answer:
                metrics = answer.read().decode()
            assert 'camera="cam"' in metrics
            preview = node.preview("cam")
            wait_for(lambda: preview.latest() is not None, "a picture")
            picture = preview.latest()
            assert picture is not None
            assert picture.pixels.shape == (96, 128, 3)
            assert list(picture.detections) == ["finder.found"]
            preview.close()
        finally:
            server.close()
        with pytest.raises(KeyError):
            node.preview("nobody")


def test_preview_goes_on_while_no_frame_passes(cards: Any, wait_for: Any) -> None:
    @edge.app
    def rare(camera: edge.Camera) -> dict[str, object]:
        return {"found": camera.sample(fps=0.001).detect(cards.cells)}

    with Node([rare], {"cam": "synthetic:?width=64&height=64&fps=30"}) as node:
        preview = node.preview("cam")
        wait_for(lambda: (p := preview.latest()) is not None and p.sequence > 10, "pictures")
        picture = preview.latest()
        assert picture is not None
        assert not picture.detections
        assert node.snapshot().applications["rare"].cameras["cam"].frames.passed <= 1
        preview.close()


def test_snapshot_adds_up_while_the_node_runs(cards: Any) -> None:
    with Node([finder(cards)], {"cam": LIVE}) as node:
        while not node.wait(0.05):
            frames = node.snapshot().applications["finder"].cameras["cam"].frames
            assert frames.captured == frames.skipped_sample + frames.held + frames.passed
        last = node.snapshot()
    assert last.ready
    assert last.cameras["cam"].frames == 50
    assert last.inferences["cells"] > 0
    assert sum(last.latency["finder", "cam"].counts) > 0
