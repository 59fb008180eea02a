"""Money: what has been spent, and what may still be promised. Pure."""

from __future__ import annotations

import math

from edgesdk.errors import UsageError

__all__ = ["Budget"]


class Budget:
    """At most *usd* in all, machines being paid by *billed_s* seconds begun.

    A machine is rented only if the budget holds what all rented ones will have cost at the end of
    the period that each of them has begun. So it is never exceeded if, once :meth:`must_stop` says
    so, everything rented is given back before its next period begins. Times are seconds of one
    clock.
    """

    def __init__(self, usd: float, *, billed_s: float = 3600.0) -> None:
        if not usd >= 0 or math.isinf(usd):
            raise UsageError(f"a budget of {usd}: expected dollars, 0 or more")
        if not billed_s > 0:
            raise UsageError(f"billing by {billed_s} s: expected more than 0")
        self.usd = usd
        self.billed_s = billed_s
        self._ended = 0.0
        self._running: dict[str, tuple[float, float]] = {}

    def may_rent(self, price: float, now_s: float) -> bool:
        """Whether a machine of *price* dollars an hour still fits."""
        return self.committed(now_s) + price * self.billed_s / 3600 <= self.usd + 1e-9

    def rented(self, machine: str, price: float, now_s: float) -> None:
        self._running[machine] = (price, now_s)

    def knows(self, machine: str) -> bool:
        """Whether it is being paid for."""
        return machine in self._running

    def returned(self, machine: str, now_s: float) -> None:
        """It is not paid for any more; unknown ones are ignored."""
        price, since = self._running.pop(machine, (0.0, now_s))
        self._ended += self._cost(price, since, now_s)

    def committed(self, now_s: float) -> float:
        """Dollars that are due even if everything is given back now."""
        running = (self._cost(price, since, now_s) for price, since in self._running.values())
        return self._ended + sum(running)

    def must_stop(self, now_s: float, within_s: float) -> list[str]:
        """Machines to be given back now, since a period that begins in *within_s* seconds or less
        would not be paid for; the dearest first, and no more than needed."""
        then = now_s + within_s
        due = self._ended + sum(self._cost(p, s, then) for p, s in self._running.values())
        stop = []
        for machine, (price, since) in sorted(self._running.items(), key=lambda item: -item[1][0]):
            if due <= self.usd + 1e-9:
                break
            saved = self._cost(price, since, then) - self._cost(price, since, now_s)
            if saved > 0:
                due -= saved
                stop.append(machine)
        return stop

    def _cost(self, price: float, since: float, now_s: float) -> float:
        periods = max(1, math.ceil((now_s - since) / self.billed_s - 1e-9))
        return price * periods * self.billed_s / 3600
