"""What a node tells about itself: in gossip and, in some 20 to 40 bytes, inside every answer."""

from __future__ import annotations

import struct
from typing import NamedTuple

from edgesdk.errors import MessageError

__all__ = ["BRIEF", "HASHES", "Digest", "pack_digest", "unpack_digest"]

HASHES = 64
"""Residents named in one digest at most; of a node that holds more, the first."""
BRIEF = 8
"""Residents named inside an answer: there are many of those, and few nodes hold more."""

_MS = 1_000_000
_HEAD = struct.Struct("!HHHHBBBBHHBHH")
_KEYS = tuple(struct.Struct(f"!{n}H") for n in range(HASHES + 1))
_HEAD_SIZE = _HEAD.size


class Digest(NamedTuple):
    """One node's state when it was sent."""

    incarnation: int
    """u16, drawn at start: another one is a restart, whatever the sequence."""
    sequence: int
    """u16, wraps."""
    backlog_ns: int
    """Running + queued + reserved; told in ms up to 65 s."""
    site: int
    service_class: int
    residents: int
    """How many models are loaded, all of them."""
    utilisation: float
    missed: int
    """Key of the model whose groups this node misses most; 0 if it misses none."""
    missed_rate: float
    """Items of it a second."""
    served: float
    """Share of the items of *missed* that this node got served, 0 to 1."""
    loading: int
    """Key of the model whose load is under way; 0 if none."""
    ready_ns: int
    """Time until that load ends."""
    keys: tuple[int, ...]
    """Keys of residents: of all, if they are as many as *residents*."""

    @property
    def complete(self) -> bool:
        """Whether it names all residents."""
        return len(self.keys) >= self.residents


def pack_digest(digest: Digest) -> bytes:
    """22 bytes and two for each key; values out of range are clipped."""
    keys = digest.keys[:HASHES]
    count = len(keys)
    return _HEAD.pack(
        digest.incarnation,
        digest.sequence & 0xFFFF,
        min(0xFFFF, digest.backlog_ns // _MS),
        digest.site,
        digest.service_class,
        min(255, digest.residents),
        min(255, int(digest.utilisation * 255 + 0.5)),
        count,
        digest.missed,
        min(0xFFFF, int(digest.missed_rate * 16 + 0.5)),
        min(255, int(digest.served * 255 + 0.5)),
        digest.loading,
        min(0xFFFF, digest.ready_ns // (10 * _MS)),
    ) + _KEYS[count].pack(*keys)


def unpack_digest(data: bytes) -> Digest:
    """The inverse of :func:`pack_digest`; what newer versions append is ignored.

    Raises:
        MessageError: it is cut short, or names more residents than fit.
    """
    size = len(data)
    if size < _HEAD_SIZE:
        raise MessageError(f"a digest of {size} bytes; expected at least {_HEAD_SIZE}")
    (
        incarnation,
        sequence,
        backlog,
        site,
        service_class,
        residents,
        utilisation,
        count,
        missed,
        missed_rate,
        served,
        loading,
        ready,
    ) = _HEAD.unpack_from(data)
    if count > HASHES or size < _HEAD_SIZE + 2 * count:
        raise MessageError(f"a digest of {size} bytes that names {count} residents")
    return Digest(
        incarnation,
        sequence,
        backlog * _MS,
        site,
        service_class,
        residents,
        utilisation / 255,
        missed,
        missed_rate / 16,
        served / 255,
        loading,
        ready * 10 * _MS,
        _KEYS[count].unpack_from(data, _HEAD_SIZE),
    )
