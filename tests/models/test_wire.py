"""Values, geometries and options on the wire: every bit comes back, and nonsense is refused."""

import math
import random
import struct

import msgspec
import numpy as np
import pytest

from edgesdk.errors import WireError
from edgesdk.models.geometry import Geometry
from edgesdk.models.wire import (
    MAX_PICTURES,
    pack_reading,
    pack_values,
    unpack_reading,
    unpack_values,
)
from edgesdk.values import Classification, Detections, Embedding, Measurement, RawOutputs

RNG = np.random.default_rng(7)


def detections(rows: int) -> Detections:
    return Detections(
        RNG.normal(size=(rows, 4)).astype(np.float32) * 1e3,
        RNG.random(rows).astype(np.float32),
        RNG.integers(0, 90, rows, dtype=np.int32),
        tuple(f"thing {i % 3}" for i in range(rows)),
    )


def same_bits(one: np.ndarray, other: np.ndarray) -> bool:
    same = one.dtype == other.dtype and one.shape == other.shape
    return same and one.tobytes() == other.tobytes() and other.flags.writeable


def there_and_back(value):
    (back,) = unpack_values(pack_values([value]), expected=1)
    return back


@pytest.mark.parametrize("rows", [0, 1, 100])
def test_detections_come_back_bit_for_bit(rows: int) -> None:
    sent = detections(rows)
    back = there_and_back(sent)
    assert same_bits(sent.boxes, back.boxes)
    assert same_bits(sent.scores, back.scores)
    assert same_bits(sent.label_ids, back.label_ids)
    assert back.labels == sent.labels
    assert back.track_ids is None
    assert back.to_json() == sent.to_json()


def test_track_ids_and_columns_come_back_too() -> None:
    sent = Detections(
        np.zeros((2, 4), np.float32),
        np.ones(2, np.float32),
        np.ones(2, np.int32),
        ("a", "a"),
        np.array([5, 1 << 40], np.int64),
        {"speed": (1.25, None), "kind": ("x", {"y": 1})},
    )
    back = there_and_back(sent)
    assert same_bits(sent.track_ids, back.track_ids)
    assert back.attributes == sent.attributes


def test_odd_floats_come_back_bit_for_bit() -> None:
    vector = np.array([np.nan, -0.0, np.inf, 1e-45, np.float32(0.1)], np.float32)
    assert same_bits(vector, there_and_back(Embedding(vector)).vector)
    scores = (0.1, 1 / 3, 5e-324, 1.0)
    sent = Classification((1, 2, 3, 4), ("a", "b", "c", "d"), scores)
    back = there_and_back(sent)
    assert struct.pack("<4d", *back.scores) == struct.pack("<4d", *scores)
    assert (back.label_ids, back.labels) == (sent.label_ids, sent.labels)


@pytest.mark.parametrize("dtype", ["f2", "f4", "f8", "?", "u1", "i1", "u2", "i4", "u8", "i8"])
def test_raw_outputs_keep_dtype_shape_and_bits(dtype: str) -> None:
    array = (RNG.random((2, 3, 4)) * 100).astype(dtype)
    back = there_and_back(RawOutputs({"a": array, "none": array[:0], "one": array[0, 0, 0][...]}))
    assert same_bits(array, back.arrays["a"])
    assert back.arrays["none"].shape == (0, 3, 4)
    assert back.arrays["one"].shape == ()


def test_a_measurement_comes_back() -> None:
    back = there_and_back(Measurement("mine", {"now": np.int64(3), "at": [1.5, None]}))
    assert (back.kind, dict(back.fields)) == ("mine", {"now": 3, "at": [1.5, None]})


def test_what_has_no_form_is_refused_at_the_origin() -> None:
    for value in (
        object(),
        RawOutputs({"x": np.array([object()])}),
        Measurement("m", {"x": object()}),
    ):
        with pytest.raises(WireError):
            pack_values([value])
    with pytest.raises(WireError, match="too many"):
        pack_values([Embedding(np.zeros(1, np.float32))] * (MAX_PICTURES + 1))
    with pytest.raises(WireError, match="too many"):
        pack_values([Embedding(np.zeros(5 << 20, np.float32))])


