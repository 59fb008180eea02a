"""What may stand in a plan's input file, table by table.

Amounts are in the units people write: cores, GB, the share of one accelerator, Mb/s.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

import msgspec

from edgesdk.planner.prices import PRICE_FORM

__all__ = [
    "AMOUNT_FORM",
    "ApartEntry",
    "Latency",
    "LinkEntry",
    "LoadEntry",
    "MachineEntry",
    "PlanInput",
    "ResourceEntry",
    "StreamEntry",
    "TogetherEntry",
]


class Latency(int):
    """Nanoseconds; in the file a text such as ``"50ms"``."""


Name = Annotated[
    str,
    msgspec.Meta(
        pattern=r"^[A-Za-z0-9][A-Za-z0-9._@:+-]{0,127}\Z",
        description="a name of letters, digits and '._@:+-', 128 at most",
    ),
]
Words = Annotated[
    str,
    msgspec.Meta(
        pattern=r"^[^\x00-\x1f\x7f]+\Z",
        max_length=4096,
        description="a text without control characters",
    ),
]
_PRINTABLE = r"^[^\x00-\x1f\x7f]*\Z"
"""It is printed as it stands: nothing that a terminal takes for an order."""
Share = Annotated[
    float,
    msgspec.Meta(ge=1e-6, le=1, description="a share above 0 (from 0.000001) to 1, such as 0.7"),
]
AMOUNT_FORM = "an amount, 0 to 10^9, such as 0.5"
Amount = Annotated[float, msgspec.Meta(ge=0, le=1e9, description=AMOUNT_FORM)]
Dollars = Annotated[
    float, msgspec.Meta(ge=0, le=1e6, description="dollars an hour, 0 to 10^6, such as 0.209")
]
Positive = Annotated[
    float, msgspec.Meta(gt=0, le=1e6, description="a number above 0 and up to 10^6, such as 10")
]
Count = Annotated[
    int, msgspec.Meta(ge=0, le=10**9, description="a whole number, 0 or more, 10^9 at most")
]
Size = Annotated[
    str,
    msgspec.Meta(
        pattern=r"^[1-9][0-9]{0,4}x[1-9][0-9]{0,4}\Z", description='a size such as "1280x720"'
    ),
]
Amounts = dict[Name, Amount]
Names = Annotated[tuple[Name, ...], msgspec.Meta(description='a list of names, such as ["a"]')]


class ResourceEntry(msgspec.Struct, frozen=True, kw_only=True):
    """``[resources.NAME]``: amounts are counted in whole *steps* of its unit.

    A *whole* resource is not subject to the target: a number of models, of USB ports.
    """

    unit: Annotated[
        str, msgspec.Meta(max_length=32, pattern=_PRINTABLE, description="a unit's name")
    ] = ""
    steps: Annotated[
        int, msgspec.Meta(ge=1, le=10**9, description="how many steps make one unit, 1 or more")
    ] = 1_000_000
    whole: bool = False


class StreamEntry(msgspec.Struct, frozen=True, kw_only=True):
    """``[streams.NAME]``: *count* streams that need the same.

    One needs ``needs + fps * needs_per_fps``, or what the test run in *profile* says; *evidence*
    and *source* tell what those figures are worth (a profile has its own). To carry the
    plan out it has to be said what runs, *app*, and on which *cameras*: a URI by name, *count* of
    them.
    """

    count: Count
    fps: Positive | None = None
    program: Annotated[
        str, msgspec.Meta(max_length=4096, pattern=_PRINTABLE, description="a text")
    ] = ""
    app: Annotated[
        str, msgspec.Meta(max_length=4096, pattern=_PRINTABLE, description='"FILE.py:NAME"')
    ] = ""
    cameras: dict[Name, Words] = {}
    resolution: Size | None = None
    place: Name | None = None
    needs: Amounts = {}
    needs_per_fps: Amounts = {}
    needs_on: dict[Name, dict[str, Any]] = {}
    evidence: Annotated[
        Literal["stated", "real", "stand-in", "published"],
        msgspec.Meta(description='"stated", "real", "stand-in" or "published"'),
    ] = "stated"
    source: Annotated[
        str, msgspec.Meta(max_length=1024, pattern=_PRINTABLE, description="a text")
    ] = ""
    profile: Words | None = None
    loads: Names = ()
    machines: Names = ()
    regions: Names = ()
    max_latency: Latency | None = None
    min_bandwidth: Amount | None = None
    at_most: (
        Annotated[int, msgspec.Meta(ge=1, le=10**9, description="a whole number, 1 or more")] | None
    ) = None


class LoadEntry(msgspec.Struct, frozen=True, kw_only=True):
    """``[loads.NAME]``: what streams on one machine share, counted once: a resident model."""

    needs: Amounts


class MachineEntry(msgspec.Struct, frozen=True, kw_only=True):
    """``[machines.NAME]``: a type of machine; *existing* ones are there already and cost nothing.

    *regions* has prices by region: each is a type of its own, ``NAME@REGION``. *price* takes price,
    capacity and region from the price list, but for what stands here. *price_source* and
    *price_date* say where prices that stand here are from. *device* is its device class, by which a
    stream's ``needs_on`` is chosen.
    """

    capacity: Amounts = {}
    usd_per_hour: Dollars | None = None
    regions: dict[Name, Dollars] = {}
    price: Annotated[str, msgspec.Meta(max_length=512, description=PRICE_FORM)] | None = None
    price_source: Annotated[
        str, msgspec.Meta(max_length=512, pattern=_PRINTABLE, description="a text")
    ] = ""
    price_date: (
        Annotated[
            str,
            msgspec.Meta(pattern=r"^\d{4}-\d\d-\d\d\Z", description='a date such as "2026-01-31"'),
        ]
        | None
    ) = None
    region: Name | None = None
    limit: Count | None = None
    existing: bool = False
    device: Annotated[
        str, msgspec.Meta(max_length=128, pattern=_PRINTABLE, description="a device class")
    ] = ""


class LinkEntry(msgspec.Struct, frozen=True, kw_only=True):
    """``[[links]]``: from where cameras are to where machines are; *bandwidth* in Mb/s."""

    place: Name
    region: Name
    latency: Latency | None = None
    bandwidth: Amount | None = None


class TogetherEntry(msgspec.Struct, frozen=True, kw_only=True):
    """``[[together]]``: streams that must share a machine, one of each, or all of them."""

    streams: Names
    each: Annotated[Literal["stream", "all"], msgspec.Meta(description='"stream" or "all"')] = (
        "stream"
    )


class ApartEntry(msgspec.Struct, frozen=True, kw_only=True):
    """``[[apart]]``: no two of these share a machine."""

    streams: Names


class PlanInput(msgspec.Struct, frozen=True, kw_only=True):
    """The whole file. *target*: how full machines are planned; *overload*: what is too full."""

    schema: Annotated[Literal[1], msgspec.Meta(description="1, the version this edgesdk reads")] = 1
    target: Share = 0.7
    overload: Share = 0.9
    resources: dict[Name, ResourceEntry] = {}
    streams: dict[Name, StreamEntry]
    loads: dict[Name, LoadEntry] = {}
    machines: dict[Name, MachineEntry]
    links: tuple[LinkEntry, ...] = ()
    together: tuple[TogetherEntry, ...] = ()
    apart: tuple[ApartEntry, ...] = ()
