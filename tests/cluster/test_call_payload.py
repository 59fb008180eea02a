"""A call of a user's operator as bytes: the peer's copy is called with the same, or not at all."""

from __future__ import annotations

from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import msgspec
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import edgesdk as edge
from edgesdk.balance import Group, Reach
from edgesdk.cluster import call_payload
from edgesdk.cluster.call_payload import TravellingCall
from edgesdk.cluster.groups import MAX_ARGUMENTS_BYTES, GroupHeader, split
from edgesdk.errors import WireError
from edgesdk.graph import compile_applications
from edgesdk.graph.frames import FrameInfo, FrameView
from edgesdk.runtime.installed import placeable
from edgesdk.runtime.own_operator import Call, OwnOperator
from edgesdk.values import Detections

INFO = FrameInfo(7, 2, 123_456_789, 1_790_000_000_000_000_000, 64, 48, 12.5, -5)
RING = np.random.default_rng(1).integers(0, 256, 48 * 64 * 3, dtype=np.uint8)
PIXELS = RING.reshape(48, 64, 3)
PIXELS.flags.writeable = False
GROUP = Group(1, 2, 0, 1, 0, 1, 0, 0, 1.0, Reach.CLUSTER)
FOUND = Detections(
    np.ones((2, 4), np.float32), np.ones(2, np.float32), np.ones(2, np.int32), ("a", "b")
)


@edge.operator(version=1)
def on_pixels(pixels: np.ndarray, more, info):
    return pixels.sum(), more, info


@edge.operator(version=1)
def on_views(view: edge.FrameView, more: edge.FrameView):
    return view.image.sum() + more.image.sum()


@edge.operator(version=1)
def on_values(found: edge.Detections, sums):
    return len(found), sums


@edge.app
def app(camera: edge.Camera):
    found = camera.apply(on_values_of_frame)
    part = camera.crop(box=(0.25, 0.25, 0.75, 0.75))
    return {
        "pixels": part.apply(on_pixels, found),
        "views": camera.apply(on_views, part),
        "values": found.apply(on_values, part.apply(on_values_of_frame)),
    }


@edge.operator(version=1)
def on_values_of_frame(pixels):
    return FOUND


def operators() -> dict[str, OwnOperator]:
    plan = compile_applications([(app, "cam")], lambda reference: None)  # type: ignore[arg-type,return-value]
    found = filter(placeable, plan.operators)
    return {planned.name: OwnOperator(planned, "app", lambda call: call()) for planned in found}


OPERATORS = operators()
PART = FrameView(PIXELS, "BGR", (16, 12, 48, 36))
CALLS = {
    "on_pixels": Call((PART, {"a": (1, 2.5)}), INFO),
    "on_views": Call((FrameView(PIXELS, "RGB"), PART), INFO),
    "on_values": Call((FOUND, [1, None]), INFO),
}


def small(name: str) -> TravellingCall:
    (call,) = OPERATORS[name].shrink([CALLS[name]])
    return TravellingCall(*call)


def arrival(header: GroupHeader, parts: Any) -> Any:
    return SimpleNamespace(header=header, parts=split(b"".join(parts), header.sizes))


def there(name: str, *, exact: bool = True) -> Call:
    header, parts = call_payload.encode(GROUP, small(name), exact=exact)
    packed = msgspec.msgpack.decode(msgspec.msgpack.encode(header), type=GroupHeader)
    return call_payload.decode(arrival(packed, parts), OPERATORS[name])


def run(name: str, call: Call) -> Any:
    operator = OPERATORS[name]
    inputs, placed = operator.encode([call])
    return operator.decode(operator.infer(inputs), placed, ())[0]


@pytest.mark.parametrize("name", ["on_pixels", "on_views"])
def test_a_peer_computes_what_this_node_does(name: str) -> None:
    assert run(name, there(name)) == run(name, CALLS[name]) == run(name, small(name))


def test_values_travel_without_frames() -> None:
    found, sums = there("on_values").values
    assert found.to_json() == FOUND.to_json()
    assert sums == [1, None]
    assert run("on_values", there("on_values")) == (2, [1, None])


def test_only_the_pixels_that_are_looked_at_travel() -> None:
    header, parts = call_payload.encode(GROUP, small("on_pixels"), exact=True)
    assert (header.codec, [len(part) for part in parts[:-1]]) == ("raw", [24 * 32 * 3])
    view, _ = there("on_pixels").values
    assert (view.box, view.image.shape) == (None, (24, 32, 3))
    _, part = there("on_views").values
    assert (part.box, part.image.shape) == (PART.box, PIXELS.shape)
    assert (part.pixels() == PART.pixels()).all()
    assert part.image[:12].sum() == 0


