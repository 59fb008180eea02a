"""Values, geometries and decoding options as bytes, for the way to another node and back.

Floats keep every bit. What comes from outside is bounded before anything of its size is allocated,
and either is what it says or raises WireError. Unknown trailing fields are ignored, so that a newer
node may say more. Arrays that are unpacked are the caller's own and writable, as a model's are.
"""

from __future__ import annotations

import math
import struct
from collections.abc import Sequence, Sized
from typing import Annotated, Any, Literal, cast, get_args

import msgspec
import numpy as np
from numpy.typing import NDArray

from edgesdk.errors import WireError
from edgesdk.models.geometry import Geometry
from edgesdk.models.wire_tree import MAX_TREE_BYTES, pack_tree, unpack_tree
from edgesdk.values import (
    Classification,
    Detections,
    Embedding,
    Measurement,
    RawOutputs,
    plain,
)

__all__ = [
    "MAX_PICTURES",
    "MAX_VALUES_BYTES",
    "Options",
    "Value",
    "pack_reading",
    "pack_values",
    "travels",
    "unpack_reading",
    "unpack_values",
]

Value = Detections | Classification | Embedding | RawOutputs | Measurement
"""What models give. Operators of the user's own give arrays and plain data too: :func:`travels`."""
Options = tuple[tuple[str, Any], ...]

MAX_VALUES_BYTES = 8 << 20  # what an answer holds
MAX_PICTURES = 32  # as many as the scheduler has in a batch
_MAX_ROWS = 1 << 16
_MAX_DIMENSIONS = 8
_MAX_SIDE = 1 << 20
_MAX_OBJECTS = 256

_Name = Annotated[str, msgspec.Meta(max_length=1024)]
_Dtype = Literal["<f2", "<f4", "<f8", "|b1", "|u1", "|i1", "<u2", "<i2", "<u4", "<i4", "<u8", "<i8"]
_DTYPES = frozenset(get_args(_Dtype))


class _Detections(msgspec.Struct, frozen=True, array_like=True, tag="d"):
    boxes: bytes
    scores: bytes
    label_ids: bytes
    names: Annotated[tuple[_Name, ...], msgspec.Meta(max_length=_MAX_ROWS)]
    name_of: bytes  # u16 index into names, a row
    track_ids: bytes | None
    attributes: dict[_Name, tuple[Any, ...]]


class _Classification(msgspec.Struct, frozen=True, array_like=True, tag="c"):
    label_ids: tuple[int, ...]
    labels: tuple[_Name, ...]
    scores: tuple[float, ...]


class _Embedding(msgspec.Struct, frozen=True, array_like=True, tag="e"):
    vector: bytes


class _Array(msgspec.Struct, frozen=True, array_like=True):
    dtype: _Dtype
    shape: tuple[Annotated[int, msgspec.Meta(ge=0, le=1 << 31)], ...]
    data: bytes


class _Raw(msgspec.Struct, frozen=True, array_like=True, tag="r"):
    arrays: dict[_Name, _Array]


class _Measurement(msgspec.Struct, frozen=True, array_like=True, tag="m"):
    kind: _Name
    fields: dict[str, Any]


_Known = _Detections | _Classification | _Embedding | _Raw | _Measurement


class _Lone(msgspec.Struct, frozen=True, array_like=True, tag="a"):
    array: _Array


class _Plain(msgspec.Struct, frozen=True, array_like=True, tag="p"):
    tree: Annotated[bytes, msgspec.Meta(max_length=MAX_TREE_BYTES)]
    objects: Annotated[tuple[_Known | _Lone, ...], msgspec.Meta(max_length=_MAX_OBJECTS)] = ()


_Packed = _Known | _Lone | _Plain
_Values = Annotated[tuple[_Packed, ...], msgspec.Meta(max_length=MAX_PICTURES)]

_encoder = msgspec.msgpack.Encoder()
_values_decoder: msgspec.msgpack.Decoder[tuple[_Packed, ...]] = msgspec.msgpack.Decoder(_Values)


def pack_values(values: Sequence[Any]) -> bytes:
    """One value a picture, as bytes. Thread-safe.

    :raises WireError: a value is none that can travel, or all together are too large.
    """
    try:
        data = _encoder.encode(tuple(map(_packed, values)))
    except (TypeError, ValueError, OverflowError) as error:
        raise WireError(f"a value cannot be sent to another node: {error}") from None
    if len(values) > MAX_PICTURES or len(data) > MAX_VALUES_BYTES:
        raise WireError(
            f"{len(values)} values of {len(data)} bytes are too many for one answer; "
            f"at most {MAX_PICTURES} of {MAX_VALUES_BYTES}"
        )
    return data


