"""What users' own operators give, as bytes: plain data, of whatever shape, and never code.

A tree of None, bool, int, float, str and bytes in lists, tuples and dicts, msgpack all of it. Its
lists are tagged, so that what comes back is of the types that went: ``["l", ...]`` and
``["t", ...]`` are a list and a tuple, ``["d", key, value, ...]`` a dict whose keys are not all str,
``["o", i]`` is the i-th of the objects that travel beside it (arrays, detections...), and
``["s", i]`` numpy's scalar in the i-th.

A tree is small, which bounds what becomes of hostile bytes: an element is one byte on the wire and
some fifty in memory.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import msgspec
import numpy as np

from edgesdk.errors import WireError

__all__ = ["MAX_TREE_BYTES", "pack_tree", "unpack_tree"]

MAX_TREE_BYTES = 256 << 10
_MAX_DEPTH = 32
_LEAVES = (type(None), bool, float, str, bytes)
_KEYS = (str, int, bool, float, type(None))

_encoder = msgspec.msgpack.Encoder()


def pack_tree(value: Any, keep: Callable[[Any], int]) -> bytes:
    """*value* as bytes. *keep* takes what is no plain data, and gives the number of that object.

    :raises TypeError: something in it is neither, or its types would not come back as they are.
    :raises ValueError: it is too large, too deep, or holds an integer beyond 64 bits.
    """
    packed = _encoder.encode(_packed(value, keep, _MAX_DEPTH))
    if len(packed) > MAX_TREE_BYTES:
        raise ValueError(f"{len(packed)} bytes of plain data; at most {MAX_TREE_BYTES} travel")
    return packed


def unpack_tree(data: bytes, objects: Sequence[Any]) -> Any:
    """What :func:`pack_tree` packed, with the *objects* that travelled beside it.

    :raises WireError: the bytes are not that.
    """
    if len(data) > MAX_TREE_BYTES:
        raise WireError(f"{len(data)} bytes of plain data; at most {MAX_TREE_BYTES} are taken")
    try:
        return _unpacked(msgspec.msgpack.decode(data), objects, _MAX_DEPTH)
    except (msgspec.MsgspecError, ValueError, TypeError, RecursionError) as error:
        raise WireError(f"a value that is none: {error}") from None


def _packed(value: Any, keep: Callable[[Any], int], depth: int) -> Any:
    if depth == 0:
        raise ValueError("data nested too deeply")
    kind = type(value)
    if kind in _LEAVES:
        return value
    if kind is int:
        if not -(1 << 63) <= value < 1 << 64:
            raise ValueError("an integer beyond 64 bits")
        return value
    if kind in (list, tuple):
        return ["l" if kind is list else "t", *(_packed(v, keep, depth - 1) for v in value)]
    if kind is dict:
        items = {key: _packed(v, keep, depth - 1) for key, v in value.items()}
        if all(type(key) is str for key in items):
            return items
        return ["d", *(part for key, v in items.items() for part in (_key(key), v))]
    if isinstance(value, np.generic):
        return ["s", keep(np.asarray(value))]
    return ["o", keep(value)]


def _key(key: Any) -> Any:
    if type(key) not in _KEYS:
        raise TypeError(f"a key of type {type(key).__name__} has no form on the wire")
    return key


def _unpacked(packed: Any, objects: Sequence[Any], depth: int) -> Any:
    if depth == 0:
        raise WireError("data nested too deeply")
    if isinstance(packed, dict):
        if not all(type(key) is str for key in packed):
            raise WireError("a table with keys that are no text")
        return {key: _unpacked(v, objects, depth - 1) for key, v in packed.items()}
    if not isinstance(packed, list):
        if type(packed) is int or type(packed) in _LEAVES:
            return packed
        raise WireError(f"data of type {type(packed).__name__}")
    tag, parts = (packed[0], packed[1:]) if packed else (None, [])
    if tag in ("o", "s"):
        (number,) = parts
        if type(number) is not int or not 0 <= number < len(objects):
            raise WireError("the number of no object")
        found = objects[number]
        if tag == "o":
            return found
        if not isinstance(found, np.ndarray) or found.ndim:
            raise WireError("a number that is none")
        return found[()]
    values = [_unpacked(part, objects, depth - 1) for part in parts]
    if tag == "l":
        return values
    if tag == "t":
        return tuple(values)
    if tag != "d" or len(values) % 2:
        raise WireError("a list of no known kind")
    keys = values[::2]
    if not all(type(key) in _KEYS for key in keys):
        raise WireError("a key that can be none")
    return dict(zip(keys, values[1::2], strict=True))
