"""What a running plan consists of: its streams, its machines, and what was lost."""

from __future__ import annotations

from dataclasses import dataclass

from edgesdk.cluster.status import MemberStatus

__all__ = ["LiveMachine", "LiveStream", "Loss"]


@dataclass(frozen=True, slots=True)
class LiveStream:
    """One camera of one class: what runs on it, and at which rate it is wanted."""

    klass: str
    camera: str
    uri: str
    app: str
    fps: float
    pixels: int = 0
    stateless: bool = True


@dataclass(frozen=True, slots=True)
class Loss:
    """A machine was lost: of its streams so many found room on others, so many make others slower
    until there is a machine for them, and so many wait for one that boots."""

    machine: str
    headroom: int
    degraded: int
    waiting: int

    def __str__(self) -> str:
        parts = (
            (self.headroom, "found room on others"),
            (self.degraded, "run slower, and others with them, until there is a machine"),
            (self.waiting, "wait for a machine that boots"),
        )
        said = [f"{count} {words}" for count, words in parts if count]
        return f"{self.machine}: {', '.join(said) or 'it had no streams'}"


@dataclass(eq=False)
class LiveMachine:
    """*unanswered*: how many times in a row it did not say how it is; *heard_s*: when it did;
    *refuses*: its machine says that no agent is there."""

    slot: int
    kind: int
    told: tuple[int, ...] | None = None
    """The streams of its last assignment; None before the first."""
    seen: MemberStatus | None = None
    at_s: float = 0.0
    told_s: float = 0.0
    began_s: float = 0.0
    heard_s: float = 0.0
    unanswered: int = 0
    refuses: bool = False
