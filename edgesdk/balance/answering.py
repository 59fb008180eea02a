"""The side that is asked: admits groups of others by the scheduler's exact test, and keeps tokens.

Every acceptance is a reservation that expires; a token is good once, for the peer it was given to.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import NamedTuple

from edgesdk.balance.captives import Captives
from edgesdk.balance.fairness import Fairness
from edgesdk.balance.ingress import Ingress, Parcel
from edgesdk.balance.links import Links
from edgesdk.balance.messages import ACCEPT, BUSY, LOADING, NOT_RESIDENT, VARIANT, Offer
from edgesdk.balance.seat import Seat
from edgesdk.balance.terms import Promise

__all__ = ["Answering", "Held", "Verdict"]

_DOUBTED = 1024
_IDLE_TALK = 8
"""Of places at once: who wasted so many that it gets fewer keeps no time on the interface; neither
words nor a narrow network shall close the way to this node."""


class Verdict(NamedTuple):
    """What becomes of an offer."""

    verdict: int
    ends_ns: int = 0
    """From now: accepted, to the promised end; loading, to its end."""
    cost_ns: int = 0
    token: bytes = b""
    wait_ns: int = 0
    """Accepted: how much later the data will be here than the sender could know."""


class Held:
    """A place given to a peer, until its data come or do not."""

    __slots__ = (
        "group",
        "items",
        "model",
        "parcel",
        "promise",
        "token",
        "until_ns",
    )

    def __init__(
        self,
        group: tuple[int, int],
        promise: Promise,
        token: bytes,
        parcel: Parcel,
        grace_ns: int,
        offer: Offer,
    ) -> None:
        self.group = group
        self.promise = promise
        self.token = token
        self.parcel = parcel
        self.until_ns = parcel.passed_ns + grace_ns
        self.model = offer.model
        self.items = offer.items


class Answering:
    """Offers of others."""

    __slots__ = (
        "_by_token",
        "_captives",
        "_count",
        "_fairness",
        "_held",
        "_ingress",
        "_links",
        "_room",
        "_seat",
        "_used",
        "accepted",
        "claimed",
        "refused",
    )

    def __init__(
        self,
        seat: Seat,
        links: Links,
        fairness: Fairness,
        captives: Mapping[int, Captives],
        used: Callable[[int, int, int], None],
    ) -> None:
        """*captives* are by lane; *used* is told (model, cost, now) of each group that runs
        here."""
        self._seat = seat
        self._links = links
        self._fairness = fairness
        self._captives = captives
        self._used = used
        self._held: dict[tuple[int, int], Held] = {}
        self._by_token: dict[bytes, Held] = {}
        self._count: dict[int, int] = {}
        self._room: dict[int, int] = {}
        self._ingress = Ingress(seat.settings)
        self.accepted = self.refused = self.claimed = 0

    def consider(self, sender: int, offer: Offer, now_ns: int) -> Verdict:
        """What becomes of an offer of *sender*."""
        local = self._seat.local
        model = offer.model
        cost = local.cost_ns(model, offer.items)
        if not cost:
            self.refused += 1
            ready = local.ready_ns(model)
            if ready is not None:
                return Verdict(LOADING, max(0, ready - now_ns))
            return Verdict(NOT_RESIDENT)
        if offer.variant and local.variant(model) != offer.variant:
            self.refused += 1
            return Verdict(VARIANT, cost_ns=cost)
        name = (sender, offer.number)
        settings = self._seat.settings
        room = self._room.get(sender, settings.reservations_a_peer)
        if name in self._held or self._count.get(sender, 0) >= room:
            self.refused += 1
            return Verdict(BUSY, cost_ns=cost)
        self._fairness.heard(model, offer.served, offer.items, now_ns)
        parcel = self._ingress.fit(now_ns + offer.arrive_ns, offer.payload_bytes)
        deadline = now_ns + offer.left_ns
        promise = None
        if parcel is not None and parcel.passed_ns + cost <= deadline:
            arrives = parcel.passed_ns
            ends = local.quote(
                model, offer.items, release_ns=arrives, deadline_ns=deadline, now_ns=now_ns
            )
            captives = self._captives[local.lane(model)]
            gap = max(self._fairness.gap_ns(model, now_ns), captives.gap_ns(now_ns))
            if ends is not None and ends <= deadline - gap:
                deadline -= int((deadline - ends) * settings.firmness)
                promise = local.reserve(
                    model, offer.items, release_ns=arrives, deadline_ns=deadline, now_ns=now_ns
                )
        if parcel is None or promise is None:
            self.refused += 1
            return Verdict(BUSY, cost_ns=cost)
        self.accepted += 1
        token = self._seat.rng.getrandbits(128).to_bytes(16, "big")
        held = Held(name, promise, token, parcel, settings.grace_ns, offer)
        if room >= _IDLE_TALK:
            self._ingress.expect(parcel)
        self._held[name] = self._by_token[token] = held
        self._count[sender] = self._count.get(sender, 0) + 1
        self._seat.timers.at(held.until_ns, self._expire, held)
        wait = parcel.passed_ns - (now_ns + offer.arrive_ns)
        return Verdict(ACCEPT, max(0, deadline - now_ns), cost, token, wait)

    def claim(self, sender: int, token: bytes, now_ns: int) -> Promise | None:
        """Data with *token* came from *sender*: its promise, once; None if it is not good."""
        held = self._by_token.get(token)
        if held is None or held.group[0] != sender or held.until_ns < now_ns:
            return None
        self._forget(held)
        self._ingress.came(now_ns)
        self._trust(sender, now_ns, kept=True)
        self.claimed += 1
        self._used(held.model, self._seat.local.cost_ns(held.model, held.items), now_ns)
        return held.promise

    def holds(self, sender: int, token: bytes) -> bool:
        """Whether :meth:`claim` could succeed. Any thread: it looks, once, at one table."""
        held = self._by_token.get(token)
        return held is not None and held.group[0] == sender

    def cancel(self, sender: int, number: int) -> None:
        """A peer does not need its place."""
        held = self._held.get((sender, number))
        if held is not None:
            self._forget(held)
            self._seat.local.cancel(held.promise)

    def leave(self, sender: int) -> None:
        """A peer is gone: so are its places."""
        for held in [h for h in self._held.values() if h.group[0] == sender]:
            self._forget(held)
            self._seat.local.cancel(held.promise)

    def _expire(self, held: Held, now_ns: int) -> None:
        if self._by_token.get(held.token) is held:
            self._forget(held)
            self._trust(held.group[0], now_ns, kept=False)
            self._seat.local.cancel(held.promise)

    def _trust(self, sender: int, now_ns: int, *, kept: bool) -> None:
        """A place was used, or not even given back: whoever lets places go to waste gets half as
        many at once each time, so that nobody keeps this node from its own frames with words."""
        self._links.came(sender, now_ns, kept=kept)
        most = self._seat.settings.reservations_a_peer
        room = self._room.pop(sender, most)
        room = room + 1 if kept else max(1, room // 2)
        if room < most:
            self._room[sender] = room
            if len(self._room) > _DOUBTED:
                del self._room[next(iter(self._room))]

    def _forget(self, held: Held) -> None:
        self._ingress.forget(held.parcel)
        del self._held[held.group]
        del self._by_token[held.token]
        sender = held.group[0]
        left = self._count[sender] - 1
        if left:
            self._count[sender] = left
        else:
            del self._count[sender]
