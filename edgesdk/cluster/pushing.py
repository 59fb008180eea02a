"""The operator's push of a new revocation list to whatever nodes can be reached now.

One is enough: nodes tell each other (:mod:`edgesdk.cluster.spreading`).
"""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor

from edgesdk.cluster.administration import Conversation
from edgesdk.cluster.discovery import browse
from edgesdk.cluster.documents import PushRow
from edgesdk.cluster.identity import Identity
from edgesdk.errors import ClusterError

__all__ = ["find_nodes", "push"]

_AT_ONCE = 16
Address = tuple[str, int]


def find_nodes(operator: Identity, seconds: float) -> list[Address]:
    """Control addresses of nodes on this LAN, by multicast DNS; waits *seconds*."""
    return [(node.addresses[0], node.port) for node in browse(operator, seconds)[0]]


def push(operator: Identity, addresses: Sequence[Address], der: bytes) -> list[PushRow]:
    """Hands the list to each of *addresses*; a row for each, in their order."""
    if not addresses:
        return []
    with ThreadPoolExecutor(min(_AT_ONCE, len(addresses))) as pool:
        return list(pool.map(lambda address: _push_one(operator, address, der), addresses))


def _push_one(operator: Identity, address: Address, der: bytes) -> PushRow:
    where = f"{address[0]}:{address[1]}"
    try:
        conversation = Conversation(operator, address, timeout=5)
        conversation.ask("revoke", der)
    except ClusterError as error:
        return PushRow(address=where, node="", error=str(error))
    return PushRow(address=where, node=conversation.subject.node_id, error="")
