"""A node's executors as the balancer sees them."""

from __future__ import annotations

import threading
import zlib
from collections.abc import Callable, Iterable, Sequence
from itertools import count
from typing import TYPE_CHECKING, NamedTuple

from msgspec.structs import replace

from edgesdk import balance
from edgesdk.runtime.sessions import KnownModel

if TYPE_CHECKING:
    from edgesdk.runtime.execution import Execution
    from edgesdk.runtime.executor import Executor
    from edgesdk.runtime.executor import Promise as Place
    from edgesdk.runtime.runnable import Asked, Runnable

__all__ = ["Loads", "NodeLocal", "execution_key", "model_key"]

_EIGHT = 16  # hex digits of 8 bytes
_ACCELERATOR = 0


def model_key(digest: str) -> int:
    """The u64 by which nodes speak of a card or an own operator: the first 8 bytes of its digest,
    or of its id."""
    return int(digest.removeprefix("sha256:")[:_EIGHT], 16)


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


def _lane(executor: Executor) -> int:
    return zlib.crc32(executor.device.encode()) or 1


class _Here(NamedTuple):
    """A model that is loaded, or an operator of the user's own; *lane* as the balancer has it."""

    executor: Executor
    model: Runnable
    variant: int
    lane: int


class NodeLocal(balance.Local):
    """Thread-safe. *executors* gives those of the node's accelerators now, *own* those of its
    applications' own operators; *loads* knows what is not loaded."""

    def __init__(
        self,
        executors: Callable[[], Iterable[Executor]],
        loads: Loads,
        own: Callable[[], Iterable[Executor]] = tuple,
    ) -> None:
        self._accelerators = executors
        self._own = own
        self._loads = loads
        self._lock = threading.Lock()
        self._numbers = count(1)
        self._promises: dict[int, tuple[Executor, Place]] = {}
        self._models: dict[int, _Here] = {}
        self._variants: dict[int, int] = {}
        self._presumed: dict[int, int] = {}  # of models that never were here

    def refresh(self) -> bool:
        """Sees what the executors can run now; whether that is other than before."""
        found: dict[int, _Here] = {}
        every = [(at, model, _ACCELERATOR) for at in self._accelerators() for model in at.models()]
        own = [(at, model, _lane(at)) for at in self._own() for model in at.models()]
        # Peers are told of so many: of operators those first that are the most worth a way.
        every += sorted(own, key=lambda one: -one[0].cost_ns(one[1], 1))
        for executor, model, lane in every:
            key = model_key(model.digest)
            if key not in found:
                known = self._models.get(key)
                same = known is not None and known.model is model
                variant = known.variant if known and same else execution_key(model.execution())
                found[key] = _Here(executor, model, variant, lane)
        changed = self._models.keys() != found.keys()
        if changed:
            self._presumed = {}
        self._models = found
        self._variants.update((key, here.variant) for key, here in found.items())
        return changed

    def variant_of(self, model: Asked) -> int:
        """The execution key that *model* has here, had when it was here, or would have: of its one
        file in the one runtime that all models here are in. 0 where that cannot be told."""
        key = model_key(model.digest)
        found = self._variants.get(key) or self._presumed.get(key)
        if found is None:
            found = self._presumed[key] = self._presume(model)
        return found

    def _presume(self, model: Asked) -> int:
        if not isinstance(model, KnownModel):
            return 0
        here = {
            replace(at.model.execution(), model="", node="")
            for at in list(self._models.values())
            if at.lane == _ACCELERATOR
        }
        files = sum(map(model.card.is_present, model.card.variants))
        if len(here) != 1 or files != 1 or not model.fingerprint:
            return 0
        return execution_key(replace(here.pop(), model=model.fingerprint))

    def name(self, model: int) -> str:
        """Of a resident or installed *model*; empty if it is neither."""
        found = self._models.get(model)
        return "" if found is None else found.model.name

    def executor_of(self, model: Asked) -> Executor | None:
        """Where *model*, or another session of its card, is loaded."""
        found = self._models.get(model_key(model.digest))
        return None if found is None else found.executor

    def idle(self, model: Asked) -> bool:
        """Whether nothing waits for its turn where *model* would run."""
        executor = self.executor_of(model)
        where = self._accelerators() if executor is None else (executor,)
        return not any(executor.waiting() for executor in where)

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
        return found.executor.quote(
            found.model, items, release_ns=release_ns, deadline_ns=deadline_ns, now_ns=now_ns
        )

    def reserve(
        self, model: int, items: int, *, release_ns: int, deadline_ns: int, now_ns: int
    ) -> balance.Promise | None:
        found = self._models.get(model)
        if found is None:
            return None
        promise = found.executor.reserve(
            found.model, items, release_ns=release_ns, deadline_ns=deadline_ns, now_ns=now_ns
        )
        if promise is None:
            return None
        with self._lock:
            number = next(self._numbers)
            self._promises[number] = found.executor, promise
        return balance.Promise(number, promise.ends_ns)

    def cancel(self, promise: balance.Promise) -> None:
        found = self.take(promise)
        if found is not None:
            executor, place = found
            executor.cancel(place)

    def cost_ns(self, model: int, items: int) -> int:
        found = self._models.get(model)
        return 0 if found is None else found.executor.cost_ns(found.model, items)

    def doubt(self, model: int, items: int, left_ns: int) -> None:
        """A group of an own operator that had *left_ns* when it came was given up."""
        found = self._models.get(model)
        own = found is not None and found.lane != _ACCELERATOR
        if found is not None and own and found.executor.cost_ns(found.model, items) > left_ns:
            found.executor.doubt(found.model)

    def residents(self) -> Sequence[int]:
        return [key for key, at in self._models.items() if at.lane == _ACCELERATOR]

    def installed(self) -> Sequence[int]:
        return [key for key, at in self._models.items() if at.lane != _ACCELERATOR]

    def lane(self, model: int) -> int:
        found = self._models.get(model)
        return _ACCELERATOR if found is None else found.lane

    def variant(self, model: int) -> int:
        found = self._models.get(model)
        return 0 if found is None else found.variant

    def backlog_ns(self, now_ns: int) -> int:
        return max((executor.backlog_ns(now_ns) for executor in self._executors()), default=0)

    def utilisation(self) -> float:
        return max((executor.utilisation() for executor in self._executors()), default=0.0)

    def _executors(self) -> list[Executor]:
        return [*self._accelerators(), *self._own()]

    def ready_ns(self, model: int) -> int | None:
        return self._loads.ready_ns.get(model)

    def loadable(self) -> Sequence[int]:
        return sorted(self._loads.catalogue)

    def expected_ns(self, model: int, items: int) -> int:
        return self.cost_ns(model, items) or self._loads.expected_ns(model, items)

    def slots(self) -> int:
        return self._loads.slots
