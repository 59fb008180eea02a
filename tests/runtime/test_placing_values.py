"""Values that a peer gives are this node's, bit for bit: detectors of two kinds, crops, groups."""

from __future__ import annotations

import queue
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from onnx import TensorProto, helper, numpy_helper

from edgesdk.models import load_card
from edgesdk.models.wire import pack_reading, unpack_values
from edgesdk.runtime.sessions import LoadedModel, Picture, Sessions
from tests.runtime.peers import Peer

YOLO_CARD = """
schema = 1
name = "dots"
task = "detect"
labels = ["dot", "spot"]
[[variants]]
file = "dots.onnx"
backend = "onnxruntime"
[[inputs]]
name = "images"
layout = "NCHW"
dtype = "float32"
shape = [-1, 3, 48, 64]
colour = "RGB"
resize = "letterbox"
mean = [123.7, 116.3, 103.5]
scale = [58.4, 57.1, 57.4]
[outputs]
predictions = "output0"
[decode]
kind = "yolo-v8"
score = 0.2
"""


def dots_model() -> bytes:
    """float ``images`` [n, 3, 48, 64] -> ``output0`` [n, 6, 12]: centre, size and two scores of
    twelve cells, all of which depend on every value of the picture's cell."""
    constants = {
        "split": np.array([-1, 3, 3, 16, 4, 16], np.int64),
        "axes": np.array([1, 3, 5], np.int64),
        "flat": np.array([-1, 1, 12], np.int64),
        "place": np.random.default_rng(2).uniform(8, 40, (1, 4, 12)).astype(np.float32),
        "wobble": np.array(0.7, np.float32),
        "minus": np.array(-1, np.float32),
    }
    nodes = [
        helper.make_node("Reshape", ["images", "split"], ["cells"]),
        helper.make_node("ReduceMean", ["cells", "axes"], ["mean"], keepdims=0),
        helper.make_node("Reshape", ["mean", "flat"], ["seen"]),
        helper.make_node("Mul", ["seen", "wobble"], ["moved"]),
        helper.make_node("Add", ["place", "moved"], ["boxes"]),
        helper.make_node("Sigmoid", ["seen"], ["one"]),
        helper.make_node("Mul", ["seen", "minus"], ["other"]),
        helper.make_node("Sigmoid", ["other"], ["two"]),
        helper.make_node("Concat", ["boxes", "one", "two"], ["output0"], axis=1),
    ]
    graph = helper.make_graph(
        nodes,
        "dots",
        [helper.make_tensor_value_info("images", TensorProto.FLOAT, ["n", 3, 48, 64])],
        [helper.make_tensor_value_info("output0", TensorProto.FLOAT, ["n", 6, 12])],
        [numpy_helper.from_array(v, k) for k, v in constants.items()],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)])
    model.ir_version = 9
    return bytes(model.SerializeToString())


@pytest.fixture(scope="module")
def paths(cards: Any, tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    folder: Path = tmp_path_factory.mktemp("dots")
    (folder / "dots.onnx").write_bytes(dots_model())
    (folder / "dots.toml").write_text(YOLO_CARD)
    return {"ssd": cards.cells, "yolo": str(folder / "dots.toml"), "classes": cards.colours}


@pytest.fixture(scope="module")
def peer(paths: dict[str, str]) -> Iterator[Peer]:
    found = Peer("peer", *paths.values())
    yield found
    found.close()


@pytest.fixture(scope="module")
def here(paths: dict[str, str]) -> Iterator[dict[str, LoadedModel]]:
    sessions = Sessions(threads=2)
    yield {kind: sessions.load(load_card(path), batches=(1,)) for kind, path in paths.items()}
    sessions.close()


def alone(model: LoadedModel, pictures: list[Picture], options: Any) -> list[Any]:
    values: list[Any] = []
    for picture in pictures:
        inputs, geometries = model.encode([picture])
        values += model.decode(model.infer(inputs), geometries, options)
    return values


def over_there(peer: Peer, model: LoadedModel, pictures: list[Picture], options: Any) -> list[Any]:
    small = model.codec.shrink(pictures)
    reading = pack_reading([p.geometry for p in small], options, model.codec.form)
    answers: queue.Queue[Any] = queue.Queue()
    parts = [p.image.tobytes() for p in small]
    shape = small[0].image.shape
    assert peer.run(
        model.card.digest, parts, shape, reading, lambda values, outcome: answers.put(values)
    )
    return list(unpack_values(answers.get(timeout=20), expected=len(pictures)))


def bits(value: Any) -> tuple[Any, ...]:
    if hasattr(value, "boxes"):
        arrays = (value.boxes, value.scores, value.label_ids)
        assert value.track_ids is None
        return (*((a.dtype, a.shape, a.tobytes()) for a in arrays), value.labels)
    return value.label_ids, value.labels, tuple(score.hex() for score in value.scores)


def pictures_of(seed: int, count: int) -> list[Picture]:
    rng = np.random.default_rng(seed)
    found = []
    for i in range(count):
        height, width = rng.integers(40, 200, 2)
        ramp = np.linspace(0, 255, width)[None, :, None] * rng.random((height, 1, 3))
        image = (ramp + rng.integers(0, 40, (height, width, 3))).clip(0, 255).astype(np.uint8)
        box = None if i % 2 else (3.7, 2.2, width * 0.8, height * 0.9)
        found.append(Picture(image, ("BGR", "RGB")[i % 2], box))
    return found


@pytest.mark.parametrize("kind", ["ssd", "yolo", "classes"])
@pytest.mark.parametrize("count", [1, 4, 8])
def test_values_from_a_peer_are_equal_to_the_bit(
    peer: Peer, here: dict[str, LoadedModel], kind: str, count: int
) -> None:
    model = here[kind]
    options = () if kind == "classes" else (("score", 0.25),)
    found = 0
    for seed in range(4):
        pictures = pictures_of(seed, count)
        mine = alone(model, pictures, options)
        theirs = over_there(peer, model, pictures, options)
        assert list(map(bits, theirs)) == list(map(bits, mine))
        assert [v.to_json() for v in theirs] == [v.to_json() for v in mine]
        found += sum(len(value.label_ids) for value in mine)
    assert found > 8


@pytest.mark.parametrize("kind", ["ssd", "yolo", "classes"])
def test_equal_sessions_have_equal_execution_keys(
    peer: Peer, here: dict[str, LoadedModel], kind: str
) -> None:
    mine = here[kind].execution("here")
    theirs = peer.models[here[kind].card.digest].execution("there")
    assert mine.key == theirs.key
    assert mine.differences(theirs) == []
