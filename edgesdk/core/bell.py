"""One waiter for many rings; the C side is ``native/include/edgesdk/bell.h``."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from edgesdk.core._native import ffi, lib
from edgesdk.core.codes import check, timeout_ns
from edgesdk.errors import RingBusy

if TYPE_CHECKING:
    from edgesdk.core.ring import RingReader

__all__ = ["Bell"]


class Bell:
    """One waiter for many rings: give it to each :class:`RingReader`, then wait here.

    At most 4096 readers. One thread waits; any thread may :meth:`ring`.
    """

    def __init__(self, name: str) -> None:
        out = ffi.new("edge_bell **")
        check(lib.edge_bell_create(out, name.encode(), 0), f"bell {name!r}")
        self.name = name
        self._bell = ffi.gc(out[0], lib.edge_bell_close)
        self._tags = ffi.new("uint32_t[]", 256)
        self._readers: dict[int, RingReader] = {}
        self._rung: list[RingReader] = []

    def wait(self, timeout: float) -> bool:
        """Waits at most *timeout* seconds for any ring: True if one rang that is still open.

        False also when :meth:`ring` ended the wait. Which rings rang: :meth:`rung`.
        """
        n = check(
            lib.edge_bell_wait(self.pointer(), timeout_ns(timeout), self._tags, len(self._tags)),
            f"bell {self.name!r}",
        )
        known = [self._readers.get(tag) for tag in self._tags[0:n]]
        self._rung = [reader for reader in known if reader is not None]
        return bool(self._rung)

    def rung(self) -> list[RingReader]:
        """The readers whose rings rang in the last :meth:`wait`, each once."""
        return self._rung

    def ring(self) -> None:
        """Wakes the waiter, from any thread."""
        check(lib.edge_bell_ring(self.pointer(), lib.EDGE_BELL_TAGS), f"bell {self.name!r}")

    def close(self) -> None:
        """Removes the bell. Readers that have it stay usable, nothing rings for them."""
        if self._bell is not None:
            ffi.release(self._bell)
            self._bell = None

    def __enter__(self) -> Bell:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()

    def pointer(self) -> Any:
        """The C bell, for :class:`RingReader`."""
        if self._bell is None:
            raise ValueError(f"bell {self.name!r} is closed")
        return self._bell

    def admit(self, reader: RingReader) -> int:
        """A tag for *reader*, which calls :meth:`dismiss` when it closes."""
        for tag in range(lib.EDGE_BELL_TAGS):
            if tag not in self._readers:
                self._readers[tag] = reader
                return tag
        raise RingBusy(f"bell {self.name!r} has {lib.EDGE_BELL_TAGS} rings already")

    def dismiss(self, tag: int) -> None:
        """The reader with *tag* no longer rings this bell."""
        self._readers.pop(tag, None)
