"""A member with a good certificate and bad manners: what a stolen camera could do."""

from __future__ import annotations

import secrets
import threading
from typing import Any

from edgesdk.balance.digest import Digest
from edgesdk.balance.messages import ACCEPT, Answer, Offer, State, Watch, unpack
from edgesdk.cluster.control import Control, Hello, Peer
from edgesdk.cluster.data import Arrival, DataPlane
from edgesdk.cluster.identity import Identity

__all__ = ["Impostor"]


class Impostor:
    """Says that it is idle, accepts every offer, and answers no group, or each with *junk*; a
    context manager.

    It listens on free ports of loopback. *offers* and *groups* count what it was asked and sent.
    """

    def __init__(
        self,
        identity: Identity,
        model: int,
        peers: list[tuple[str, int]],
        *,
        junk: bytes | None = None,
    ) -> None:
        self._junk = junk
        self.offers = self.groups = 0
        self.answers: list[Answer] = []
        self.changed = threading.Event()
        self._model = model
        self._peers = peers
        self._arrivals: list[Arrival] = []
        self.data = DataPlane(identity, ("127.0.0.1", 0), arrived=self._arrived)
        self.control = Control(
            identity,
            ("127.0.0.1", 0),
            hello=Hello("", self.data.address[1], "0.1.0"),
            received=self._received,
            joined=self._joined,
            left=lambda peer, reason: None,
            timer=lambda now, late: None,
        )

    def __enter__(self) -> Impostor:
        self.data.start()
        self.control.start()
        for host, port in self._peers:
            self.control.reach(host, port)
        return self

    def __exit__(self, *_: object) -> None:
        self.control.close()
        self.data.close()

    def digest(self, sequence: int = 0) -> Digest:
        """The best that anybody could be."""
        key = self._model & 0xFFFF
        return Digest(7, sequence, 0, 0, 0, 1, 0.0, 0, 0.0, 1.0, 0, 0, (key,))

    def send(self, data: bytes) -> None:
        """*data* to every peer."""
        for peer in self.control.peers():
            self.control.send(peer.number, data)

    def _joined(self, peer: Peer) -> None:
        self.control.send(peer.number, Watch().pack())
        self.control.send(peer.number, State(self.digest()).pack())

    def _received(self, peer: Peer, data: bytes) -> None:
        message: Any = unpack(data)
        if isinstance(message, Offer):
            self.offers += 1
            token = secrets.token_bytes(16)
            good = Answer(message.number, ACCEPT, 1_000_000, 100_000, token, self.digest())
            self.control.send(peer.number, good.pack())
        elif isinstance(message, Watch):
            self.control.send(peer.number, State(self.digest(self.offers)).pack())
        elif isinstance(message, Answer):
            self.answers.append(message)
            self.changed.set()

    def _arrived(self, arrival: Arrival) -> None:
        self.groups += 1
        if self._junk is not None:
            arrival.reply(self._junk, self._junk)
        self._arrivals = [*self._arrivals[-8:], arrival]
