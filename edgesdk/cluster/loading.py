"""What a member could load, and loading it when the balancer says so."""

from __future__ import annotations

import logging
import queue
import threading
import time
from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING

from edgesdk.balance import Evict, Load
from edgesdk.cluster.local import Loads, model_key
from edgesdk.errors import EdgeError
from edgesdk.models import ModelCard

if TYPE_CHECKING:
    from edgesdk.runtime import Node

__all__ = ["Loader"]

log = logging.getLogger(__name__)

_LOOK_S = 15.0
# Of a model that nobody has run here yet, an item; too much keeps it from being tried.
_GUESS_NS = 50_000_000
_LARGEST_BATCH = 8


class Loader:
    """Keeps *loads* true, and does what the balancer decides about models, one after the other.

    What can be loaded is what this machine has files of and, where the accelerator is emulated,
    a stated time for. *changed* is called when the residents have changed. Its one thread loads
    and unloads, so that neither frames nor datagrams wait for it.
    """

    def __init__(self, node: Node, loads: Loads, changed: Callable[[], object]) -> None:
        self._node = node
        self._loads = loads
        self._changed = changed
        self._cards: dict[int, ModelCard] = {}
        self._orders: queue.SimpleQueue[Callable[[], object] | None] = queue.SimpleQueue()
        self._thread = threading.Thread(target=self._run, name="model-loader", daemon=True)

    def expect(self) -> None:
        """Until :meth:`start` the node loads its own models by itself: others are told when those
        will be there."""
        cards = {model_key(card.digest): card for card in self._own()}
        self._loads.cards = {key: card.name for key, card in cards.items()}
        now = time.monotonic_ns()
        for key, card in cards.items():
            self._loads.ready_ns[key] = now + self._node.residency.expected_ns(card)

    def start(self) -> None:
        self._loads.ready_ns.clear()
        self._look()
        self._thread.start()

    def close(self) -> None:
        """Orders that wait are forgotten; a load under way comes to nothing with its node."""
        self._orders.put(None)

    def look_again(self) -> None:
        """Files have come: what can be loaded is another. Any thread."""
        self._orders.put(self._look)

    def note(self, action: Load | Evict) -> Callable[[], object]:
        """What to call for *action*, out of the policy's lock; a load counts as begun at once."""
        if isinstance(action, Evict):
            return partial(self._orders.put, partial(self._evict, action.model))
        card = self._cards.get(action.model)
        if card is not None:
            self._loads.ready_ns[action.model] = (
                time.monotonic_ns() + self._node.residency.expected_ns(card)
            )
        return partial(self._orders.put, partial(self._load, action.model))

    def _run(self) -> None:
        looked = time.monotonic()
        while True:
            try:
                order = self._orders.get(timeout=_LOOK_S)
                if order is None:
                    return
                order()
            except queue.Empty:
                pass
            except Exception:
                log.exception("a model could not be seen to")
            if time.monotonic() - looked > _LOOK_S:
                self._look()
                looked = time.monotonic()

    def _look(self) -> None:
        """Sees what is there: files may have come, applications may be others."""
        cards = [entry.card for entry in self._node.registry.list() if entry.present]
        cards += self._own()
        found, costs = {}, {}
        for card in cards:
            if card is None or not any(map(card.is_present, card.variants)):
                continue
            try:
                expected = self._node.residency.costs_ns(card)
            except EdgeError:
                continue  # the emulated accelerator knows nothing of it
            key = model_key(card.digest)
            found[key] = card
            costs[key] = expected or tuple(_GUESS_NS * n for n in range(1, _LARGEST_BATCH + 1))
        self._cards = found
        self._loads.cards = {key: card.name for key, card in found.items()}
        self._loads.catalogue = dict(costs)

    def _own(self) -> list[ModelCard]:
        plan = self._node.plan
        operators = () if plan is None else plan.operators
        return [p.model for p in operators if isinstance(p.model, ModelCard)]

    def _load(self, key: int) -> None:
        card = self._cards.get(key)
        if card is None:
            self._loads.ready_ns.pop(key, None)
            return
        done = threading.Event()
        try:
            self._loads.ready_ns[key] = self._node.residency.load_soon(
                card, lambda result: done.set()
            )
            log.info("loading %s for the cluster", card.name)
            done.wait()
        except EdgeError as error:
            log.info("%s is not loaded: %s", card.name, error)
        finally:
            self._changed()
            self._loads.ready_ns.pop(key, None)
            self._loads.catalogue = {
                **self._loads.catalogue,
                key: self._node.residency.costs_ns(card) or self._loads.catalogue.get(key, ()),
            }

    def _evict(self, key: int) -> None:
        for digest, model in self._node.residency.models.items():
            if model_key(digest) == key:
                # The balancer asks only where others hold it: this node's own work goes there.
                gone = self._node.residency.unload(digest, force=True)
                log.info(
                    "%s is %s", model.card.name, "unloaded" if gone else "in use: it stays loaded"
                )
                self._changed()
                return
