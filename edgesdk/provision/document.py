"""What ``edgesdk manage --json`` prints."""

from __future__ import annotations

from typing import Annotated, Literal

import msgspec

__all__ = ["ManageDocument"]

Count = Annotated[int, msgspec.Meta(ge=0)]


class LossDocument(msgspec.Struct, frozen=True, kw_only=True):
    """A *machine* was lost: so many of its streams found *headroom* on others, so many ran
    *degraded*, slowing others down, and so many were *waiting* for one that boots."""

    machine: str
    headroom: Count
    degraded: Count
    waiting: Count


class RateDocument(msgspec.Struct, frozen=True, kw_only=True):
    """A program at the end: *eta*, the mean of its streams; how many of them fell short for want
    of machine, and for causes outside (camera, network, other users of the camera)."""

    eta: Annotated[float, msgspec.Meta(ge=0, le=1)]
    short_of_machine: Count
    short_outside: Count


class ManageDocument(msgspec.Struct, frozen=True, kw_only=True):
    """*machines*: how many of each type were planned. What follows *streams* is of the end, and of
    nothing where *applied* is false: *where* has each ``class/camera``'s machine, *eta* the mean
    share of their desired rates over the last period, *spent_usd* what is due by then."""

    schema: Literal[1] = 1
    command: Literal["manage"] = "manage"
    applied: bool
    provider: str
    usd_per_hour: Annotated[float, msgspec.Meta(ge=0)]
    machines: dict[str, Count]
    streams: Count
    where: dict[str, str] = {}
    migrations: Count = 0
    eta: float | None = None
    programs: dict[str, RateDocument] = {}
    losses: list[LossDocument] = []
    spent_usd: float = 0.0
    seconds: float = 0.0
