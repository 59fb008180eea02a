"""What ``edgesdk plan FILE --what-if --json`` prints."""

from __future__ import annotations

from typing import Annotated, Literal

import msgspec

__all__ = ["AnswerEntry", "DegradedEntry", "UpgradeEntry", "WhatIfDocument"]

Dollars = Annotated[float, msgspec.Meta(ge=0)]


class AnswerEntry(msgspec.Struct, frozen=True, kw_only=True):
    """At *x* the fleet costs this an hour; without a plan the dollars are null and *why* says."""

    x: float
    usd_per_hour: Dollars | None
    lower_bound_usd_per_hour: Dollars | None
    machines: int | None
    why: str = ""


class DegradedEntry(AnswerEntry, frozen=True, kw_only=True):
    """*left_out*: streams of each class that the cheapest fleet for this goodput does not serve."""

    left_out: dict[str, int]


class UpgradeEntry(msgspec.Struct, frozen=True, kw_only=True):
    """One machine of *type* with twice the capacity: cost an hour (null: no plan even then).

    *saves_usd_per_hour* is null where there was no plan without it.
    """

    type: str
    usd_per_hour: Dollars | None
    saves_usd_per_hour: float | None


class WhatIfDocument(msgspec.Struct, frozen=True, kw_only=True):
    """Cost against a factor on all frame rates, the share that machines are filled to, a factor on
    the number of streams, and the goodput that is enough; what to upgrade first. *plots*: files."""

    schema: Literal[1] = 1
    command: Literal["plan-what-if"] = "plan-what-if"
    rates: tuple[AnswerEntry, ...]
    caps: tuple[AnswerEntry, ...]
    sizes: tuple[AnswerEntry, ...]
    goodputs: tuple[DegradedEntry, ...]
    upgrades: tuple[UpgradeEntry, ...]
    plots: tuple[str, ...] = ()
    seconds: Annotated[float, msgspec.Meta(ge=0)]
