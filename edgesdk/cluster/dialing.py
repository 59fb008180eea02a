"""Which addresses to try, and when: seeds for ever, hints a few times, with backoff and jitter.

Pure: time and randomness are arguments.
"""

from __future__ import annotations

import random
from collections import OrderedDict
from dataclasses import dataclass

from edgesdk.errors import Cause

__all__ = ["Dialling"]

_SECOND = 1_000_000_000
_FIRST_NS = 200_000_000
_LONGEST_NS = 8 * _SECOND
_HURRY_NS = 2 * _SECOND
_HINT_NS = 15 * 60 * _SECOND
_MAX_HINTS = 1024

# Of no use to try again soon: nothing changes until a person does something.
_HOPELESS: frozenset[Cause] = frozenset({"another cluster", "removed", "expired", "protocol"})
_HOPELESS_NS = 30 * _SECOND

Address = tuple[str, int]


@dataclass(slots=True)
class _Try:
    due_ns: int
    wait_ns: int = _FIRST_NS
    until_ns: int | None = None  # None: for ever
    dialled: bool = False
    hopeless: bool = False


class Dialling:
    """The addresses worth trying. Not thread-safe."""

    def __init__(self, rng: random.Random) -> None:
        self._rng = rng
        self._hurried_ns = -_HURRY_NS
        self._tries: OrderedDict[Address, _Try] = OrderedDict()

    def want(self, address: Address, now_ns: int, *, forever: bool = False) -> None:
        """Try *address* now; for ever, or until 15 minutes from now."""
        known = self._tries.get(address)
        until = None if forever else now_ns + _HINT_NS
        if known is None:
            self._tries[address] = _Try(now_ns, until_ns=until)
            self._forget_hints()
        else:
            if forever:
                known.until_ns = None
            elif known.until_ns is not None:
                known.until_ns = until
            # News of it: not before the handshake that may be under way has had its time.
            known.due_ns = min(known.due_ns, now_ns + (known.wait_ns if known.dialled else 0))

    def due(self, now_ns: int) -> list[Address]:
        """Those to dial now; each is due again after its backoff, whatever comes of it."""
        ready = [a for a, t in self._tries.items() if t.due_ns <= now_ns]
        for address in ready:
            entry = self._tries[address]
            if entry.until_ns is not None and now_ns > entry.until_ns:
                del self._tries[address]
                continue
            entry.dialled = True
            entry.due_ns = now_ns + int(entry.wait_ns * self._rng.uniform(0.8, 1.2))
            entry.wait_ns = min(_LONGEST_NS, entry.wait_ns * 2)
        return [a for a in ready if a in self._tries]

    def failed(self, address: Address, cause: Cause, now_ns: int) -> None:
        """What came of it: nobody there is tried again soon, a stranger late or never."""
        entry = self._tries.get(address)
        if entry is not None and cause in _HOPELESS:
            if entry.until_ns is not None:
                del self._tries[address]
            else:
                entry.due_ns, entry.hopeless = now_ns + _HOPELESS_NS, True

    def reached(self, address: Address, now_ns: int) -> None:
        """It answered: a hint is done with, a seed starts from the shortest wait if it leaves.

        If it had been tried for long, the network is back: the others are tried at once too.
        """
        entry = self._tries.get(address)
        if entry is None:
            return
        if entry.wait_ns > _HURRY_NS and now_ns - self._hurried_ns > _HURRY_NS:
            self._hurried_ns = now_ns
            for other in self._tries.values():
                if not other.hopeless:
                    other.due_ns, other.wait_ns = min(other.due_ns, now_ns), _FIRST_NS
        if entry.until_ns is not None:
            del self._tries[address]
        else:
            entry.wait_ns, entry.hopeless = _FIRST_NS, False

    def forget(self, address: Address) -> None:
        """Do not try it again: it is this node itself."""
        self._tries.pop(address, None)

    def next_ns(self) -> int | None:
        """When something is due."""
        return min((t.due_ns for t in self._tries.values()), default=None)

    def _forget_hints(self) -> None:
        if len(self._tries) > _MAX_HINTS:
            victim = next((a for a, t in self._tries.items() if t.until_ns is not None), None)
            if victim is not None:
                del self._tries[victim]