def test_arguments_are_as_unwritable_as_at_home_and_leave_the_ring() -> None:
    for call in (there("on_views"), small("on_views")):
        for view in call.values:
            assert not view.image.flags.writeable
            assert not np.shares_memory(view.image, PIXELS)


def test_what_cannot_travel_is_told() -> None:
    call = TravellingCall((FOUND, object()), INFO)
    with pytest.raises(WireError):
        call_payload.code(call, exact=True)
    large = TravellingCall((FOUND, b"x" * 200_000, b"x" * 900_000), INFO)
    with pytest.raises(WireError):
        call_payload.code(large, exact=True)
    frame = FrameView(np.zeros((6000, 6000, 3), np.uint8))
    assert call_payload.expected_bytes(Call((frame,), INFO), exact=False) == float("inf")


def test_frames_of_a_camera_in_another_order_of_colours_come_back_so() -> None:
    call = TravellingCall((FrameView(np.full((96, 128, 3), (250, 10, 10), np.uint8), "RGB"),), INFO)
    header, parts = call_payload.encode(GROUP, call, exact=False)
    assert header.codec == "jpeg-95"
    (view,) = call_payload.decode(arrival(header, parts), OPERATORS["on_values_of_frame"]).values
    assert view.colour == "RGB"
    assert abs(view.image.astype(int) - (250, 10, 10)).max() < 8


@pytest.mark.parametrize(
    "change",
    [
        {"size": (10, 10)},
        {"box": (0, 0, 10, 10)},
        {"box": (60, 40, 92, 64), "size": (48, 64)},
        {"box": (48, 36, 16, 12)},
        {"size": None},
        {"at": 5},
        {"at": 0},
        {"colour": "GRAY"},
    ],
)
def test_a_frame_that_does_not_fit_is_refused(change: dict[str, Any]) -> None:
    header, (*parts, told) = call_payload.encode(GROUP, small("on_views"), exact=True)
    said = msgspec.msgpack.decode(told, type=call_payload._Arguments)
    whole, part = said.frames
    other = msgspec.structs.replace(part, **change)
    bad = msgspec.msgpack.encode(msgspec.structs.replace(said, frames=(whole, other)))
    header = msgspec.structs.replace(header, arguments=len(bad))
    with pytest.raises(WireError):
        call_payload.decode(arrival(header, [*parts, bad]), OPERATORS["on_views"])


def test_pictures_of_a_model_are_no_call() -> None:
    header, parts = call_payload.encode(GROUP, small("on_views"), exact=True)
    bare = msgspec.structs.replace(header, arguments=0)
    with pytest.raises(WireError):
        call_payload.decode(arrival(bare, parts[:-1]), OPERATORS["on_views"])
    with pytest.raises(WireError):
        call_payload.decode(arrival(header, parts), OPERATORS["on_values_of_frame"])


@settings(max_examples=300, deadline=None)
@given(data=st.data())
def test_damaged_arguments_are_refused_or_are_arguments(data: st.DataObject) -> None:
    name = data.draw(st.sampled_from(sorted(CALLS)))
    header, (*parts, told) = call_payload.encode(GROUP, small(name), exact=True)
    bad = bytearray(told)
    for _ in range(data.draw(st.integers(1, 4))):
        bad[data.draw(st.integers(0, len(bad) - 1))] = data.draw(st.integers(0, 255))
    cut = bytes(bad[: data.draw(st.sampled_from([len(bad), len(bad) // 2, 1]))])
    header = msgspec.structs.replace(header, arguments=len(cut))
    try:
        call = call_payload.decode(arrival(header, [*parts, cut]), OPERATORS[name])
    except WireError:
        return
    assert len(call.values) == len(CALLS[name].values)
    assert sum(v.image.nbytes for v in call.values if isinstance(v, FrameView)) < 64 << 20


def test_infinite_rates_and_groups_of_nothing_are_refused() -> None:
    endless = replace(INFO, frame_rate=float("inf"))
    call = TravellingCall(CALLS["on_values"].values, endless)
    header, parts = call_payload.encode(GROUP, call, exact=True)
    with pytest.raises(WireError):
        call_payload.decode(arrival(header, parts), OPERATORS["on_values"])
    assert header.sizes == [header.arguments] == [len(parts[0])]
    assert header.arguments < MAX_ARGUMENTS_BYTES
