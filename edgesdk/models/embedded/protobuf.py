"""Protobuf's wire format: fields of a message, without its schema and without copying."""

from __future__ import annotations

import mmap
from collections.abc import Iterator
from pathlib import Path

__all__ = ["Damaged", "fields", "messages", "text", "view_of"]

_MAX_TEXT = 8 << 20

Field = tuple[int, int | memoryview]


class Damaged(Exception):
    """The bytes are no message."""


def view_of(path: Path) -> memoryview:
    """The bytes of a file that is not empty, mapped."""
    # not closed but left to the last view of it: an error's traceback may hold one
    with path.open("rb") as f:
        return memoryview(mmap.mmap(f.fileno(), 0, access=mmap.ACCESS_READ))


def messages(value: int | memoryview, number: int) -> Iterator[memoryview]:
    if isinstance(value, int):
        raise Damaged("a number where a message belongs")
    for n, v in fields(value):
        if n == number and not isinstance(v, int):
            yield v


def text(value: int | memoryview) -> str:
    if isinstance(value, int):
        raise Damaged("a number where a text belongs")
    if len(value) > _MAX_TEXT:
        raise Damaged(f"a text of {len(value)} bytes")
    return bytes(value).decode("utf-8", "replace")


def fields(view: memoryview) -> Iterator[Field]:
    """(number, value) of each field: varints as int, delimited ones as a view of their bytes."""
    at, end = 0, len(view)
    while at < end:
        key, at = _varint(view, at)
        kind = key & 7
        if kind == 0:
            value, at = _varint(view, at)
            yield key >> 3, value
            continue
        if kind == 2:
            length, at = _varint(view, at)
        elif kind in (1, 5):
            length = 8 if kind == 1 else 4
        else:
            raise Damaged(f"a field of the unknown kind {kind}")
        if length > end - at:
            raise Damaged("a field is longer than the file")
        yield key >> 3, view[at : at + length]
        at += length


def _varint(view: memoryview, at: int) -> tuple[int, int]:
    value = 0
    for shift in range(0, 70, 7):
        if at >= len(view):
            raise Damaged("it ends within a number")
        byte = view[at]
        at += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value, at
    raise Damaged("a number is too long")
