"""Where a group of frames runs: here, at a peer, or nowhere. Policy without I/O (DESIGN 7)."""

from edgesdk.balance.actions import (
    Action,
    CancelDelivery,
    Deliver,
    Drop,
    Evict,
    Load,
    Meet,
    Run,
    Send,
)
from edgesdk.balance.balancer import Balancer
from edgesdk.balance.grouping import group_size
from edgesdk.balance.settings import Settings
from edgesdk.balance.terms import Group, Local, Promise, Reach, key_of

__all__ = [
    "Action",
    "Balancer",
    "CancelDelivery",
    "Deliver",
    "Drop",
    "Evict",
    "Group",
    "Load",
    "Local",
    "Meet",
    "Promise",
    "Reach",
    "Run",
    "Send",
    "Settings",
    "group_size",
    "key_of",
]
