"""What machines cost to rent: a list with its date and its source.

A plan's input refers to an entry as ``ec2:us-west-2/c5.xlarge``. The list that comes with edgesdk
is as old as it says; ``edgesdk plan --prices --refresh`` fetches a newer one.
"""

from __future__ import annotations

import importlib.resources
from typing import Annotated, Literal

import msgspec

from edgesdk.toml.structs import nearest, read_struct

__all__ = [
    "PRICE_FORM",
    "Price",
    "PriceList",
    "PricedType",
    "PricesDocument",
    "builtin_prices",
    "price_list_text",
    "prices_document",
    "read_prices",
]

PRICE_FORM = 'CLOUD:REGION/TYPE, such as "ec2:us-east-1/c5.xlarge"'
_GENERATED = "# Written by `edgesdk plan --prices --refresh`; prices in dollars an hour."

Words = Annotated[str, msgspec.Meta(min_length=1, max_length=256, description="a text")]
Capacity = Annotated[float, msgspec.Meta(ge=0, le=1e6, description="a number, 0 or more")]
Dollars = Annotated[
    float, msgspec.Meta(gt=0, le=1e6, description="dollars an hour, above 0, such as 0.17")
]


class PricedType(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A type of machine: cores, GB (10^9 bytes), accelerators; dollars an hour by region."""

    cpu: Capacity
    memory: Capacity
    accelerator: Capacity = 0.0
    usd_per_hour: dict[Words, Dollars]

    def capacity(self) -> dict[str, float]:
        """By resource; accelerators only where there are some."""
        found = {"cpu": self.cpu, "memory": self.memory}
        return {**found, "accelerator": self.accelerator} if self.accelerator else found


class PriceList(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """*date*: of the prices, YYYY-MM-DD; *source*: where they are from; types by cloud and name."""

    schema: Annotated[int, msgspec.Meta(ge=1, le=1, description="1")] = 1
    date: Annotated[
        str,
        msgspec.Meta(pattern=r"^\d{4}-\d\d-\d\d\Z", description='a date such as "2026-01-31"'),
    ]
    source: Words
    types: dict[Words, dict[Words, PricedType]]

    def find(self, reference: str) -> Price:
        """The entry that *reference* names. Raises ValueError, which says what was expected."""
        cloud, colon, rest = reference.partition(":")
        region, slash, name = rest.partition("/")
        if not (colon and slash and cloud and region and name):
            raise ValueError(PRICE_FORM)
        if cloud not in self.types:
            raise ValueError(f"a cloud of the price list; {nearest(cloud, list(self.types))}")
        kinds = self.types[cloud]
        if name not in kinds:
            raise ValueError(f"a type of the price list; {nearest(name, list(kinds))}")
        dollars = kinds[name].usd_per_hour.get(region)
        if dollars is None:
            known = ", ".join(sorted(kinds[name].usd_per_hour))
            raise ValueError(f"a region that {name} has a price in: {known}")
        return Price(reference, region, dollars, kinds[name].capacity(), self.source, self.date)


class Price(msgspec.Struct, frozen=True):
    """What *reference* costs an hour, what it has, and who says so."""

    reference: str
    region: str
    usd_per_hour: float
    capacity: dict[str, float]
    source: str
    date: str


class PricesDocument(msgspec.Struct, frozen=True, kw_only=True):
    """What ``edgesdk plan --prices --json`` prints: *types* by cloud and name."""

    schema: Literal[1] = 1
    command: Literal["plan-prices"] = "plan-prices"
    date: str
    source: str
    types: dict[str, dict[str, PricedType]]


def prices_document(prices: PriceList) -> PricesDocument:
    return PricesDocument(date=prices.date, source=prices.source, types=prices.types)


def builtin_prices() -> PriceList:
    """The list that came with this edgesdk."""
    data = importlib.resources.files("edgesdk.planner") / "data" / "prices.toml"
    return read_prices(data.read_text(encoding="utf-8"), file="prices.toml")


def read_prices(text: str, *, file: str) -> PriceList:
    """A price list in TOML. Raises ConfigError with every mistake."""
    return read_struct(text, PriceList, file=file)


def price_list_text(prices: PriceList) -> str:
    """*prices* as the TOML that :func:`read_prices` reads."""
    lines = [_GENERATED, f"schema = {prices.schema}", f"date = {_quoted(prices.date)}"]
    lines += [f"source = {_quoted(prices.source)}"]
    for cloud, kinds in prices.types.items():
        for name, kind in kinds.items():
            lines += ["", f"[types.{_quoted(cloud)}.{_quoted(name)}]"]
            lines += [f"{key} = {value:g}" for key, value in kind.capacity().items()]
            each = (f"{_quoted(r)} = {usd:g}" for r, usd in kind.usd_per_hour.items())
            lines += [f"usd_per_hour = {{ {', '.join(each)} }}"]
    return "\n".join(lines) + "\n"


def _quoted(text: str) -> str:
    return msgspec.json.encode(text).decode()
