"""What the balancer asks its caller to do; drained with ``Balancer.actions()``."""

from __future__ import annotations

from dataclasses import dataclass

from edgesdk.balance.terms import Group, Promise

__all__ = [
    "Action",
    "CancelDelivery",
    "Deliver",
    "Drop",
    "Evict",
    "Load",
    "Meet",
    "Run",
    "Send",
]


@dataclass(slots=True)
class Run:
    """Claim *promise* in the scheduler for *group* now; the balancer has forgotten the group."""

    group: Group
    promise: Promise


@dataclass(slots=True)
class Send:
    """One datagram over the control plane."""

    peer: int
    data: bytes


@dataclass(slots=True)
class Deliver:
    """Send *group* over the data plane with *token*; ends in ``finished`` or ``failed``."""

    group: Group
    peer: int
    token: bytes
    arrive_by_ns: int
    """Later than this the peer may have given the place away."""
    ends_ns: int
    """When the peer promised to have computed it, on this node's clock."""


@dataclass(slots=True)
class CancelDelivery:
    """Stop sending or waiting; a result that comes all the same counts as a duplicate."""

    group: Group
    peer: int


@dataclass(slots=True)
class Drop:
    """The group ends here: ``deadline`` (nobody could make it) or ``thinned`` (its share of an
    overloaded cluster is used up)."""

    group: Group
    reason: str


@dataclass(slots=True)
class Load:
    """Load *model* as soon as that disturbs nothing; announced to others by ``Local.ready_ns``."""

    model: int


@dataclass(slots=True)
class Evict:
    """Unload *model*; always directly before the :class:`Load` that needs its place."""

    model: int


@dataclass(slots=True)
class Meet:
    """A peer named a member whom this node does not know; *address* is the caller's own form."""

    number: int
    address: bytes


Action = Run | Send | Deliver | CancelDelivery | Drop | Load | Evict | Meet
