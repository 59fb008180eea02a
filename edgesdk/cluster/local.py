"""A node's executors as the balancer sees them."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Sequence
from itertools import count
from typing import TYPE_CHECKING

from msgspec.structs import replace

from edgesdk import balance

if TYPE_CHECKING:
    from edgesdk.runtime.execution import Execution
    from edgesdk.runtime.executor import Executor
    from edgesdk.runtime.executor import Promise as Place
    from edgesdk.runtime.sessions import KnownModel, LoadedModel

__all__ = ["Loads", "NodeLocal", "execution_key", "model_key"]

_EIGHT = 16  # hex digits of 8 bytes


def model_key(card_digest: str) -> int:
    """The u64 by which nodes speak of a card: the first 8 bytes of its digest."""
    return int(card_digest.removeprefix("sha256:")[:_EIGHT], 16)


def execution_key(execution: Execution) -> int:
    """The u64 that is equal where equal inputs give equal bytes; never 0."""
    return int(execution.key[:_EIGHT], 16) or 1


class Loads:
    """What could be loaded here, and what is being loaded; the loader fills it. Thread-safe.

    *slots*: how many models fit at one time.
    """

    def __init__(self, slots: int) -> None:
        self.slots = slots
        self.catalogue: dict[int, Sequence[int]] = {}
        """Expected cost of 1, 2, ... items in ns, by model."""
        self.ready_ns: dict[int, int] = {}
        self.cards: dict[int, str] = {}
        """Names of the cards in the catalogue."""

    def names(self) -> list[str]:
        """Names of the models on their way."""
        return sorted(self.cards.get(model, f"{model:016x}") for model in list(self.ready_ns))

    def expected_ns(self, model: int, items: int) -> int:
        costs = self.catalogue.get(model)
        if not costs:
            return 0
        if items <= len(costs):
            return costs[items - 1]
        return costs[-1] * items // len(costs)


class NodeLocal(balance.Local):
    """Thread-safe. *executors* gives those of the node now; *loads* knows what is not loaded."""

    def __init__(self, executors: Callable[[], Iterable[Executor]], loads: Loads) -> None:
        self._executors = executors
        self._loads = loads
        self._lock = threading.Lock()
        self._numbers = count(1)
        self._promises: dict[int, tuple[Executor, Place]] = {}
        self._models: dict[int, tuple[Executor, LoadedModel, int]] = {}
        self._variants: dict[int, int] = {}
        self._presumed: dict[int, int] = {}  # of models that never were here

    def refresh(self) -> bool:
        """Sees which models the executors have now; whether they are others than before."""
        found: dict[int, tuple[Executor, LoadedModel, int]] = {}
        for executor in self._executors():
            for model in executor.models():
                key = model_key(model.card.digest)
                if key not in found:
                    known = self._models.get(key)
                    same = known is not None and known[1] is model
                    found[key] = (
                        executor,
                        model,
                        known[2]
                        if known is not None and same
                        else execution_key(model.execution()),
                    )
        changed = self._models.keys() != found.keys()
        if changed:
            self._presumed = {}
        self._models = found
        self._variants.update((key, variant) for key, (_, _, variant) in found.items())
        return changed

    def variant_of(self, model: KnownModel) -> int:
        """The execution key that *model* has here, had when it was here, or would have: of its one
        file in the one runtime that all models here are in. 0 where that cannot be told."""
        key = model_key(model.card.digest)
        found = self._variants.get(key) or self._presumed.get(key)
        if found is None:
            found = self._presumed[key] = self._presume(model)
        return found

    def _presume(self, model: KnownModel) -> int:
        here = {
            replace(loaded.execution(), model="", node="") for _, loaded, _ in self._models.values()
        }
        files = sum(map(model.card.is_present, model.card.variants))
        if len(here) != 1 or files != 1 or not model.fingerprint:
            return 0
        return execution_key(replace(here.pop(), model=model.fingerprint))

    def loaded(self, model: int) -> LoadedModel | None:
        """The session of *model*, if it has one."""
        found = self._models.get(model)
        return None if found is None else found[1]

    def executor_of(self, model: KnownModel) -> Executor | None:
        """Where *model*, or another session of its card, is loaded."""
        found = self._models.get(model_key(model.card.digest))
        return None if found is None else found[0]

    def idle(self) -> bool:
        """Whether nothing waits for its turn here."""
        return not any(executor.waiting() for executor in self._executors())

    def names(self) -> list[str]:
        """Names of the resident models' cards."""
        return sorted(model.card.name for _, model, _ in self._models.values())

    def take(self, promise: balance.Promise) -> tuple[Executor, Place] | None:
        """What *promise* stands for, to be claimed there; once."""
        with self._lock:
            return self._promises.pop(promise.id, None)

    def quote(
        self, model: int, items: int, *, release_ns: int, deadline_ns: int, now_ns: int
    ) -> int | None:
        found = self._models.get(model)
        if found is None:
            return None
        executor, loaded, _ = found
        return executor.quote(
            loaded, items, release_ns=release_ns, deadline_ns=deadline_ns, now_ns=now_ns
        )

    def reserve(
        self, model: int, items: int, *, release_ns: int, deadline_ns: int, now_ns: int
    ) -> balance.Promise | None:
        found = self._models.get(model)
        if found is None:
            return None
        executor, loaded, _ = found
        promise = executor.reserve(
            loaded, items, release_ns=release_ns, deadline_ns=deadline_ns, now_ns=now_ns
        )
        if promise is None:
            return None
        with self._lock:
            number = next(self._numbers)
            self._promises[number] = executor, promise
        return balance.Promise(number, promise.ends_ns)

    def cancel(self, promise: balance.Promise) -> None:
        found = self.take(promise)
        if found is not None:
            executor, place = found
            executor.cancel(place)

    def cost_ns(self, model: int, items: int) -> int:
        found = self._models.get(model)
        return 0 if found is None else found[0].cost_ns(found[1], items)

    def residents(self) -> Sequence[int]:
        return list(self._models)

    def variant(self, model: int) -> int:
        found = self._models.get(model)
        return 0 if found is None else found[2]

    def backlog_ns(self, now_ns: int) -> int:
        return max((executor.backlog_ns(now_ns) for executor in self._executors()), default=0)

    def utilisation(self) -> float:
        return max((executor.utilisation() for executor in self._executors()), default=0.0)

    def ready_ns(self, model: int) -> int | None:
        return self._loads.ready_ns.get(model)

    def loadable(self) -> Sequence[int]:
        return sorted(self._loads.catalogue)

    def expected_ns(self, model: int, items: int) -> int:
        return self.cost_ns(model, items) or self._loads.expected_ns(model, items)

    def slots(self) -> int:
        return self._loads.slots
