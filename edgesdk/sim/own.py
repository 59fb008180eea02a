"""A simulated node's accelerator and models, as its own balancer sees them."""

from __future__ import annotations

from collections.abc import Sequence

from edgesdk.balance import Local, Promise
from edgesdk.core.sched import Reservation
from edgesdk.sim.accelerator import Accelerator
from edgesdk.sim.hardware import CLASSES, KINDS, MODELS

__all__ = ["INDEX", "OwnAccelerator"]

INDEX = {model.number: index for index, model in enumerate(MODELS)}
"""Of a model in MODELS, by the number that nodes use."""
_CATALOGUE = tuple(INDEX)


class OwnAccelerator(Local):
    """The node's own scheduler and models, as the balancer sees them."""

    def __init__(self, accelerator: Accelerator, kind: int, everywhere: bool) -> None:
        self.accelerator = accelerator
        self.loading: dict[int, int] = {}
        self._slots = KINDS if everywhere else CLASSES[kind].slots

    def quote(
        self, model: int, items: int, *, release_ns: int, deadline_ns: int, now_ns: int
    ) -> int | None:
        return self.accelerator.quote(INDEX[model], items, release_ns, deadline_ns)

    def reserve(
        self, model: int, items: int, *, release_ns: int, deadline_ns: int, now_ns: int
    ) -> Promise | None:
        kept = self.accelerator.reserve(INDEX[model], items, release_ns, deadline_ns)
        return None if kept is None else Promise(kept.id, kept.ends_ns)

    def cancel(self, promise: Promise) -> None:
        self.accelerator.cancel(Reservation(promise.id, promise.ends_ns))

    def cost_ns(self, model: int, items: int) -> int:
        index = INDEX[model]
        if index not in self.accelerator.residents:
            return 0
        return self.accelerator.service_ns(index, items)

    def residents(self) -> Sequence[int]:
        return [MODELS[index].number for index in self.accelerator.residents]

    def variant(self, model: int) -> int:
        return model ^ 1 if INDEX[model] in self.accelerator.residents else 0

    def backlog_ns(self, now_ns: int) -> int:
        return self.accelerator.backlog_ns()

    def utilisation(self) -> float:
        return self.accelerator.utilisation()

    def ready_ns(self, model: int) -> int | None:
        return self.loading.get(INDEX[model])

    def loadable(self) -> Sequence[int]:
        return _CATALOGUE

    def expected_ns(self, model: int, items: int) -> int:
        return self.accelerator.service_ns(INDEX[model], items)

    def slots(self) -> int:
        return self._slots
