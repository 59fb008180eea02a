"""Models between nodes: what this node lacks is fetched from nodes that hold it, and given.

Over the administration channel: one request a handshake with mutual certificates, which looks at
the revocation list each time, so that a removed node gets and gives nothing. Frames go another way.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from edgesdk.cluster.administration import Handler, administer
from edgesdk.cluster.certificates import Role
from edgesdk.cluster.identity import Identity
from edgesdk.cluster.model_fetching import Ask, Fetching, Holder, wait
from edgesdk.cluster.model_messages import CHUNK, CHUNK_BYTES, FIND
from edgesdk.cluster.model_shelf import Allowance, ModelShelf
from edgesdk.errors import WireError
from edgesdk.models.card import ModelCard
from edgesdk.models.packages import Progress
from edgesdk.models.registry import ModelRegistry

__all__ = ["Ask", "Holder", "ModelExchange", "asking_as"]

_PAUSE_SECONDS = 0.1
_DEFAULT_RATE = 8 << 20


class ModelExchange:
    """Gives models to peers and fetches them from peers. Thread-safe.

    ask: the administration channel's client, see :func:`asking_as`. busy: asked before each chunk,
    on either side, whether it would hurt live work; while it would, both wait. bytes_per_second: of
    what is given to all peers together, and of what is fetched.
    """

    def __init__(
        self,
        registry: ModelRegistry,
        ask: Ask,
        *,
        busy: Callable[[], bool] = lambda: False,
        bytes_per_second: int = _DEFAULT_RATE,
    ) -> None:
        self._registry = registry
        self._ask = ask
        self._busy = busy
        self._allowance = Allowance(bytes_per_second)
        self._shelf = ModelShelf(registry, busy=busy, bytes_per_second=bytes_per_second)

    def handlers(self) -> Mapping[str, Handler]:
        """What the administration channel has to answer, by verb; for nodes and operators."""
        both: frozenset[Role] = frozenset({"node", "operator"})
        return {
            FIND: Handler(lambda caller, body: self._shelf.find(_bytes_of(body)), both),
            CHUNK: Handler(lambda caller, body: self._shelf.chunk(_bytes_of(body)), both),
        }

    def fetch(
        self,
        reference: str,
        holders: Sequence[Holder],
        *,
        progress: Progress | None = None,
        cancel: threading.Event | None = None,
    ) -> ModelCard:
        """The model whose card's digest begins with *reference*, from *holders*.

        reference: 16 to 64 hex digits; 16 are the key by which nodes speak of models; 64 may be the
        SHA-256 of a variant too. Blocks for as long as it takes, the pauses for live work included;
        *cancel* ends it within a chunk. progress: called with the model's name, bytes so far and in
        all. Returns the card as the registry has it, its files beside it. What came before a
        failure is kept for the next try.

        :raises ModelNotFound: no holder has it, or none could be asked.
        :raises DigestMismatch: what holders have is not what its digest says.
        :raises ModelError: no room, or another model here has its name.
        :raises Cancelled: *cancel* was set.
        """
        fetching = Fetching(
            self._registry,
            self._ask,
            self._pause,
            reference.lower().removeprefix("sha256:"),
            progress=progress,
            cancel=cancel or threading.Event(),
        )
        return fetching.run(holders)

    def _pause(self, cancel: threading.Event) -> None:
        """Waits while this node has better to do, and for its own rate."""
        while self._busy():
            wait(cancel, _PAUSE_SECONDS)
        while wait_ms := self._allowance.take(CHUNK_BYTES, time.monotonic_ns()):
            wait(cancel, wait_ms / 1000)
        wait(cancel, 0)


def asking_as(identity: Identity) -> Ask:
    """Asks holders over the administration channel, and takes answers of those only."""

    def ask(holder: Holder, verb: str, body: bytes, seconds: float) -> bytes:
        answer = administer(
            identity, holder.address, verb, body, timeout=seconds, expected=holder.node_id
        )
        return _bytes_of(answer)

    return ask


def _bytes_of(body: Any) -> bytes:
    if not isinstance(body, bytes):
        raise WireError(f"bytes about a model were expected, not {type(body).__name__}")
    return body
