"""The datagrams of the balancer: packed, bounded, and safe to unpack whatever comes.

First byte the kind (0x01 to 0x7f), second the version: high half major, low half minor. A newer
minor version may append to any message and send kinds that are unknown here; both are ignored, so
that two versions can talk while a cluster is upgraded. Another major version is refused.
"""

from __future__ import annotations

import struct
from collections.abc import Callable
from typing import NamedTuple

from edgesdk.balance.digest import Digest, pack_digest, unpack_digest
from edgesdk.errors import MessageError

__all__ = [
    "ACCEPT",
    "BUSY",
    "LOADING",
    "NOT_RESIDENT",
    "SIZE_MAX",
    "VARIANT",
    "Answer",
    "Cancel",
    "Exchange",
    "Member",
    "Message",
    "Offer",
    "State",
    "Unwatch",
    "Watch",
    "unpack",
]

MAJOR, MINOR = 1, 1
VERSION = MAJOR << 4 | MINOR
SIZE_MAX = 1200
"""Of any datagram: no fragments on any link."""

ITEMS_MAX = 32
ADDRESS_MAX = 64
MEMBERS_MAX = 8
WANTED_MAX = 8
HELD_MAX = 8

# Verdicts of an answer.
ACCEPT, BUSY, NOT_RESIDENT, LOADING, VARIANT = range(5)

_OFFER, _ANSWER, _CANCEL, _STATE, _WATCH, _UNWATCH, _EXCHANGE = range(1, 8)

_US = 1_000
_U32 = 0xFFFFFFFF


