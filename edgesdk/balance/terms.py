"""What the balancer speaks of: groups of frames, promises, and the node it decides for."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import IntEnum
from typing import Protocol

__all__ = ["Group", "Local", "Promise", "Reach", "key_of"]


class Reach(IntEnum):
    """How far the frames of a camera may go."""

    NODE = 0
    SITE = 1
    CLUSTER = 2


@dataclass(frozen=True, slots=True)
class Group:
    """1 to 8 frames (or crops) of one camera for one model: what is placed as a whole."""

    id: int
    """u64, unique at this origin."""
    model: int
    """u64: the first 8 bytes of the card's digest, or of an own operator's id."""
    variant: int
    """u64: 0 = any, else the execution key that a peer must equal."""
    items: int
    captured_ns: int
    """Capture of the oldest frame, on this node's monotonic clock."""
    deadline_ns: int
    payload_bytes: int
    """What offloading it would send."""
    app: int
    weight: float
    """Share of the links relative to other applications; above 0."""
    reach: Reach


@dataclass(frozen=True, slots=True)
class Promise:
    """A place that this node's scheduler keeps free; *id* is the scheduler's."""

    id: int
    ends_ns: int


class Local(Protocol):
    """The node's own scheduler and models, as the policy sees them. Nothing here may block."""

    def quote(
        self, model: int, items: int, *, release_ns: int, deadline_ns: int, now_ns: int
    ) -> int | None:
        """When such a group would end if :meth:`reserve` took it; None where it would not."""

    def reserve(
        self, model: int, items: int, *, release_ns: int, deadline_ns: int, now_ns: int
    ) -> Promise | None:
        """A place that holds if the data are there by *release_ns*; None breaks nothing."""

    def cancel(self, promise: Promise) -> None:
        """Gives a place back; one that is claimed or expired is left alone."""

    def cost_ns(self, model: int, items: int) -> int:
        """Upper estimate of one batch; 0 = the model is not resident."""

    def residents(self) -> Sequence[int]:
        """Loaded models, in a stable order."""

    def installed(self) -> Sequence[int]:
        """Operators of applications, which are spoken of as models are, but stay: they are never
        loaded, evicted or missed, and run beside the accelerator."""
        return ()

    def lane(self, model: int) -> int:
        """What *model* runs on: groups of one lane are in each other's way. 0: the accelerator."""
        return 0

    def variant(self, model: int) -> int:
        """The execution key of the resident variant; 0 if the model is not resident."""

    def backlog_ns(self, now_ns: int) -> int:
        """Running + queued + reserved work."""

    def utilisation(self) -> float:
        """Share of the last seconds that the accelerator worked, 0 to 1."""

    def ready_ns(self, model: int) -> int | None:
        """When a load of *model* that is under way will end; None if there is none."""

    def loadable(self) -> Sequence[int]:
        """Models that this node could load (its catalogue), in a stable order."""

    def expected_ns(self, model: int, items: int) -> int:
        """What a batch would cost here if *model* were loaded; 0 = it cannot run here."""

    def slots(self) -> int:
        """Models that fit at one time."""


def key_of(model: int) -> int:
    """The 16-bit name of a model in digests; two models may share one."""
    return model & 0xFFFF
