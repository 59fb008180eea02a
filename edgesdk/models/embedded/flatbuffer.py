"""Reads tables, vectors and strings of a flatbuffer, with every offset checked.

Enough of the format (google/flatbuffers, "FlatBuffers Internals") to look around in a file that
somebody else made.
"""

from __future__ import annotations

import mmap
import struct

from edgesdk.errors import ModelInvalid

__all__ = ["Buffer", "Table"]

MAX_ITEMS = 1 << 20
MAX_STRING = 1 << 20


class Buffer:
    """The bytes of a flatbuffer; reads outside of them raise ModelInvalid."""

    def __init__(self, data: bytes | mmap.mmap, name: str) -> None:
        self.data = data
        self.name = name

    def root(self) -> Table:
        return Table(self, self.unpack("<I", 0))

    def unpack(self, form: str, at: int) -> int:
        if not 0 <= at <= len(self.data) - struct.calcsize(form):
            raise ModelInvalid(f"{self.name}: truncated or damaged: it points outside of itself")
        value: int = struct.unpack_from(form, self.data, at)[0]
        return value

    def slice(self, at: int, length: int) -> bytes:
        if not 0 <= at <= at + length <= len(self.data):
            raise ModelInvalid(f"{self.name}: truncated or damaged: it points outside of itself")
        return self.data[at : at + length]


class Table:
    """One table: fields by their number in the schema; absent ones give the default."""

    def __init__(self, buffer: Buffer, at: int) -> None:
        self._buffer = buffer
        self._at = at
        self._fields = at - buffer.unpack("<i", at)
        self._length = buffer.unpack("<H", self._fields)

    def number(self, field: int, form: str, default: int = 0) -> int:
        at = self._place(field)
        return default if at is None else self._buffer.unpack(form, at)

    def real(self, field: int) -> float | None:
        at = self._place(field)
        if at is None:
            return None
        return float(struct.unpack("<f", self._buffer.slice(at, 4))[0])

    def table(self, field: int) -> Table | None:
        at = self._pointed(field)
        return None if at is None else Table(self._buffer, at)

    def tables(self, field: int) -> list[Table]:
        at, count = self._vector(field, 4)
        places = [at + 4 * i for i in range(count)]
        return [Table(self._buffer, p + self._buffer.unpack("<I", p)) for p in places]

    def text(self, field: int) -> str:
        at = self._pointed(field)
        if at is None:
            return ""
        length = self._buffer.unpack("<I", at)
        if length > MAX_STRING:
            raise ModelInvalid(f"{self._buffer.name}: a text of {length} bytes")
        return self._buffer.slice(at + 4, length).decode("utf-8", "replace")

    def numbers(self, field: int, form: str) -> tuple[int, ...]:
        """A vector of integers of the struct format *form*, such as ``i``."""
        return struct.unpack(*self._packed(field, form))

    def reals(self, field: int) -> tuple[float, ...]:
        return struct.unpack(*self._packed(field, "f"))

    def raw(self, field: int) -> bytes:
        at, count = self._vector(field, 1, limit=1 << 31)
        return self._buffer.slice(at, count)

    def _packed(self, field: int, form: str) -> tuple[str, bytes]:
        size = struct.calcsize("<" + form)
        at, count = self._vector(field, size)
        return f"<{count}{form}", self._buffer.slice(at, count * size)

    def _place(self, field: int) -> int | None:
        entry = 4 + 2 * field
        if entry + 2 > self._length:
            return None
        offset = self._buffer.unpack("<H", self._fields + entry)
        return self._at + offset if offset else None

    def _pointed(self, field: int) -> int | None:
        at = self._place(field)
        return None if at is None else at + self._buffer.unpack("<I", at)

    def _vector(self, field: int, size: int, limit: int = MAX_ITEMS) -> tuple[int, int]:
        at = self._pointed(field)
        if at is None:
            return 0, 0
        count = self._buffer.unpack("<I", at)
        if count > limit or at + 4 + count * size > len(self._buffer.data):
            raise ModelInvalid(f"{self._buffer.name}: truncated or damaged: a list too long for it")
        return at + 4, count