def _us(ns: int) -> int:
    return 0 if ns <= 0 else min(_U32, ns // _US)


class Offer(NamedTuple):
    """Will you finish this group by then?"""

    number: int
    """u32, the origin's."""
    model: int
    variant: int
    items: int
    left_ns: int
    """From the receipt of this message to the end of the computation."""
    arrive_ns: int
    """From the receipt of this message to the arrival of the data."""
    payload_bytes: int
    served: float = 1.0
    """Share of this model's items that the origin got served lately."""

    def pack(self) -> bytes:
        """The datagram."""
        head = _OFFER_HEAD.pack(
            _OFFER,
            VERSION,
            self.number,
            self.model,
            self.items,
            _us(self.left_ns),
            _us(self.arrive_ns),
            min(0xFFFF, (self.payload_bytes + 1023) // 1024),
            min(255, int(self.served * 255 + 0.5)),
            1 if self.variant else 0,
        )
        return head + self.variant.to_bytes(8, "big") if self.variant else head


class Answer(NamedTuple):
    """What became of an offer, with the state of who answers."""

    number: int
    verdict: int
    ends_ns: int
    """Accepted: from the sending of this message to the promised end. Loading: to its end."""
    cost_ns: int
    """What this group costs there; 0 if the model is not resident. Told in steps of 0.1 ms."""
    token: bytes
    """16 bytes that the data must present; empty unless accepted."""
    digest: Digest
    wait_ns: int = 0
    """Accepted: how much later the data will be there than offered, behind those of others on the
    way into that node. Since version 1.1."""

    def pack(self) -> bytes:
        """The datagram."""
        digest = pack_digest(self.digest)
        return (
            _ANSWER_HEAD.pack(
                _ANSWER,
                VERSION,
                self.number,
                self.verdict,
                _us(self.ends_ns),
                min(0xFFFF, (self.cost_ns + 99_999) // 100_000),
                len(digest),
            )
            + digest
            + self.token
            + (_WAIT.pack(_us(self.wait_ns)) if self.verdict == ACCEPT else b"")
        )


class Cancel(NamedTuple):
    """The place promised to this offer is not needed."""

    number: int

    def pack(self) -> bytes:
        """The datagram."""
        return _CANCEL_HEAD.pack(_CANCEL, VERSION, self.number)


class State(NamedTuple):
    """A digest for one who watches."""

    digest: Digest

    def pack(self) -> bytes:
        """The datagram."""
        return _STATE_HEAD + pack_digest(self.digest)


class Watch(NamedTuple):
    """Tell me your state from now on; also said again, so that a watch outlives lost messages."""

    def pack(self) -> bytes:
        """The datagram."""
        return bytes((_WATCH, VERSION))


class Unwatch(NamedTuple):
    """From a watcher: no more of it. From the watched: no place for one more watcher."""

    def pack(self) -> bytes:
        """The datagram."""
        return bytes((_UNWATCH, VERSION))


class Member(NamedTuple):
    """A node that a peer knows of: hearsay, to be believed when it has authenticated itself."""

    number: int
    site: int
    address: bytes
    keys: tuple[int, ...]

    def pack(self) -> bytes:
        """Its part of an exchange."""
        keys = self.keys[:HELD_MAX]
        head = _MEMBER_HEAD.pack(self.number, self.site, len(self.address), len(keys))
        return head + self.address + struct.pack(f"!{len(keys)}H", *keys)


class Exchange(NamedTuple):
    """Some members that I know, and the models of which I need holders."""

    reply: bool
    """Whether this answers one: such a message is never answered."""
    wanted: tuple[int, ...]
    members: tuple[Member, ...]

    def pack(self) -> bytes:
        """The datagram."""
        wanted = self.wanted[:WANTED_MAX]
        members = self.members[:MEMBERS_MAX]
        head = _EXCHANGE_HEAD.pack(_EXCHANGE, VERSION, self.reply, len(wanted), len(members))
        return b"".join(
            (head, struct.pack(f"!{len(wanted)}H", *wanted), *(m.pack() for m in members))
        )


Message = Offer | Answer | Cancel | State | Watch | Unwatch | Exchange

_OFFER_HEAD = struct.Struct("!BBIQBIIHBB")
_ANSWER_HEAD = struct.Struct("!BBIBIHB")
_WAIT = struct.Struct("!I")
_CANCEL_HEAD = struct.Struct("!BBI")
_STATE_HEAD = bytes((_STATE, VERSION))
_EXCHANGE_HEAD = struct.Struct("!BB?BB")
_MEMBER_HEAD = struct.Struct("!IHBB")


def unpack(data: bytes) -> Message | None:
    """The message in a datagram; None for a kind that only newer versions know.

    Raises:
        MessageError: whatever else is in *data*: nothing else is ever raised.
    """
    size = len(data)
    if size < 2 or size > SIZE_MAX:
        raise MessageError(f"a datagram of {size} bytes; expected 2 to {SIZE_MAX}")
    if data[1] >> 4 != MAJOR:
        raise MessageError(f"protocol version {data[1] >> 4}; this node speaks {MAJOR}")
    kind = data[0]
    if not 1 <= kind <= 0x7F:
        raise MessageError(f"kind {kind:#04x} is not the balancer's")
    reader = _READERS.get(kind)
    if reader is None:
        return None
    try:
        return reader(bytes(data))
    except (struct.error, IndexError):
        raise MessageError(f"a datagram of kind {kind:#04x}, cut short at {size} bytes") from None


def _read_offer(data: bytes) -> Offer:
    _, _, number, model, items, left, arrive, size, served, exact = _OFFER_HEAD.unpack_from(data)
    if not 1 <= items <= ITEMS_MAX:
        raise MessageError(f"an offer of {items} items; expected 1 to {ITEMS_MAX}")
    if exact > 1:
        raise MessageError(f"an offer with flags {exact:#04x}")
    variant = 0
    if exact:
        end = _OFFER_HEAD.size + 8
        if len(data) < end:
            raise MessageError("an offer without the variant that it asks for")
        variant = int.from_bytes(data[_OFFER_HEAD.size : end], "big")
    return Offer(number, model, variant, items, left * _US, arrive * _US, size * 1024, served / 255)


def _read_answer(data: bytes) -> Answer:
    _, _, number, verdict, ends, cost, length = _ANSWER_HEAD.unpack_from(data)
    if verdict > VARIANT:
        verdict = BUSY  # a newer reason to refuse
    at = _ANSWER_HEAD.size
    end = at + length
    if len(data) < end:
        raise MessageError("an answer whose digest is cut short")
    digest = unpack_digest(data[at:end])
    token = b""
    wait = 0
    if verdict == ACCEPT:
        token = data[end : end + 16]
        if len(token) < 16:
            raise MessageError("an acceptance without its token")
        if data[1] & 0xF:
            wait = _WAIT.unpack_from(data, end + 16)[0] * _US
    return Answer(number, verdict, ends * _US, cost * 100_000, token, digest, wait)


def _read_cancel(data: bytes) -> Cancel:
    return Cancel(_CANCEL_HEAD.unpack_from(data)[2])


def _read_state(data: bytes) -> State:
    return State(unpack_digest(data[2:]))


def _read_watch(data: bytes) -> Watch:
    return Watch()


def _read_unwatch(data: bytes) -> Unwatch:
    return Unwatch()


def _read_exchange(data: bytes) -> Exchange:
    _, _, reply, wanted_count, count = _EXCHANGE_HEAD.unpack_from(data)
    if wanted_count > WANTED_MAX or count > MEMBERS_MAX:
        raise MessageError(f"an exchange of {count} members and {wanted_count} wishes")
    at = _EXCHANGE_HEAD.size
    wanted = struct.unpack_from(f"!{wanted_count}H", data, at)
    at += 2 * wanted_count
    members = []
    for _ in range(count):
        number, site, length, held = _MEMBER_HEAD.unpack_from(data, at)
        at += _MEMBER_HEAD.size
        if length > ADDRESS_MAX or held > HELD_MAX:
            raise MessageError(f"a member with {length} bytes of address and {held} residents")
        address = data[at : at + length]
        if len(address) < length:
            raise MessageError("a member whose address is cut short")
        at += length
        members.append(Member(number, site, address, struct.unpack_from(f"!{held}H", data, at)))
        at += 2 * held
    return Exchange(reply, wanted, tuple(members))


_READERS: dict[int, Callable[[bytes], Message]] = {
    _OFFER: _read_offer,
    _ANSWER: _read_answer,
    _CANCEL: _read_cancel,
    _STATE: _read_state,
    _WATCH: _read_watch,
    _UNWATCH: _read_unwatch,
    _EXCHANGE: _read_exchange,
}
