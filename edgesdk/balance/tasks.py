"""A group on its way to a place, and the offers made for it."""

from __future__ import annotations

from edgesdk.balance.links import Link
from edgesdk.balance.peers import Peer
from edgesdk.balance.terms import Group

__all__ = ["DOUBTED", "Bid", "Task"]

DOUBTED = -1
"""In the place of a count of doubts: it was given the time again, and gets it no third time."""


class Bid:
    """One offer and what became of it."""

    __slots__ = (
        "answered",
        "doubts",
        "ends_ns",
        "number",
        "payload_ns",
        "peer",
        "sent_ns",
        "start_ns",
        "task",
        "token",
        "wait_ns",
    )

    def __init__(self, number: int, task: Task, peer: Peer, sent_ns: int, doubts: int) -> None:
        self.number = number
        self.task = task
        self.peer = peer
        self.sent_ns = sent_ns
        self.doubts = doubts
        self.answered = False
        self.ends_ns = 0
        self.start_ns = 0
        """Work in front of it there: what answers are compared by."""
        self.token = b""
        self.payload_ns = 0
        self.wait_ns = 0
        """On the way into the peer, behind the data of others."""


class Task:
    """A group that this node has to place or waits for."""

    __slots__ = (
        "best",
        "bids",
        "charged",
        "deferrals",
        "doubts",
        "expected_ns",
        "group",
        "peer",
        "pending_ns",
        "quoted",
        "rounds",
        "second",
        "step",
        "tried",
        "waits",
    )

    def __init__(self, group: Group) -> None:
        self.group = group
        self.rounds = 0
        self.deferrals = 0
        self.tried: list[int] = []
        self.bids: list[Bid] = []
        self.best: Bid | None = None
        self.peer: Peer | None = None
        """Set while it is delivered there."""
        self.pending_ns = 0
        self.quoted: Link | None = None
        """The class of links that counts it as quoted."""
        self.expected_ns = 0
        self.doubts = 0
        self.step = 0
        """Moves on with each decision, so that older timers see that they mean nothing."""
        self.waits = False
        self.second = False
        self.charged = False
        """Whether its application has paid for the link."""
