"""How much strangers may cost: cookies, and rates of what is answered before anybody is known.

A network address has its own share, so that a flood from one does not keep others out. Pure: time
and secrets are arguments.
"""

from __future__ import annotations

import hmac
from collections import OrderedDict
from collections.abc import Hashable

from edgesdk.cluster.records import ClientHello, make_cookie

__all__ = ["Bucket", "Cookies", "Rates"]

_SECOND = 1_000_000_000


class Bucket:
    """A token bucket: *rate* a second, *burst* at once."""

    __slots__ = ("_burst", "_last_ns", "_level", "_rate")

    def __init__(self, rate: float, burst: float, now_ns: int) -> None:
        self._rate = rate / _SECOND
        self._burst = burst
        self._level = burst
        self._last_ns = now_ns

    def take(self, now_ns: int) -> bool:
        """Whether there is a token for one more."""
        self._level = min(self._burst, self._level + (now_ns - self._last_ns) * self._rate)
        self._last_ns = now_ns
        if self._level < 1:
            return False
        self._level -= 1
        return True


class Rates:
    """A bucket for each of the *kept* sources heard last, and one for all of them together."""

    def __init__(
        self, *, rate: float, burst: float, total: float, now_ns: int, kept: int = 1024
    ) -> None:
        self._rate, self._burst, self._kept = rate, burst, kept
        self._sources: OrderedDict[Hashable, Bucket] = OrderedDict()
        self._total = Bucket(total, total, now_ns)

    def take(self, source: Hashable, now_ns: int) -> bool:
        """Whether *source* may cost once more."""
        bucket = self._sources.get(source)
        if bucket is None:
            bucket = self._sources[source] = Bucket(self._rate, self._burst, now_ns)
            if len(self._sources) > self._kept:
                self._sources.popitem(last=False)
        else:
            self._sources.move_to_end(source)
        return bucket.take(now_ns) and self._total.take(now_ns)


class Cookies:
    """Cookies of a secret that changes every *life_ns*; those of the secret before are good too."""

    def __init__(self, secret: bytes, now_ns: int, *, life_ns: int = 60 * _SECOND) -> None:
        self._secret, self._start_ns, self._life_ns = secret, now_ns, life_ns

    def _of(self, turn: int, address: tuple[str, int], hello: ClientHello) -> bytes:
        return make_cookie(self._secret + turn.to_bytes(8, "big"), address, hello)

    def make(self, address: tuple[str, int], hello: ClientHello, now_ns: int) -> bytes:
        """The cookie to send to *address*."""
        return self._of((now_ns - self._start_ns) // self._life_ns, address, hello)

    def good(self, address: tuple[str, int], hello: ClientHello, now_ns: int) -> bool:
        """Whether *hello* has the cookie that was sent to *address*."""
        turn = (now_ns - self._start_ns) // self._life_ns
        return bool(hello.cookie) and any(
            hmac.compare_digest(hello.cookie, self._of(t, address, hello))
            for t in range(max(0, turn - 1), turn + 1)
        )
