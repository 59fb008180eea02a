"""Eta: at which share of its desired rate a camera is analysed, and whose fault it is. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

__all__ = ["Cause", "Rate", "Seen", "hidden_need", "judge"]

Cause = Literal["none", "machine", "outside"]

_ENOUGH = 0.98
_LEAST_ETA = 0.2


@dataclass(frozen=True, slots=True)
class Seen:
    """Frames of one stream over *seconds*: those that came from the camera, those that were
    analysed or held by a gate, those that were to be analysed and were not."""

    seconds: float
    captured: int
    analysed: int
    missed: int
    streaming: bool


@dataclass(frozen=True, slots=True)
class Rate:
    """*eta* in [0, 1]. *cause* of what is missing: ``machine`` where frames came and were not
    analysed in time; ``outside`` where they did not come: camera, network, other users of it."""

    eta: float
    cause: Cause


def judge(seen: Seen, fps: float) -> Rate:
    """What was reached of *fps*, the desired rate.

    The definition of eta is that of Kaseb et al. (IEEE TCC 2017). A camera that gives fewer frames
    than desired makes eta small, and no machine mends that.
    """
    wanted = max(fps * seen.seconds, 1e-9)
    eta = min(1.0, seen.analysed / wanted)
    if eta >= _ENOUGH:
        return Rate(eta, "none")
    came = min(1.0, seen.captured / wanted)
    lost_here = seen.missed / max(seen.analysed + seen.missed, 1)
    if not seen.streaming or came < _ENOUGH:
        # Both may be at fault; a machine that also loses frames must not hide behind the camera.
        return Rate(eta, "machine" if lost_here > 1 - _ENOUGH else "outside")
    return Rate(eta, "machine" if seen.missed else "outside")


def hidden_need(need: float, rate: Rate) -> float:
    """What a stream would use if it were analysed at its rate: the use of one that falls short for
    want of machine understates its need."""
    return need / max(rate.eta, _LEAST_ETA) if rate.cause == "machine" else need
