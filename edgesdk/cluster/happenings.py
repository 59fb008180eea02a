"""What the control plane's tables give out: datagrams to send, events to tell, counts to show."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime

from edgesdk.errors import PeerError

__all__ = ["Address", "Event", "Failed", "Happenings", "Joined", "Left", "Limits", "Peer", "Said"]

Address = tuple[str, int]
_MS = 1_000_000
_SECOND = 1_000 * _MS


@dataclass(frozen=True, slots=True)
class Peer:
    """An authenticated node. *incarnation* tells its process from the one before a restart."""

    number: int
    node_id: str
    site: str
    address: Address
    data_address: Address
    version: str
    expires: datetime
    incarnation: int = 0
    role: str = "node"


@dataclass(frozen=True, slots=True)
class Limits:
    """Bounds and times of the control plane; nanoseconds.

    silence_ns: a peer not heard for so long has left; it is pinged from keepalive_ns on; both are
    twelve times as long for a peer that neither sent nor was sent a message for idle_ns. doubt_ns:
    how long a peer may take to answer after a hint that nobody listens there. handshake_ns and
    first_answer_ns: how long a handshake may take, and how long nobody may answer. resend_ns: when
    its flight is sent again for the first time.
    """

    max_peers: int = 256
    half_open: int = 64
    half_open_host: int = 16
    handshake_ns: int = 5 * _SECOND
    first_answer_ns: int = 1500 * _MS
    keepalive_ns: int = 5 * _SECOND
    silence_ns: int = 12 * _SECOND
    idle_ns: int = 30 * _SECOND
    doubt_ns: int = 60 * _MS
    resend_ns: int = 150 * _MS


@dataclass(frozen=True, slots=True)
class Joined:
    """A peer is reachable, or what is known of it has changed."""

    peer: Peer


@dataclass(frozen=True, slots=True)
class Left:
    """A peer is not reachable any more. *redial*: worth trying again by ourselves."""

    peer: Peer
    reason: str
    redial: bool


@dataclass(frozen=True, slots=True)
class Said:
    """A message of a peer."""

    peer: Peer
    data: bytes


@dataclass(frozen=True, slots=True)
class Failed:
    """A handshake failed; *dialled* if this side began it."""

    address: Address
    error: PeerError
    dialled: bool


Event = Joined | Left | Said | Failed


@dataclass(slots=True)
class Happenings:
    """Filled by the tables, drained by whoever has the socket."""

    outgoing: list[tuple[Address, bytes]] = field(default_factory=list)
    events: list[Event] = field(default_factory=list)
    counts: dict[str, int] = field(default_factory=dict)

    def count(self, name: str) -> None:
        """One more of *name*."""
        self.counts[name] = self.counts.get(name, 0) + 1
