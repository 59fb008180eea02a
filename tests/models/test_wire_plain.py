"""What users' own operators give, on the wire: it comes back as it was, and nonsense is refused."""

import collections
import enum
import math
import struct
from typing import Any

import msgspec
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edgesdk.errors import WireError
from edgesdk.models.wire import pack_values, travels, unpack_values
from edgesdk.models.wire_tree import MAX_TREE_BYTES, unpack_tree
from edgesdk.values import Classification, Detections, Measurement

DTYPES = ("f2", "f4", "f8", "?", "u1", "i2", "u4", "i8")
KEYS = st.one_of(st.text(), st.integers(-(1 << 63), (1 << 64) - 1), st.booleans(), st.none())
ARRAYS = st.builds(
    lambda dtype, shape: (np.arange(math.prod(shape)) % 7).astype(dtype).reshape(shape),
    st.sampled_from(DTYPES),
    st.lists(st.integers(0, 3), max_size=3),
)
LEAVES = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-(1 << 63), (1 << 64) - 1),
    st.floats(),
    st.text(),
    st.binary(),
    ARRAYS,
    ARRAYS.filter(lambda a: a.size).map(lambda a: a.reshape(-1)[0]),
)
PLAIN = st.recursive(
    LEAVES,
    lambda inner: st.one_of(
        st.lists(inner, max_size=4),
        st.lists(inner, max_size=4).map(tuple),
        st.dictionaries(KEYS, inner, max_size=4),
    ),
    max_leaves=20,
)


def there_and_back(value: Any) -> Any:
    (back,) = unpack_values(pack_values([value]), expected=1)
    return back


def same(one: Any, other: Any) -> bool:
    """Of the same types all the way down, floats and arrays bit by bit."""
    if type(one) is not type(other):
        return False
    if isinstance(one, (list, tuple)):
        return len(one) == len(other) and all(map(same, one, other))
    if isinstance(one, dict):
        return same(list(one), list(other)) and same(list(one.values()), list(other.values()))
    if isinstance(one, (np.ndarray, np.generic)):
        told = one.dtype == other.dtype and one.shape == other.shape
        return bool(told and one.tobytes() == other.tobytes())
    if isinstance(one, float):
        return struct.pack("<d", one) == struct.pack("<d", other)
    return bool(one == other)


@settings(max_examples=300, deadline=None)
@given(PLAIN)
def test_plain_data_comes_back_as_it_was(value: Any) -> None:
    assert same(there_and_back(value), value)


def test_values_of_edgesdk_come_back_within_plain_data() -> None:
    boxes = np.array([[1, 2, 3, 4]], np.float32)
    found = Detections(boxes, np.ones(1, np.float32), np.ones(1, np.int32), ("person",))
    sent = {"found": [found], "look": (Classification((1,), ("a",), (0.5,)), boxes)}
    back = there_and_back(sent)
    assert back["found"][0].to_json() == found.to_json()
    assert back["look"][0].to_json() == sent["look"][0].to_json()
    assert same(back["look"][1], boxes)


class Colour(enum.IntEnum):
    RED = 1


Point = collections.namedtuple("Point", "x y")


def nested(depth: int) -> Any:
    value: Any = 1
    for _ in range(depth):
        value = [value]
    return value


@pytest.mark.parametrize(
    "value",
    [
        object(),
        {1, 2},
        1 << 64,
        1j,
        Colour.RED,
        Point(1, 2),
        collections.OrderedDict(a=1),
        {(1, 2): 3},
        {"f": print},
        [Measurement("m", {"x": object()})],
        np.array([object()]),
        np.array([1j]),
        np.ma.masked_array([1], [True]),
        "\ud800",
        nested(100),
        [0] * (MAX_TREE_BYTES + 1),
        [np.zeros(1)] * 300,
        # What would come back as another: its boxes are float64.
        Detections(np.zeros((1, 4)), np.ones(1, np.float32), np.ones(1, np.int32), ("a",)),
    ],
    ids=lambda value: type(value).__name__,
)
def test_what_would_not_come_back_as_it_was_does_not_travel(value: Any) -> None:
    assert not travels(value)
    with pytest.raises(WireError):
        pack_values([value])


@settings(max_examples=300, deadline=None)
@given(value=PLAIN, data=st.data())
def test_damaged_bytes_are_refused_or_are_plain_data(value: Any, data: st.DataObject) -> None:
    packed = bytearray(pack_values([value]))
    for _ in range(data.draw(st.integers(1, 4))):
        packed[data.draw(st.integers(0, len(packed) - 1))] = data.draw(st.integers(0, 255))
    try:
        (back,) = unpack_values(bytes(packed), expected=1)
    except WireError:
        return
    assert travels(back) or isinstance(back, (Measurement, Detections, dict, list, tuple))


@settings(max_examples=300, deadline=None)
@given(st.binary(max_size=200))
def test_random_bytes_are_refused_or_are_plain_data(data: bytes) -> None:
    try:
        value = unpack_tree(data, ())
    except WireError:
        return
    assert travels(value)


@pytest.mark.parametrize(
    "tree",
    [
        [],
        ["x"],
        [["l"]],
        ["o"],
        ["o", 0],
        ["o", -1],
        ["o", True],
        ["o", 0, 0],
        ["s", 0],
        ["d", 1],
        ["d", ["l"], 1],
        ["d", b"x", 1],
        {1: 2},
        {"x": ["y"]},
        msgspec.msgpack.Ext(1, b"code"),
    ],
)
def test_trees_that_do_not_fit_together_are_refused(tree: Any) -> None:
    with pytest.raises(WireError):
        unpack_tree(msgspec.msgpack.encode(tree), ())


@pytest.mark.parametrize("tree", [["o", 1], ["s", 0]])
def test_an_object_is_of_the_kind_that_is_said(tree: Any) -> None:
    with pytest.raises(WireError):
        unpack_tree(msgspec.msgpack.encode(tree), [np.zeros(3)])


def test_depth_and_size_are_bounded_before_anything_is_made_of_them() -> None:
    with pytest.raises(WireError):
        unpack_tree(b"\x92\xa1l" * 1000 + b"\x01", ())
    with pytest.raises(WireError, match="at most"):
        unpack_tree(b"\xc0" * (MAX_TREE_BYTES + 1), ())
    said = [["p", b"\xc0" * (MAX_TREE_BYTES + 1)]]
    with pytest.raises(WireError):
        unpack_values(msgspec.msgpack.encode(said), expected=1)
    objects = [["a", ["<f4", [0], b""]]] * 300
    with pytest.raises(WireError):
        unpack_values(msgspec.msgpack.encode([["p", b"\xc0", objects]]), expected=1)
