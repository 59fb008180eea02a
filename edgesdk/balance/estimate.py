"""What a group would cost at a peer, from what peers said in their answers."""

from __future__ import annotations

from edgesdk.balance.peers import Peer

__all__ = ["Costs"]

_ROOM = 4096


class Costs:
    """Costs by service class: nodes of one class are told apart only by their own answers.

    Unknown costs are 0: asking is what teaches them.
    """

    __slots__ = ("_classes", "_room")

    def __init__(self) -> None:
        self._classes: dict[int, dict[tuple[int, int], int]] = {}
        self._room = _ROOM

    def learn(self, peer: Peer, model: int, items: int, cost_ns: int) -> None:
        """An answer of *peer* told what it needs."""
        kind = (model, items)
        if len(peer.costs) >= 64 and kind not in peer.costs:
            peer.costs.clear()
        peer.costs[kind] = cost_ns
        of_class = self._classes.setdefault(peer.service_class, {})
        if kind not in of_class:
            if self._room == 0:
                self._classes = {peer.service_class: (of_class := {})}
                self._room = _ROOM
            self._room -= 1
        of_class[kind] = cost_ns

    def of(self, peer: Peer, kind: tuple[int, int]) -> int:
        """ns for *kind* = (model, items) at *peer*; 0 if nothing is known."""
        cost = peer.costs.get(kind)
        if cost is not None:
            return cost
        of_class = self._classes.get(peer.service_class)
        if of_class is None:
            return 0
        cost = of_class.get(kind)
        if cost is not None:
            return cost
        model, items = kind
        for other in range(1, 33):
            cost = of_class.get((model, other))
            if cost is not None:
                # A fifth of a single item is start-up, the middle of what devices show.
                return int(cost * (0.2 + 0.8 * items) / (0.2 + 0.8 * other))
        return 0