def unpack_values(
    data: bytes | memoryview, *, expected: int, limit: int = MAX_VALUES_BYTES
) -> list[Any]:
    """What :func:`pack_values` packed; *expected* is how many values were asked for.

    :raises WireError: the bytes are not that.
    """
    if len(data) > limit:
        raise WireError(f"an answer of {len(data)} bytes; at most {limit} are taken")
    try:
        packed = _values_decoder.decode(data)
        if len(packed) != expected:
            raise WireError(f"an answer of {len(packed)} values to {expected} pictures")
        return list(map(_unpacked, packed))
    except (msgspec.MsgspecError, ValueError, RecursionError, OverflowError) as error:
        raise WireError(f"an answer that is none: {error}") from None


def travels(value: Any) -> bool:
    """Whether *value* could go to another node."""
    try:
        pack_values([value])
    except WireError:
        return False
    return True


def _packed(value: Any) -> _Packed:
    if type(value) in get_args(Value):  # of a class derived from one, something would be lost
        return _packed_known(value)
    if type(value) is np.ndarray:
        return _Lone(_packed_array(value))
    objects: list[_Known | _Lone] = []

    def keep(found: Any) -> int:
        alone = type(found) is np.ndarray
        objects.append(_Lone(_packed_array(found)) if alone else _packed_known(found))
        if len(objects) > _MAX_OBJECTS:
            raise ValueError(f"more than {_MAX_OBJECTS} arrays and the like in one value")
        return len(objects) - 1

    return _Plain(pack_tree(value, keep), tuple(objects))


def _packed_known(value: Any) -> _Known:
    if isinstance(value, Detections):
        index: dict[str, int] = {}
        rows = [index.setdefault(name, len(index)) for name in value.labels]
        return _Detections(
            _bits_of(value.boxes, "<f4"),
            _bits_of(value.scores, "<f4"),
            _bits_of(value.label_ids, "<i4"),
            tuple(index),
            _bytes_of(np.asarray(rows, np.uint16), "<u2"),
            None if value.track_ids is None else _bits_of(value.track_ids, "<i8"),
            {name: tuple(plain(column)) for name, column in value.attributes.items()},
        )
    if isinstance(value, Classification):
        return _Classification(value.label_ids, value.labels, value.scores)
    if isinstance(value, Embedding):
        return _Embedding(_bits_of(value.vector, "<f4"))
    if isinstance(value, RawOutputs):
        return _Raw({name: _packed_array(array) for name, array in value.arrays.items()})
    if isinstance(value, Measurement):
        return _Measurement(value.kind, plain(value.fields))
    raise TypeError(f"{type(value).__name__} has no form on the wire")


def _unpacked(packed: _Packed) -> Any:
    if isinstance(packed, _Lone):
        return _unpacked_array(packed.array)
    if isinstance(packed, _Plain):
        return unpack_tree(packed.tree, list(map(_unpacked, packed.objects)))
    if isinstance(packed, _Detections):
        return _detections(packed)
    if isinstance(packed, _Classification):
        if not len(packed.label_ids) == len(packed.labels) == len(packed.scores):
            raise WireError("a classification whose columns differ in length")
        return Classification(packed.label_ids, packed.labels, packed.scores)
    if isinstance(packed, _Embedding):
        return Embedding(_array_of(packed.vector, "<f4"))
    if isinstance(packed, _Raw):
        return RawOutputs({name: _unpacked_array(a) for name, a in packed.arrays.items()})
    return Measurement(packed.kind, packed.fields)


def _detections(packed: _Detections) -> Detections:
    scores = _array_of(packed.scores, "<f4")
    rows = len(scores)
    boxes = _array_of(packed.boxes, "<f4")
    label_ids = _array_of(packed.label_ids, "<i4")
    name_of = _array_of(packed.name_of, "<u2")
    track_ids = None if packed.track_ids is None else _array_of(packed.track_ids, "<i8")
    columns: list[Sized] = [label_ids, name_of, *packed.attributes.values()]
    columns += [] if track_ids is None else [track_ids]
    if len(boxes) != 4 * rows or any(len(column) != rows for column in columns):
        raise WireError("detections whose columns differ in length")
    if rows and int(name_of.max()) >= len(packed.names):
        raise WireError("a detection with the number of no label")
    labels = tuple(packed.names[i] for i in name_of.tolist())
    return Detections(
        boxes.reshape(rows, 4), scores, label_ids, labels, track_ids, packed.attributes
    )


