"""How a newer revocation list gets round: who has an older one asks whoever greets with a newer.

The asker leads, one piece of 1 KB at a time; what comes is a list only if the CA signed it. Pure
but for the list itself.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from edgesdk.cluster.greetings import CHUNK_BYTES, Chunk, Greeting, Ping, Pong, Want
from edgesdk.cluster.revocation import MAX_LIST_BYTES, Revocations
from edgesdk.errors import MalformedMessage

__all__ = ["Spreading"]

_AGAIN_NS = 250_000_000
_TRIES = 8

Address = tuple[str, int]


@dataclass(slots=True)
class _Fetch:
    source: Address
    number: int
    asked_ns: int
    tries: int = 0
    total: int = 0
    data: bytearray = field(default_factory=bytearray)


class Spreading:
    """One fetch at a time, from one peer; bounded by the size of a list."""

    def __init__(self, revocations: Revocations) -> None:
        self._revocations = revocations
        self._fetch: _Fetch | None = None

    def heard(self, source: Address, number: int, now_ns: int) -> Want | None:
        """A peer says that its list has *number*; what to ask it, if anything."""
        if number <= self._revocations.number:
            return None
        if self._fetch is not None and self._fetch.number >= number:
            return None
        self._fetch = _Fetch(source, number, now_ns)
        return Want(number, 0)

    def again(self, source: Address, now_ns: int) -> Want | None:
        """What to ask *source* again, its answer being overdue; given up after a while."""
        fetch = self._fetch
        if fetch is None or fetch.source != source or now_ns - fetch.asked_ns < _AGAIN_NS:
            return None
        if fetch.tries >= _TRIES:
            self._fetch = None
            return None
        fetch.tries += 1
        fetch.asked_ns = now_ns
        return Want(fetch.number, len(fetch.data))

    def gone(self, source: Address) -> None:
        """The peer cannot be asked any more."""
        if self._fetch is not None and self._fetch.source == source:
            self._fetch = None

    def received(
        self, source: Address, message: Want | Chunk | Greeting | Ping | Pong, now_ns: int
    ) -> Want | Chunk | None:
        """The answer to a peer's message. Raises MalformedMessage for a forged list."""
        if isinstance(message, Want):
            return self._piece(message)
        if isinstance(message, Chunk):
            return self._gather(source, message, now_ns)
        return None

    def _piece(self, want: Want) -> Chunk | None:
        data, number = self._revocations.der, self._revocations.number
        if want.number != number or want.offset >= len(data):
            return None
        piece = data[want.offset : want.offset + CHUNK_BYTES]
        return Chunk(number, len(data), want.offset, piece)

    def _gather(self, source: Address, chunk: Chunk, now_ns: int) -> Want | None:
        fetch = self._fetch
        if fetch is None or fetch.source != source or fetch.number != chunk.number:
            return None
        if chunk.offset != len(fetch.data):
            return None  # said twice
        fetch.total = fetch.total or chunk.total
        if chunk.total != fetch.total or len(fetch.data) + len(chunk.data) > min(
            fetch.total, MAX_LIST_BYTES
        ):
            self._fetch = None
            raise MalformedMessage("pieces of a revocation list that do not fit")
        fetch.data += chunk.data
        fetch.asked_ns, fetch.tries = now_ns, 0
        if len(fetch.data) < fetch.total:
            return Want(fetch.number, len(fetch.data))
        self._fetch = None
        self._revocations.offer(bytes(fetch.data))
        return None
