"""How members behave: what they send that nobody could mean, counted, and what follows from it.

Datagrams and answers of a member are authenticated and whole, so one that cannot be read is of its
making, and so is a flood. Who sends many is left out for a while; the log hears of it now and then.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from dataclasses import dataclass

from edgesdk.cluster.admittance import Rates

__all__ = ["Conduct"]

log = logging.getLogger(__name__)

_SECOND = 1_000_000_000
_WINDOW_NS = 10 * _SECOND
_TOO_MANY = 20
_OUT_NS = 30 * _SECOND
_LONGEST_OUT_NS = 600 * _SECOND
_TELL_NS = 30 * _SECOND
_KEPT = 1024
# Each question costs this node an answer of its own control budget, which its own groups need.
_MESSAGES_A_SECOND, _AT_ONCE = 200, 100
_KINDS = 8
_FLOOD = 100


@dataclass(slots=True)
class _Record:
    count: int = 0
    untold: int = 0
    told_ns: int = -_TELL_NS
    began_ns: int = -_WINDOW_NS
    lately: int = 0
    out_until_ns: int = 0
    out_ns: int = _OUT_NS
    unheard: int = 0


class Conduct:
    """Offences of peers by their number. Thread-safe; time is an argument.

    who: the node id of a number. leave_out: told who must be left out from now on; no lock is held.
    """

    def __init__(
        self, now_ns: int, *, who: Callable[[int], str], leave_out: Callable[[int], object]
    ) -> None:
        self._who, self._leave_out = who, leave_out
        self._lock = threading.Lock()
        self._records: dict[int, _Record] = {}
        self._rates = Rates(
            rate=_MESSAGES_A_SECOND, burst=_AT_ONCE, total=50_000, now_ns=now_ns, kept=_KEPT
        )

    def hears(self, number: int, data: bytes, now_ns: int) -> bool:
        """Whether a message of *number* is listened to: 200 a second of each kind are, unless it is
        left out. To go on regardless is an offence."""
        if self.is_out(number):
            return False
        if self._rates.take((number, min(data[0], _KINDS) if data else 0), now_ns):
            return True
        with self._lock:
            record = self._record(number)
            record.unheard += 1
            flood = record.unheard % _FLOOD == 0
        if flood:
            self.offence(number, "more messages than any node needs", now_ns)
        return False

    def offence(self, number: int, what: str, now_ns: int) -> None:
        """One more of *number*: *what* it did.

        20 in 10 s are too many: it is left out for 30 s, then for twice as long each time.
        """
        with self._lock:
            record = self._record(number)
            record.count += 1
            record.untold += 1
            if now_ns - record.began_ns > _WINDOW_NS:
                record.began_ns, record.lately = now_ns, 0
            record.lately += 1
            out = record.lately >= _TOO_MANY and not record.out_until_ns
            if out:
                record.out_until_ns = now_ns + record.out_ns
                record.out_ns = min(2 * record.out_ns, _LONGEST_OUT_NS)
            tell = out or now_ns - record.told_ns >= _TELL_NS
            untold = record.untold
            if tell:
                record.told_ns, record.untold = now_ns, 0
        if tell:
            times = "" if untold == 1 else f" ({untold} times)"
            name = self._who(number) or f"node {number}"
            log.warning("%s: %s%s%s", name, what, times, "; it is left out for a while" * out)
        if out:
            self._leave_out(number)

    def _record(self, number: int) -> _Record:
        """Holds the lock."""
        record = self._records.get(number)
        if record is None:
            if len(self._records) >= _KEPT:
                del self._records[next(iter(self._records))]
            record = self._records[number] = _Record()
        return record

    def is_out(self, number: int) -> bool:
        """Whether it is left out now."""
        record = self._records.get(number)
        return record is not None and record.out_until_ns > 0

    def count(self, number: int) -> int:
        """Offences so far."""
        record = self._records.get(number)
        return 0 if record is None else record.count

    def pardoned(self, now_ns: int) -> list[int]:
        """Those whose time is over; each is told once."""
        with self._lock:
            found = [n for n, r in self._records.items() if 0 < r.out_until_ns <= now_ns]
            for number in found:
                record = self._records[number]
                record.out_until_ns, record.lately = 0, 0
        return found
