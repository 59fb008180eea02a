"""This node's own way in: what peers were promised to send, and when it will have passed.

Two senders to one node are slower than each of them can know, and only the receiver knows of both.
So it gives time on its interface away with each place, and tells the sender what the others cost
it: a collision foreseen is a later promise or a refusal, and not a link that seems congested (with
interfaces of 20 Mb/s, where a group takes 100 ms, 0.96 of the frames in time instead of 0.89).
"""

from __future__ import annotations

from edgesdk.balance.settings import Settings

__all__ = ["Ingress", "Parcel"]


class Parcel:
    """Data on their way to this node, or about to be: *starts_ns* when their first byte could be
    here, *takes_ns* on this node's interface, *passed_ns* when the last one will be."""

    __slots__ = ("passed_ns", "starts_ns", "takes_ns")

    def __init__(self, starts_ns: int, takes_ns: int, passed_ns: int) -> None:
        self.starts_ns = starts_ns
        self.takes_ns = takes_ns
        self.passed_ns = passed_ns


class Ingress:
    """The line in front of this node's interface: first come, first served, at ``nic_bps``."""

    __slots__ = ("_free_ns", "_line", "_ns_a_byte", "_pushed_ns")

    def __init__(self, settings: Settings) -> None:
        self._ns_a_byte = 8e9 / settings.nic_bps
        self._pushed_ns = settings.pushed_ns
        self._line: list[Parcel] = []
        """By their starts."""
        self._free_ns = 0
        """When the last that came had passed: what starts earlier waited for it."""

    def fit(self, arrives_ns: int, payload_bytes: int) -> Parcel | None:
        """The place in line of data that would be here at *arrives_ns* if nothing else came; None
        where they would make others, who were promised a time, later than ``pushed_ns``."""
        takes = int(payload_bytes * self._ns_a_byte)
        starts = arrives_ns - takes
        free = self._free_ns
        line = self._line
        at = 0
        while at < len(line) and line[at].starts_ns <= starts:
            free = max(free, line[at].starts_ns) + line[at].takes_ns
            at += 1
        free = passed = max(free, starts) + takes
        for later in line[at:]:
            if later.starts_ns >= free:
                break
            free += later.takes_ns
            if free > later.passed_ns + self._pushed_ns:
                return None
        return Parcel(starts, takes, passed)

    def expect(self, parcel: Parcel) -> None:
        """A peer was promised that its data have this place."""
        at = len(self._line)
        while at and self._line[at - 1].starts_ns > parcel.starts_ns:
            at -= 1
        self._line.insert(at, parcel)

    def came(self, now_ns: int) -> None:
        """The last byte of something is here."""
        self._free_ns = now_ns

    def forget(self, parcel: Parcel) -> None:
        """It has come, or nobody waits for it any more. One that was never expected is ignored."""
        if parcel in self._line:
            self._line.remove(parcel)
