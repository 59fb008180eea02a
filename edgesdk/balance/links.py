"""The network guard: what may be sent now, when it would arrive, and whose turn it is.

Own queue and shared medium are told apart: this node knows every byte that waits in its own
interface, so a delivery counts as delayed only by what its own queue does not explain.
"""

from __future__ import annotations

import random

from edgesdk.balance.settings import SECOND, Settings

__all__ = ["Link", "Links"]

SAME_SITE, CROSS_SITE = 0, 1

_FADE_NS = SECOND
_FADE_SHOWN_NS = 30 * SECOND
_SLOW_NS = 18 * SECOND
_LATELY_NS = 30 * SECOND
_CAME = 0.3
"""Share of what peers promised to send below which their way here is a narrow one."""


class Link:
    """One class of links: a window of groups in flight, moved by delay (as TCP Vegas does)."""

    __slots__ = (
        "excess_ns",
        "in_flight",
        "learnt_ns",
        "next_ns",
        "overdue_at",
        "presumed",
        "quoted",
        "slow_ns",
        "window",
    )

    def __init__(self, window: float) -> None:
        self.window = window
        self.in_flight = 0
        self.quoted = 0
        """Groups that will be in flight if accepted; counted where weights are to be kept."""
        self.excess_ns = 0
        """EWMA of what deliveries took beyond what was to be expected."""
        self.learnt_ns = -_LATELY_NS
        self.next_ns = 0
        """When a window below one lets the next group pass."""
        self.presumed = False
        """Whether the last excess learnt is that of a promise that was broken, not of results."""
        self.overdue_at = (-1, -_SLOW_NS)
        """(peer, when) of the last broken promise."""
        self.slow_ns = -_SLOW_NS
        """When promises of different peers were last broken soon after each other."""

    def is_slow(self, now_ns: int) -> bool:
        """Whether promises of more than one peer were broken: it is the link, not a peer."""
        return now_ns - self.slow_ns < _SLOW_NS


class Links:
    """This node's interface and the two classes of links behind it."""

    __slots__ = (
        "_broke",
        "_broke_ns",
        "_came",
        "_settings",
        "busy_ns",
        "classes",
        "ns_a_byte",
        "pending_ns",
    )

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self.ns_a_byte = 8e9 / settings.nic_bps
        self.busy_ns = 0
        """When the own transmit queue will be empty."""
        self.pending_ns = 0
        """Transmission of groups that are being quoted: they will queue if accepted."""
        self.classes = (Link(settings.window), Link(settings.window))
        self._came = 1.0
        self._broke = -1
        self._broke_ns = 0

    def queue_ns(self, now_ns: int) -> int:
        """What waits in this node's own interface."""
        return max(0, self.busy_ns - now_ns)

    def full(self, now_ns: int) -> bool:
        """Whether a further group has to wait for its turn."""
        return self.busy_ns - now_ns + self.pending_ns > self._settings.queue_ns

    def is_open(self, link: int, now_ns: int) -> bool:
        """Whether the window of this class has room. One below 1 is a pace, not a chance: those
        who wait look often, and with any chance at each look one soon passes."""
        at = self.classes[link]
        if at.window >= 1.0:
            return at.in_flight + at.quoted < at.window
        return at.in_flight + at.quoted == 0 and now_ns >= at.next_ns

    def came(self, sender: int, now_ns: int, *, kept: bool) -> None:
        """Data that *sender* had promised came in time, or not. Of several misses of one sender,
        with none of others between, only the first counts: no peer alone makes this node doubt its
        network."""
        if kept:
            self._came += (1.0 - self._came) * 0.1
        elif sender != self._broke:
            self._broke = sender
            self._broke_ns = now_ns
            self._came *= 0.8

    def narrow(self, now_ns: int, below: float = 1.0) -> bool:
        """Whether this node is on its own for the most part: every class of links that it used of
        late has a window under *below*, or most of what others promised it came too late.

        Groups that do not run here then run nowhere, so a node first serves its own, as many as it
        can: room for later groups or worse-off models, and models for others, cost it more than
        they bring (in radio cells of 16 nodes at 50 Mb/s goodput was up to 5 points below that of
        nodes without a cluster; it is 1 to 11 above, 7 in the mean).
        """
        if self._came < _CAME and now_ns - self._broke_ns < _LATELY_NS:
            return True
        used = [at.window for at in self.classes if now_ns - at.learnt_ns < _LATELY_NS]
        return bool(used) and max(used) < below

    def fade(self, now_ns: int) -> None:
        """Doubts half of what was learnt of delays for each second without a delivery that ended:
        a link that nothing is sent over could never show that it is not slow, or that the network
        is back. What results have shown is doubted more slowly, and not at once where several
        peers were late: every node of a crowded radio cell would try it each second (0.37 of the
        frames in time instead of 0.47)."""
        for at in self.classes:
            if at.is_slow(now_ns):
                continue
            after = _FADE_NS if at.presumed else _FADE_SHOWN_NS
            while at.excess_ns and now_ns - at.learnt_ns > after:
                at.learnt_ns = max(at.learnt_ns + after, now_ns - 64 * after)
                at.excess_ns //= 2
                at.window = max(at.window, min(1.0, 2 * at.window))

    def transmit_ns(self, payload_bytes: int) -> int:
        """Time on this node's interface."""
        return int(payload_bytes * self.ns_a_byte)

    def send(self, link: int, payload_bytes: int, now_ns: int, rng: random.Random) -> int:
        """A group goes out: returns how long until its last byte has left."""
        at = self.classes[link]
        at.in_flight += 1
        if at.window < 1.0:
            wait = self._settings.pace_ns / at.window
            at.next_ns = now_ns + int(wait * (0.5 + rng.random()))
        self.busy_ns = max(self.busy_ns, now_ns) + self.transmit_ns(payload_bytes)
        return self.busy_ns - now_ns

    def given_up(self, link: int) -> None:
        """A delivery is over, and it was not the link's fault."""
        at = self.classes[link]
        at.in_flight = max(0, at.in_flight - 1)

    def overdue(self, link: int, peer: int, now_ns: int) -> None:
        """*peer* broke a promise."""
        at = self.classes[link]
        other, when = at.overdue_at
        if other != peer and now_ns - when < _SLOW_NS:
            at.slow_ns = now_ns
        at.overdue_at = (peer, now_ns)

    def ended(
        self,
        link: int,
        *,
        excess_ns: int | None,
        allowed_ns: int,
        now_ns: int,
        presumed: bool = False,
    ) -> None:
        """A delivery is over; *excess_ns* beyond its expected time, None if nobody knows;
        *presumed*: without results that would show it."""
        at = self.classes[link]
        at.in_flight = max(0, at.in_flight - 1)
        settings = self._settings
        if excess_ns is None:
            # Ended, and nobody measured: no reason to stay shut for ever.
            at.window = max(at.window, min(1.0, at.window + settings.grow / 4))
            return
        at.learnt_ns = now_ns
        at.presumed = presumed
        at.excess_ns += (excess_ns - at.excess_ns) // 4
        at.excess_ns = max(0, at.excess_ns)
        if excess_ns > allowed_ns:
            at.window = max(settings.window_min, at.window * settings.shrink)
        else:
            grow = settings.grow * min(1.0, at.window)
            at.window = min(settings.window_max, at.window + grow)
