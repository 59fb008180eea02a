"""Whom this node knows well: the peers it watches, those that watch it, and how both change.

A view of 24 out of a thousand is enough (6 loses 6 points, 96 only ages; offload notes, 3.2), if it
is uniform and has holders of each model this node needs. It is refreshed by exchanging random
members with random peers (Cyclon; Voulgaris, Gavidia, van Steen 2005).
"""

from __future__ import annotations

from collections.abc import Callable

from edgesdk.balance.actions import Meet
from edgesdk.balance.digest import Digest
from edgesdk.balance.links import CROSS_SITE, SAME_SITE
from edgesdk.balance.messages import (
    HELD_MAX,
    MEMBERS_MAX,
    WANTED_MAX,
    Exchange,
    Member,
    State,
    Unwatch,
    Watch,
)
from edgesdk.balance.peers import Peer
from edgesdk.balance.seat import Seat
from edgesdk.balance.settings import MS, SECOND

__all__ = ["View"]

_NEED_NS = 60 * SECOND
"""A model that was not asked for so long needs no holders any more."""
_HEARSAY = 256


class View:
    """Members, watched, watchers."""

    __slots__ = (
        "_digest",
        "_exchange_wait_ns",
        "_hearsay",
        "_holders",
        "_needs",
        "_refused",
        "_seat",
        "_told",
        "_watchers",
        "members",
        "watched",
    )

    def __init__(self, seat: Seat, digest: Callable[[int], Digest]) -> None:
        self._seat = seat
        self._digest = digest
        self.members: dict[int, Peer] = {}
        """Every reachable member, by number."""
        self.watched: dict[int, Peer] = {}
        """The view. Offers go to these only."""
        self._watchers: dict[int, int] = {}
        self._told: dict[int, int] = {}
        self._hearsay: dict[int, Member] = {}
        self._holders: dict[int, list[Peer]] = {}
        self._needs: dict[int, int] = {}
        self._refused: dict[int, int] = {}
        self._exchange_wait_ns = SECOND // 2

    # Membership.

    def start(self, now_ns: int) -> None:
        """From here on there are timers."""
        seat = self._seat
        period = seat.settings.period_ns
        seat.timers.at(now_ns + int(period * seat.rng.random()), self._gossip)
        seat.timers.at(now_ns + int(500 * MS * seat.rng.random()), self._tend)
        seat.timers.at(now_ns + int(SECOND * (0.2 + 0.5 * seat.rng.random())), self._ask_around)

    def join(self, number: int, site: int, address: bytes, now_ns: int) -> Peer:
        """A member is reachable and is who it says."""
        peer = self.members.get(number)
        if peer is not None:
            peer.address = address or peer.address
            return peer
        seat = self._seat
        link = SAME_SITE if site == seat.site else CROSS_SITE
        peer = Peer(number, site, link, seat.settings.latency_ns, address)
        heard = self._hearsay.pop(number, None)
        if heard is not None:
            peer.keys = heard.keys
        self.members[number] = peer
        # Places for both kinds are kept until it is known who else is there (_tend).
        here = round(seat.settings.same_site * seat.settings.view)
        room = here if link == SAME_SITE else seat.settings.view - here
        if sum(1 for p in self.watched.values() if p.link == link) < room:
            self._watch(peer, now_ns)
        return peer

    def leave(self, number: int, now_ns: int) -> Peer | None:
        """It is not reachable any more."""
        peer = self.members.pop(number, None)
        if peer is not None:
            self._unwatch(peer)
            self._watchers.pop(number, None)
            self._told.pop(number, None)
            self._refused.pop(number, None)
            self._fill(now_ns)
        return peer

    # What the rest of the policy asks.

    def holders(self, key: int) -> list[Peer]:
        """Watched peers that hold a model of this key, in a stable order. Not to be changed."""
        found = self._holders.get(key)
        if found is None:
            found = self._holders[key] = [p for p in self.watched.values() if key in p.keys]
        return found

    def need(self, key: int, now_ns: int) -> None:
        """This node has groups for a model of this key."""
        if key not in self._needs and len(self._needs) >= 256:
            oldest = min(self._needs, key=self._needs.__getitem__)
            del self._needs[oldest]
        self._needs[key] = now_ns

    def hear(self, peer: Peer, digest: Digest, now_ns: int) -> None:
        """A peer told its state."""
        if not peer.srtt_ns and 0 < now_ns - peer.watched_ns < SECOND:
            peer.answered(now_ns - peer.watched_ns)
        before = peer.keys
        if peer.hear(digest, now_ns) and peer.keys != before and peer.number in self.watched:
            self._holders.clear()

    def told(self, number: int, now_ns: int) -> None:
        """A peer was just told this node's state inside an answer: gossip to it can wait."""
        if number in self._watchers:
            self._told[number] = now_ns

    @property
    def watchers(self) -> int:
        """How many peers watch this node."""
        return len(self._watchers)

    def tell_watchers(self, now_ns: int) -> None:
        """All of them, out of turn; gossip to them can wait."""
        for number in self._watchers:
            peer = self.members.get(number)
            if peer is not None:
                self._tell(peer, now_ns)

    # Messages.

    def on_watch(self, peer: Peer, now_ns: int) -> None:
        """A peer wants this node's state from now on."""
        settings = self._seat.settings
        if peer.number not in self._watchers and len(self._watchers) >= settings.watchers:
            self._seat.send(peer.number, Unwatch().pack(), now_ns)
            return
        fresh = peer.number not in self._watchers
        self._watchers[peer.number] = now_ns + 12 * settings.period_ns
        if fresh:
            self._tell(peer, now_ns)

    def on_unwatch(self, peer: Peer, now_ns: int) -> None:
        """Either side ends it."""
        self._watchers.pop(peer.number, None)
        if peer.number in self.watched:
            self._refused[peer.number] = now_ns
            # Its answers tell its state too: a rare model's only holders have many watchers.
            if not self._is_needed(peer):
                self._unwatch(peer)
                self._fill(now_ns)

    def on_exchange(self, peer: Peer, message: Exchange, now_ns: int) -> None:
        """A peer names members; it is told others."""
        if not message.reply:
            mine = self._choose(message.wanted, peer.number)
            self._seat.send(peer.number, Exchange(True, (), mine).pack(), now_ns)
        for member in message.members:
            if member.number == self._seat.node:
                continue
            known = self.members.get(member.number)
            if known is not None:
                if known.digest is None:
                    known.keys = member.keys
                continue
            if len(self._hearsay) >= _HEARSAY:
                del self._hearsay[next(iter(self._hearsay))]
            self._hearsay[member.number] = member
        self._fill(now_ns)

    # Timers.

    def _gossip(self, _: object, now_ns: int) -> None:
        seat = self._seat
        period = seat.settings.period_ns
        seat.timers.at(now_ns + int(period * (0.9 + 0.2 * seat.rng.random())), self._gossip)
        for number, until in list(self._watchers.items()):
            peer = self.members.get(number)
            if peer is None or until < now_ns:
                del self._watchers[number]
                self._told.pop(number, None)
            elif now_ns - self._told.get(number, -period) > period // 2:
                self._tell(peer, now_ns)

    def _tend(self, _: object, now_ns: int) -> None:
        """Renews watches, and gives up those who are silent."""
        seat = self._seat
        settings = seat.settings
        seat.timers.at(now_ns + settings.period_ns // 4, self._tend)
        period = settings.period_ns
        for peer in list(self.watched.values()):
            if peer.number in self._refused:
                continue
            silent = now_ns - max(peer.heard_ns, peer.watched_ns)
            if now_ns - peer.watched_ns > (3 * period if silent > 2 * period else 8 * period):
                peer.watched_ns = now_ns
                self._seat.send(peer.number, Watch().pack(), now_ns)
        self._fill(now_ns)

    def _ask_around(self, _: object, now_ns: int) -> None:
        seat = self._seat
        if self.watched:
            wanted = tuple(self._lacking(now_ns))[:WANTED_MAX]
            content = not wanted and len(self.watched) >= min(
                seat.settings.view, len(self.members) + len(self._hearsay)
            )
            peers = list(self.watched.values())
            peer = peers[seat.rng.randrange(len(peers))]
            self._seat.send(
                peer.number, Exchange(False, wanted, self._choose((), peer.number)).pack(), now_ns
            )
            if content:
                self._exchange_wait_ns = seat.settings.exchange_ns
            else:
                self._exchange_wait_ns = min(
                    seat.settings.exchange_ns, self._exchange_wait_ns * 3 // 2
                )
        wait = int(self._exchange_wait_ns * (0.75 + 0.5 * seat.rng.random()))
        seat.timers.at(now_ns + wait, self._ask_around)

    # How the view changes.

    def _lacking(self, now_ns: int) -> list[int]:
        """Keys of needed models with too few holders in view; the scarcest first."""
        lacking = []
        for key, asked in list(self._needs.items()):
            if now_ns - asked > _NEED_NS:
                del self._needs[key]
            elif len(self.holders(key)) < self._seat.settings.holders:
                lacking.append(key)
        lacking.sort(key=lambda key: len(self.holders(key)))
        return lacking

    def _is_needed(self, peer: Peer) -> bool:
        enough = self._seat.settings.holders
        return any(key in self._needs and len(self.holders(key)) <= enough for key in peer.keys)

    def _fill(self, now_ns: int) -> None:
        """Watches more peers where places or holders are missing."""
        settings = self._seat.settings
        for key in self._lacking(now_ns):
            lacks = settings.holders - len(self.holders(key))
            spare = [
                p
                for n, p in self.members.items()
                if n not in self.watched and key in p.keys and n not in self._refused
            ]
            self._seat.rng.shuffle(spare)
            for peer in spare[:lacks]:
                if len(self.watched) < settings.view or self._give_place(now_ns):
                    self._watch(peer, now_ns)
            if len(spare) < lacks:
                self._meet(key)
        while len(self.watched) < settings.view:
            found = self._stranger(now_ns)
            if found is None:
                if len(self.members) < settings.view:
                    self._meet(None)
                break
            self._watch(found, now_ns)

    def _give_place(self, now_ns: int) -> bool:
        """Stops watching a random peer that no needed model would miss."""
        free = [p for p in self.watched.values() if not self._is_needed(p)]
        if not free:
            return False
        peer = free[self._seat.rng.randrange(len(free))]
        self._seat.send(peer.number, Unwatch().pack(), now_ns)
        self._unwatch(peer)
        return True

    def _stranger(self, now_ns: int) -> Peer | None:
        """A random member that is not watched: of this site until a third of the view is."""
        settings = self._seat.settings
        free = [
            p
            for n, p in self.members.items()
            if n not in self.watched and now_ns - self._refused.get(n, -_NEED_NS) >= _NEED_NS
        ]
        if not free:
            return None
        here = sum(1 for p in self.watched.values() if p.link == SAME_SITE)
        wanted = SAME_SITE if here < settings.same_site * settings.view else CROSS_SITE
        of_site = [p for p in free if p.link == wanted] or free
        return of_site[self._seat.rng.randrange(len(of_site))]

    def _meet(self, key: int | None) -> None:
        for number, member in list(self._hearsay.items()):
            if key is None or key in member.keys:
                del self._hearsay[number]
                self._seat.actions.append(Meet(number, member.address))
                return

    def _choose(self, wanted: tuple[int, ...], asker: int) -> tuple[Member, ...]:
        """Members to name: first holders of what is wanted, then random ones."""
        known = [p for p in self.watched.values() if p.number != asker]
        self._seat.rng.shuffle(known)
        if wanted:
            known.sort(key=lambda p: not any(key in p.keys for key in wanted))
        count = MEMBERS_MAX if wanted else 3
        chosen = []
        for peer in known[:count]:
            keys = peer.keys
            if len(keys) > HELD_MAX:
                keys = tuple(sorted(keys, key=lambda key: key not in wanted))
            chosen.append(Member(peer.number, peer.site, peer.address, keys))
        return tuple(chosen)

    def _watch(self, peer: Peer, now_ns: int) -> None:
        self._refused.pop(peer.number, None)
        self.watched[peer.number] = peer
        peer.watched_ns = now_ns
        self._holders.clear()
        self._seat.send(peer.number, Watch().pack(), now_ns)

    def _unwatch(self, peer: Peer) -> None:
        if self.watched.pop(peer.number, None) is not None:
            self._holders.clear()

    def _tell(self, peer: Peer, now_ns: int) -> None:
        self._told[peer.number] = now_ns
        self._seat.send(peer.number, State(self._digest(now_ns)).pack(), now_ns)