def _bits_of(array: NDArray[Any], dtype: str) -> bytes:
    """The bytes of an array that has *dtype*: converted, it would come back as another."""
    if array.dtype != np.dtype(dtype):
        raise TypeError(f"an array of {array.dtype} where {np.dtype(dtype)} belongs")
    return _bytes_of(array, dtype)


def _bytes_of(array: NDArray[Any], dtype: str) -> bytes:
    return np.ascontiguousarray(array, dtype).tobytes()


def _array_of(data: bytes, dtype: str) -> NDArray[Any]:
    return np.frombuffer(data, dtype).astype(np.dtype(dtype).newbyteorder("="))


def _packed_array(array: NDArray[Any]) -> _Array:
    stored = array.dtype.newbyteorder("<") if array.dtype.kind in "fiu" else array.dtype
    if array.ndim > _MAX_DIMENSIONS:
        raise ValueError(f"an array of {array.ndim} dimensions")
    if stored.str not in _DTYPES:
        raise TypeError(f"an array of {array.dtype} has no form on the wire")
    return _Array(cast(_Dtype, stored.str), array.shape, _bytes_of(array, stored.str))


def _unpacked_array(packed: _Array) -> NDArray[Any]:
    itemsize = np.dtype(packed.dtype).itemsize
    if len(packed.shape) > _MAX_DIMENSIONS:
        raise WireError(f"an array of {len(packed.shape)} dimensions")
    if math.prod(packed.shape) * itemsize != len(packed.data):
        raise WireError(f"an array {packed.shape} of {packed.dtype} in {len(packed.data)} bytes")
    return _array_of(packed.data, packed.dtype).reshape(packed.shape)


_GEOMETRY = struct.Struct("<II4d")
_Option = tuple[Literal["score", "iou"], float]


class _Reading(msgspec.Struct, frozen=True, array_like=True):
    geometries: Annotated[bytes, msgspec.Meta(max_length=MAX_PICTURES * _GEOMETRY.size)]
    options: Annotated[tuple[_Option, ...], msgspec.Meta(max_length=2)]
    form: Annotated[int, msgspec.Meta(ge=0, lt=1 << 32)] = 0


_reading_decoder = msgspec.msgpack.Decoder(_Reading)
_MAX_READING_BYTES = 2048


def pack_reading(geometries: Sequence[Geometry], options: Options, form: int = 0) -> bytes:
    """What a peer needs beside the pictures: where each lies in its frame, the decoding options
    (``score``, ``iou``) of the operator that asks, and how they were made (:attr:`Codec.form`)."""
    packed = b"".join(
        _GEOMETRY.pack(g.frame_width, g.frame_height, g.origin_x, g.origin_y, g.step_x, g.step_y)
        for g in geometries
    )
    said = tuple((name, float(value)) for name, value in options)
    return _encoder.encode(_Reading(packed, said, form))  # type: ignore[arg-type]


def unpack_reading(data: bytes | memoryview, form: int = 0) -> tuple[tuple[Geometry, ...], Options]:
    """What :func:`pack_reading` packed, one geometry a picture; *form* is this side's codec's.

    :raises WireError: the bytes are not that, a number is none that a frame can have, or the
        pictures were made for another input than this side's.
    """
    if len(data) > _MAX_READING_BYTES:
        raise WireError(f"{len(data)} bytes about pictures; at most {_MAX_READING_BYTES} are taken")
    try:
        reading = _reading_decoder.decode(data)
        geometries = tuple(Geometry(*f) for f in _GEOMETRY.iter_unpack(reading.geometries))
    except (msgspec.MsgspecError, ValueError, struct.error, RecursionError) as error:
        raise WireError(f"what is said about pictures cannot be read: {error}") from None
    if form and reading.form and form != reading.form:
        raise WireError("pictures for a variant of the model with another input")
    for geometry in geometries:
        sides = (geometry.frame_width, geometry.frame_height)
        places = (geometry.origin_x, geometry.origin_y, geometry.step_x, geometry.step_y)
        if not all(0 < side <= _MAX_SIDE for side in sides):
            raise WireError(f"a frame of {sides[0]} x {sides[1]} pixels")
        if not all(math.isfinite(p) and abs(p) <= _MAX_SIDE * _MAX_SIDE for p in places):
            raise WireError("a picture that lies nowhere in its frame")
    if not all(math.isfinite(value) for _, value in reading.options):
        raise WireError("a decoding option that is no number")
    return geometries, reading.options