def test_an_answer_of_another_number_of_values_is_refused() -> None:
    with pytest.raises(WireError, match="2 values to 1 pictures"):
        unpack_values(pack_values([detections(1), detections(1)]), expected=1)


@pytest.mark.parametrize(
    "said",
    [
        [["d", b"1234", b"", b"", [], b"", None, {}]],
        [["d", b"", b"1234", b"1234", ["a"], b"\0\0", None, {}]],
        [["d", b"1" * 16, b"1" * 4, b"1" * 4, ["a"], b"\1\0", None, {}]],
        [["d", b"1" * 16, b"1" * 4, b"1" * 4, ["a"], b"\0\0", b"", {}]],
        [["d", b"1" * 16, b"1" * 4, b"1" * 4, ["a"], b"\0\0", None, {"x": []}]],
        [["e", b"123"]],
        [["c", [1], [], [0.5]]],
        [["r", {"x": ["<f4", [1 << 30, 1 << 30], b""]}]],
        [["r", {"x": ["|O", [1], b"12345678"]}]],
        [["r", {"x": ["<f4", [1] * 9, b"1234"]}]],
        [["r", {"x": ["<f4", [-1], b"1234"]}]],
        [["z"]],
        {"not": "a list"},
    ],
)
def test_an_answer_that_does_not_fit_together_is_refused(said) -> None:
    with pytest.raises(WireError):
        unpack_values(msgspec.msgpack.encode(said), expected=1)


def test_an_answer_that_is_too_large_is_refused_before_it_is_read() -> None:
    with pytest.raises(WireError, match="at most 10"):
        unpack_values(b"\0" * 11, expected=1, limit=10)


def test_damaged_bytes_are_refused_or_read_and_raise_nothing_else() -> None:
    rng = random.Random(3)
    good = pack_values([detections(20), Embedding(np.ones(8, np.float32))])
    reading = pack_reading([Geometry(640, 480, 0.0, 0.0, 2.0, 2.0)] * 3, (("score", 0.5),))
    refused = 0
    for _ in range(3000):
        for packed, read in (
            (good, lambda d: unpack_values(d, expected=2)),
            (reading, unpack_reading),
        ):
            data = bytearray(packed[: rng.randrange(len(packed) + 1)])
            for _ in range(rng.randrange(4)):
                if data:
                    data[rng.randrange(len(data))] = rng.randrange(256)
            try:
                read(bytes(data))
            except WireError:
                refused += 1
    assert refused > 1000
    with pytest.raises(WireError):
        unpack_values(b"\x91" * 5000, expected=1)


def test_geometries_and_options_come_back_exactly() -> None:
    geometries = (
        Geometry(1920, 1080, -1 / 3, 12.7, 6.4, 3.6),
        Geometry(1, 1, 0.0, 0.0, 1e-9, 1.0),
    )
    options = (("score", 0.1), ("iou", 0.45))
    assert unpack_reading(pack_reading(geometries, options)) == (geometries, options)
    assert unpack_reading(pack_reading([], ())) == ((), ())


@pytest.mark.parametrize(
    "geometry",
    [
        Geometry(0, 1, 0.0, 0.0, 1.0, 1.0),
        Geometry(1, 1 << 21, 0.0, 0.0, 1.0, 1.0),
        Geometry(1, 1, math.nan, 0.0, 1.0, 1.0),
        Geometry(1, 1, 0.0, math.inf, 1.0, 1.0),
        Geometry(1, 1, 0.0, 0.0, 1e300, 1.0),
    ],
)
def test_a_picture_that_can_lie_nowhere_is_refused(geometry: Geometry) -> None:
    with pytest.raises(WireError):
        unpack_reading(pack_reading([geometry], ()))


def test_an_option_that_is_no_number_or_unknown_is_refused() -> None:
    for options in ([["score", math.nan]], [["colour", 1.0]], [["score", 1.0]] * 3):
        with pytest.raises(WireError):
            unpack_reading(msgspec.msgpack.encode([b"", options]))


def test_pictures_made_for_another_input_are_refused() -> None:
    packed = pack_reading([Geometry(640, 480, 0.0, 0.0, 2.0, 2.0)], (), 7)
    assert unpack_reading(packed, 7) == unpack_reading(packed)
    with pytest.raises(WireError, match="another input"):
        unpack_reading(packed, 8)
