"""``edgesdk plan --prices``: what machines cost to rent, as of when, and who says so."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING

from edgesdk.errors import ConfigError, EdgeError

if TYPE_CHECKING:
    from edgesdk.planner.prices import PriceList

__all__ = ["prices_in_force", "show_prices"]


def prices_in_force() -> PriceList:
    """The list that was fetched last; without one, or where it is no list, that of this edgesdk."""
    from edgesdk.planner.prices import builtin_prices, read_prices

    file = _file()
    try:
        fetched = read_prices(file.read_text(encoding="utf-8"), file=str(file))
    except FileNotFoundError:
        return builtin_prices()
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"{file}: {error}; remove it to use the prices of this edgesdk") from None
    except ConfigError as error:
        raise ConfigError(f"{error}\n{file}: remove it to use the prices of this edgesdk") from None
    return max(builtin_prices(), fetched, key=lambda prices: prices.date)


def show_prices(*, refresh: bool, as_json: bool) -> None:
    """Prints the list in force; with *refresh*, fetches it first.

    Raises NetworkUnavailable where it cannot be fetched; then the one before stays.
    """
    if refresh:
        from edgesdk.provision.price_list import fetch_prices, keep_prices

        try:
            keep_prices(fetch_prices(), _file())
        except EdgeError:
            before = prices_in_force()
            print(f"the prices in force are of {before.date} ({before.source})", file=sys.stderr)
            raise
    prices = prices_in_force()
    if as_json:
        from edgesdk.planner.prices import prices_document
        from edgesdk.records import encode_line

        sys.stdout.buffer.write(encode_line(prices_document(prices)))
        sys.stdout.flush()
        return
    print(f"dollars an hour, {prices.date}, {prices.source}")
    for cloud, kinds in prices.types.items():
        regions = sorted({region for kind in kinds.values() for region in kind.usd_per_hour})
        print(f"{cloud + ': type':16}{'cores':>6}{'GB':>8}" + "".join(f"{r:>14}" for r in regions))
        for name, kind in kinds.items():
            dollars = (kind.usd_per_hour.get(region) for region in regions)
            cells = "".join(f"{'-' if usd is None else format(usd, '.4g'):>14}" for usd in dollars)
            print(f"{name:16}{kind.cpu:6g}{kind.memory:8.1f}{cells}")
    print(f'a machine of a plan\'s input refers to one: price = "ec2:{regions[0]}/{name}"')


def _file() -> Path:
    from edgesdk.config import NodeConfig
    from edgesdk.runtime.paths import cache_directory

    return cache_directory(NodeConfig()) / "prices.toml"
