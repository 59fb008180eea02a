"""Models that are missed in this node's view and lie on no disk here: fetched from who holds them.

Only the files come; whether the model is loaded is the balancer's to decide, once it could be. What
a digest tells of a missed model is 16 bits: a holder is asked which of its models that is.
"""

from __future__ import annotations

import logging
import random
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Annotated, Any

import msgspec

from edgesdk.balance import key_of
from edgesdk.cluster.administration import Handler, administer
from edgesdk.cluster.local import Loads, NodeLocal, model_key
from edgesdk.cluster.model_exchange import ModelExchange, asking_as
from edgesdk.errors import Cancelled, EdgeError, WireError

if TYPE_CHECKING:
    from edgesdk.balance.peers import Peer as Seen
    from edgesdk.cluster.control import Peer
    from edgesdk.cluster.identity import Identity
    from edgesdk.runtime import Node

__all__ = ["Lending", "chance_to_fetch"]

log = logging.getLogger(__name__)

# A chunk costs processor and network, not the accelerator: it waits while this process comes late
# to its own timers, but for one now and then, or a busy node would keep its model for ever.
_CALM_NS = 300_000_000
_AT_LEAST_NS = 400_000_000
_LOOK_NS = 2_000_000_000
_AGAIN_S = 60.0
# Not everybody who sees the need fetches at once: the first few may meet it.
_CHANCE = 0.4
_FEW = 3
_ASK_S = 3.0
_MOST = 1024


class _Held(msgspec.Struct, frozen=True, array_like=True):
    """A model that a node holds: its card's key, u64 big-endian, and name."""

    key: Annotated[bytes, msgspec.Meta(min_length=8, max_length=8)]
    name: Annotated[str, msgspec.Meta(max_length=128)]


_encoder = msgspec.msgpack.Encoder()
_decoder: msgspec.msgpack.Decoder[list[_Held]] = msgspec.msgpack.Decoder(
    Annotated[list[_Held], msgspec.Meta(max_length=_MOST)]
)


class Lending:
    """Gives this node's models to peers, and fetches what is missed. Thread-safe.

    peers: those reachable now. came: called with each model that came, on a thread of its own.
    """

    def __init__(
        self,
        node: Node,
        identity: Identity,
        local: NodeLocal,
        loads: Loads,
        *,
        peers: Callable[[], Sequence[Peer]],
        came: Callable[[], object],
    ) -> None:
        self._node = node
        self._identity = identity
        self._local = local
        self._loads = loads
        self._peers = peers
        self._came = came
        self._exchange = ModelExchange(node.registry, asking_as(identity), busy=self._would_hurt)
        self._cancel = threading.Event()
        self._tried: dict[int, float] = {}
        self._look_ns = 0
        self._late_ns = self._granted_ns = -_AT_LEAST_NS
        self._thread: threading.Thread | None = None

    def handlers(self) -> Mapping[str, Handler]:
        """The verb ``models``, and those of the exchange."""
        told = Handler(lambda caller, body: self._held(), frozenset({"node", "operator"}))
        return {"models": told, **self._exchange.handlers()}

    def look(self, seen: Mapping[int, Seen], now_ns: int) -> None:
        """Sees what the view misses; cheap, and often nothing. *seen* as the balancer has it."""
        if now_ns < self._look_ns:
            return
        self._look_ns = now_ns + _LOOK_NS
        if self._thread is not None and self._thread.is_alive():
            return
        here = {key_of(model) for model in (*self._loads.catalogue, *self._local.residents())}
        for peer in seen.values():
            missed = 0 if peer.digest is None or not peer.digest.missed_rate else peer.digest.missed
            if missed and missed not in here and self._due(missed, chance_to_fetch(seen, missed)):
                self._thread = threading.Thread(
                    target=self._fetch, args=(missed,), name="lending", daemon=True
                )
                self._thread.start()
                return

    def held_up(self, now_ns: int) -> None:
        """This node came late to something: whoever wants a chunk waits a little."""
        self._late_ns = now_ns

    def _would_hurt(self) -> bool:
        now = time.monotonic_ns()
        if now - self._late_ns < _CALM_NS and now - self._granted_ns < _AT_LEAST_NS:
            return True
        self._granted_ns = now
        return False

    def close(self) -> None:
        """A fetch under way ends soon."""
        self._cancel.set()

    def _due(self, key: int, chance: float) -> bool:
        now = time.monotonic()
        if now - self._tried.get(key, -_AGAIN_S) < _AGAIN_S or random.random() > chance:  # noqa: S311
            return False
        if len(self._tried) >= _MOST:
            self._tried.clear()
        self._tried[key] = now
        return True

    def _fetch(self, key: int) -> None:
        try:
            model = self._find(key)
            if model is None:
                return
            card = self._exchange.fetch(f"{model:016x}", self._peers(), cancel=self._cancel)
        except Cancelled:
            return
        except EdgeError as error:
            log.info("a model that is missed could not be fetched: %s", error)
            return
        log.info("model %s came from a peer", card.name)
        self._came()

    def _find(self, key: int) -> int | None:
        """The model with the 16-bit *key*, if this node could run it."""
        for entry in self._node.registry.list():
            if entry.card is not None and key_of(model_key(entry.card.digest)) == key:
                return model_key(entry.card.digest) if self._runs(entry.card.name) else None
        for peer in self._peers():
            if self._cancel.is_set():
                return None
            try:
                told = _read(
                    administer(
                        self._identity,
                        peer.address,
                        "models",
                        timeout=_ASK_S,
                        expected=peer.node_id,
                    )
                )
            except EdgeError as error:
                log.debug("%s does not say which models it holds: %s", peer.node_id, error)
                continue
            for held in told:
                model = int.from_bytes(held.key, "big")
                if key_of(model) == key:
                    return model if self._runs(held.name) else None
        return None

    def _runs(self, name: str) -> bool:
        """Of a real accelerator only the load itself can tell."""
        emulated = self._node.config.emulated
        return emulated is None or name in emulated.models

    def _held(self) -> bytes:
        held = [(key, self._local.name(key)) for key in self._local.residents()]
        return _encoder.encode([_Held(k.to_bytes(8, "big"), n[:128]) for k, n in held if n])


def chance_to_fetch(seen: Mapping[int, Seen], missed: int) -> float:
    """Of fetching the model with the key *missed* now: of few that could, each does."""
    lack = sum(peer.digest is not None and missed not in peer.keys for peer in seen.values())
    return max(_CHANCE, min(1.0, _FEW / (1 + lack)))


def _read(body: Any) -> list[_Held]:
    if not isinstance(body, bytes):
        raise WireError("bytes about models were expected")
    try:
        return _decoder.decode(body)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise WireError(f"what a node says of its models cannot be read: {error}") from None
