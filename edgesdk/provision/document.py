"""What ``edgesdk manage --json`` prints."""

from __future__ import annotations

from typing import Annotated, Literal

import msgspec

__all__ = ["ManageDocument"]

Count = Annotated[int, msgspec.Meta(ge=0)]


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
    spent_usd: float = 0.0
    seconds: float = 0.0
