"""What this node's cameras asked of each model, and how much of it was served."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from edgesdk.balance.rates import Rate
from edgesdk.balance.settings import SECOND

__all__ = ["Demand"]

_ROOM = 256


class _Model:
    __slots__ = ("ended", "missed")

    def __init__(self) -> None:
        self.ended = Rate()
        self.missed = Rate()


class Demand:
    """Groups of this node by model, as they end. *installed*: what can be loaded nowhere, and so
    is not missed."""

    __slots__ = ("_installed", "_models", "deadline_ns")

    def __init__(self, installed: Callable[[], Sequence[int]] = tuple) -> None:
        self._installed = installed
        self._models: dict[int, _Model] = {}
        self.deadline_ns = SECOND
        """What groups usually have from capture to deadline."""

    def ended(self, model: int, items: int, served: bool, now_ns: int) -> None:
        """A group was placed in time, or not."""
        at = self._models.get(model)
        if at is None:
            if len(self._models) >= _ROOM:
                del self._models[next(iter(self._models))]
            at = self._models[model] = _Model()
        at.ended.add(items, now_ns)
        if not served:
            at.missed.add(items, now_ns)

    def served_share(self, model: int, now_ns: int) -> float:
        """Of the items of *model*: 1 where nothing is known."""
        at = self._models.get(model)
        if at is None:
            return 1.0
        # One item's worth of good faith, so that a first miss is not a verdict.
        return 1.0 - at.missed.a_second(now_ns) / (at.ended.a_second(now_ns) + 0.1)

    def missed(self, now_ns: int) -> list[tuple[int, float]]:
        """(model, items missed a second) of all that is missed."""
        found = []
        for model, at in self._models.items():
            rate = at.missed.beginning(now_ns)
            if rate > 0.05 and model not in self._installed():
                found.append((model, rate))
        return found

    def worst(self, now_ns: int) -> tuple[int, float, float]:
        """(model, items missed a second, share served) of the model served least; zeros if none
        is missed."""
        worst = (0, 0.0, 1.0)
        for model, rate in self.missed(now_ns):
            share = self.served_share(model, now_ns)
            if share < worst[2]:
                worst = (model, rate, share)
        return worst
