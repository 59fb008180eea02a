"""The numbers of the policy, with what each was worth where it was measured."""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["MS", "SECOND", "Settings"]

MS = 1_000_000
SECOND = 1_000_000_000


@dataclass(slots=True)
class Settings:
    """Times are ns. The defaults are those of the figures in ``docs/benchmarks.md``."""

    # View.
    view: int = 24
    watchers: int = 36
    same_site: float = 1 / 3
    holders: int = 6
    period_ns: int = 8 * SECOND
    exchange_ns: int = 30 * SECOND
    """Between two exchanges of members with a random peer, once the view is full."""
    news_ns: int = 1 * SECOND
    """Between two states told out of turn: new residents, a need that has grown."""

    # Choice.
    headroom: float = 0.3
    """Share of the time left that a local end leaves free, so that later groups find room."""
    ample_ns: int = 800 * MS
    """Time left that counts as ample; with less, headroom shrinks in proportion."""
    strain: float = 1.0
    """Added to the headroom for each unit of utilisation above 0.8: who is always busy is wanted
    by groups that have no choice."""
    first_quotes: int = 1
    content: float = 0.3
    """An accepted place with more work in front than this share of the time left is compared with
    that of a second peer."""
    quotes: int = 2
    """Peers asked at once from the second round on."""
    rounds: int = 4
    deferrals: int = 4
    defer_ns: int = 80 * MS
    flexibility: float = 3.0
    """Exponent of a peer's number of residents in its weight: prefer the least flexible."""
    idleness: float = 3.0
    """Exponent of a peer's idle share in its weight. Backlogs are old news after a second; who is
    idle on average stays so."""
    doubt: float = 0.6
    """Share of a peer's presumed backlog that rules it out when the control budget is used up;
    less while it is not."""
    budget: float = 3600.0
    """Bytes a second that this node may send over the control plane. What would exceed it is
    first second opinions, then further rounds of offers."""
    backoff_ns: int = 600 * MS
    """After a refusal a peer is not asked for that model, for so long when the control budget is
    used up, less while it is not. At 1,000 nodes it takes 900 bytes a second off the busiest."""
    overhead: int = 65
    """Bytes of IP, UDP and DTLS around a datagram."""
    least_slack_ns: int = 20 * MS
    silence_ns: int = 20 * MS

    firmness: float = 0.5
    """How far towards its expected end a promise is drawn from the deadline: 1 leaves the peer no
    freedom to put others first, 0 lets a frozen peer be noticed at the deadline only."""

    # Links.
    nic_bps: float = 1e8
    """What this node's interface sends; the pace of its own queue is known from this."""
    latency_ns: int = 1 * MS
    """One way, before anything was measured."""
    window: float = 8.0
    window_max: float = 64.0
    window_min: float = 0.05
    pace_ns: int = 10 * MS
    """Over a window below one it is the time between two groups, in the mean."""
    shrink: float = 0.7
    grow: float = 0.5
    excess: float = 0.05
    """Share of the deadline that a delivery may be late before its link counts as congested."""
    queue_ns: int = 60 * MS
    """Own transmit queue from which on groups wait for their application's turn."""
    margin_ns: int = 3 * MS
    """By which data are promised later than they should arrive."""
    grace_ns: int = 100 * MS
    """After its promised arrival a reservation is given up."""
    pushed_ns: int = 30 * MS
    """How much later than promised data may come because a place was given to others since. 0 is
    hardly worse; without a limit goodput over interfaces of 10 Mb/s is 8 points lower."""

    # Models.
    placement_ns: int = 2 * SECOND
    placement_below: float = 0.7

    fair_share: float = 0.8
    """A model of whose items less than this is served gets room from those that fare better."""
    overload: float = 0.87
    """Share served of all models together below which that begins to count."""
    fairness: float = 14.0
    """How much room, for each unit that it lacks: 0 = none."""

    reservations_a_peer: int = 64
    known: int = 2048
    """Members remembered beyond the view."""
