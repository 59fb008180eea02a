"""What is known of one peer, and how far it is to be believed."""

from __future__ import annotations

from edgesdk.balance.digest import Digest

__all__ = ["Peer"]

_FOREVER = 1 << 62
_FADE_NS = 1_000_000_000
_UNKNOWN_NS = 250_000_000
"""Patience with a peer whose distance was never measured."""
_TOGETHER_NS = 250_000_000


class Peer:
    """One authenticated member: its last state, its distance, its record."""

    __slots__ = (
        "address",
        "backlog_ns",
        "broke_ns",
        "costs",
        "debit_ns",
        "debited_ns",
        "digest",
        "faith",
        "heard_ns",
        "incarnation",
        "keys",
        "latency_ns",
        "link",
        "number",
        "refused",
        "residents",
        "rtt_var_ns",
        "sequence",
        "service_class",
        "site",
        "srtt_ns",
        "suspect_ns",
        "unlike",
        "usual_ns",
        "utilisation",
        "watched_ns",
    )

    def __init__(self, number: int, site: int, link: int, latency_ns: int, address: bytes) -> None:
        self.number = number
        self.site = site
        self.link = link
        self.address = address
        self.digest: Digest | None = None
        self.heard_ns = -_FOREVER
        self.backlog_ns = 0
        self.usual_ns = 0
        """What its backlog is like on average."""
        self.debit_ns = 0
        """Work that this node gave to the peer since its last digest."""
        self.debited_ns = 0
        self.utilisation = 0.0
        self.keys: tuple[int, ...] = ()
        self.residents = 1
        self.service_class = -1
        self.incarnation = -1
        self.sequence = 0
        self.latency_ns = latency_ns
        self.srtt_ns = 0
        self.rtt_var_ns = 0
        self.suspect_ns = -_FOREVER
        """Not asked before this instant."""
        self.faith = 1.0
        """Share of its promises that it keeps, of late; halved where it broke some."""
        self.broke_ns = -_FOREVER
        self.costs: dict[tuple[int, int], int] = {}
        """(model, items) -> ns, as its answers said."""
        self.unlike: dict[int, int] = {}
        """model -> variant that it refused to equal."""
        self.watched_ns = -_FOREVER
        self.refused: dict[int, int] = {}
        """model -> when it last had no room for a group of it"""

    def hear(self, digest: Digest, now_ns: int) -> bool:
        """Takes news in; False if they are older than what is known. A new incarnation is a
        restarted peer, whatever its sequence says."""
        if digest.incarnation == self.incarnation:
            ahead = (digest.sequence - self.sequence) & 0xFFFF
            if ahead >= 0x8000:
                return False
        else:
            self.incarnation = digest.incarnation
            self.costs.clear()
            self.unlike.clear()
            self.suspect_ns = -_FOREVER
            self.keys = ()
        self.sequence = digest.sequence
        self.digest = digest
        self.heard_ns = now_ns
        self.backlog_ns = digest.backlog_ns
        self.usual_ns += (digest.backlog_ns - self.usual_ns) // 4
        self.utilisation = digest.utilisation
        self.debit_ns = 0
        if digest.complete:
            self.keys = digest.keys
        else:
            # Of what it does not name this time that was told longest ago is no more held.
            known = dict.fromkeys(digest.keys + self.keys)
            self.keys = tuple(known)[: digest.residents]
        self.residents = digest.residents or 1
        self.service_class = digest.service_class
        self.site = digest.site
        return True

    def busy_ns(self, now_ns: int) -> int:
        """Its backlog now, as far as can be told: news fade into what is usual there."""
        age = now_ns - self.heard_ns
        usual = self.usual_ns
        busy = usual + (self.backlog_ns - usual) * _FADE_NS // (_FADE_NS + age)
        if self.debit_ns:
            busy += max(0, self.debit_ns - (now_ns - self.debited_ns))
        return busy

    def debit(self, work_ns: int, now_ns: int) -> None:
        """This node gave it work that its last digest does not know of."""
        self.debit_ns = max(0, self.debit_ns - (now_ns - self.debited_ns)) + work_ns
        self.debited_ns = now_ns

    def answered(self, took_ns: int) -> None:
        """One round trip; RFC 6298's estimator."""
        if not self.srtt_ns:
            self.srtt_ns = took_ns
            self.rtt_var_ns = took_ns // 2
        else:
            self.rtt_var_ns += (abs(took_ns - self.srtt_ns) - self.rtt_var_ns) // 4
            self.srtt_ns += (took_ns - self.srtt_ns) // 8
        self.latency_ns = self.srtt_ns // 2

    def silence_ns(self, least_ns: int) -> int:
        """How long an answer may take before the peer is suspect."""
        if not self.srtt_ns:
            return _UNKNOWN_NS
        return max(least_ns, self.srtt_ns + 4 * self.rtt_var_ns)

    def suspect(self, until_ns: int) -> None:
        """It is not asked before *until_ns*."""
        self.suspect_ns = max(self.suspect_ns, until_ns)

    def refuse(self, model: int, now_ns: int) -> None:
        """It has no room for a group of *model*."""
        if len(self.refused) >= 64 and model not in self.refused:
            self.refused.clear()
        self.refused[model] = now_ns

    def kept(self) -> None:
        """It kept a promise."""
        self.faith += (1.0 - self.faith) * 0.1

    def broke(self, now_ns: int) -> None:
        """It accepted and was late, or failed. What breaks together had one cause: a peer that was
        frozen with five groups is no worse than one that was with one."""
        if now_ns - self.broke_ns > _TOGETHER_NS:
            self.broke_ns = now_ns
            self.faith = max(0.02, self.faith * 0.5)
