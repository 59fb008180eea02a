"""Results reach a stateful operator in sequence order, and gaps reach it as gaps.

Pure: ``now_ns`` is an argument. An operator's sequencer expects keys in order, is told how each
ended, and hands them on in that order. It waits for a missing one until its deadline, and only
while something newer waits behind it: nothing is given up for a result that nobody needs yet.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass
from typing import Final, Generic, TypeVar

__all__ = ["Released", "Sequencer"]

T = TypeVar("T")


class _Waiting:
    pass


_WAITING: Final = _Waiting()


@dataclass(slots=True)
class _Slot(Generic[T]):
    key: int
    deadline_ns: int
    value: T | _Waiting


@dataclass(frozen=True, slots=True)
class Released(Generic[T]):
    """One key in its turn; *value* is None where it did not come until its deadline."""

    key: int
    value: T | None


class Sequencer(Generic[T]):
    """One consumer of one camera's results. Not thread-safe: its owner is one thread."""

    def __init__(self) -> None:
        self._slots: deque[_Slot[T]] = deque()
        self._by_key: dict[int, _Slot[T]] = {}
        self._settled = 0
        self._last = -1

    def __len__(self) -> int:
        return len(self._slots)

    def expect(self, key: int, deadline_ns: int) -> None:
        """*key* (greater than all before) will come, or not, until *deadline_ns*."""
        if key <= self._last:
            raise ValueError(f"key {key} after {self._last}")
        self._last = key
        slot: _Slot[T] = _Slot(key, deadline_ns, _WAITING)
        self._slots.append(slot)
        self._by_key[key] = slot

    def settle(self, key: int, value: T) -> bool:
        """What became of *key*; False if its turn has passed (or it was settled before)."""
        slot = self._by_key.get(key)
        if slot is None or not isinstance(slot.value, _Waiting):
            return False
        slot.value = value
        self._settled += 1
        return True

    def ready(self, now_ns: int) -> list[Released[T]]:
        """Those whose turn it is, in order."""
        out: list[Released[T]] = []
        while self._slots and self._settled:
            slot = self._slots[0]
            if isinstance(slot.value, _Waiting):
                if slot.deadline_ns > now_ns:
                    break
                out.append(Released(slot.key, None))
            else:
                out.append(Released(slot.key, slot.value))
                self._settled -= 1
            self._slots.popleft()
            del self._by_key[slot.key]
        return out
