"""Prices from apache-libcloud's pricing file, as the planner's price list."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Mapping
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

from edgesdk.errors import NetworkUnavailable, ProviderError, SinkError
from edgesdk.planner.prices import PricedType, PriceList, price_list_text

__all__ = ["bundled_prices", "fetch_prices", "keep_prices", "price_list_of"]

REGIONS = ("us-east-1", "us-west-2", "eu-west-1", "eu-central-1")
TYPES = (
    # Those of the paper, and what one would rent today.
    *("m4.xlarge", "m4.2xlarge", "c4.xlarge", "c4.2xlarge", "r3.xlarge", "r3.2xlarge"),
    *("c5.xlarge", "c5.2xlarge", "c6g.xlarge", "c6i.xlarge", "c6i.2xlarge", "c7g.xlarge"),
    *("c7i.xlarge", "m5.xlarge", "m6g.xlarge", "m6i.xlarge", "m7g.xlarge", "r5.xlarge"),
    *("r6i.xlarge", "t3.medium", "t3.large", "g4dn.xlarge", "g5.xlarge", "inf1.xlarge"),
)
_MIB = 1 << 20


def bundled_prices() -> PriceList:
    """From the file that the installed libcloud brought. Raises ProviderError without one."""
    import libcloud.pricing

    try:
        document = json.loads(Path(libcloud.pricing.DEFAULT_PRICING_FILE_PATH).read_bytes())
    except (OSError, json.JSONDecodeError) as error:
        raise ProviderError(f"libcloud's own prices: {error}") from None
    return price_list_of(document, f"apache-libcloud {libcloud.__version__}, its pricing.json")


def fetch_prices() -> PriceList:
    """From the file that libcloud's project publishes, daily.

    Raises NetworkUnavailable where it cannot be had, ProviderError where libcloud is not there or
    the file is not what it was.
    """
    try:
        import libcloud.pricing
    except ModuleNotFoundError:
        raise ProviderError("prices: pip install 'edgesdk[cloud]' brings apache-libcloud") from None

    url = libcloud.pricing.DEFAULT_FILE_URL_S3_BUCKET
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder, "pricing.json")
        try:
            libcloud.pricing.download_pricing_file(file_url=url, file_path=str(file))
            document = json.loads(file.read_bytes())
        except Exception as error:  # libcloud lets out whatever its HTTP library and it raise
            raise NetworkUnavailable(
                f"{url} does not give prices ({type(error).__name__}); the list from before stays"
            ) from None
    return price_list_of(document, f"apache-libcloud's published pricing.json ({url})")


def keep_prices(prices: PriceList, file: Path) -> None:
    """Writes *prices* to *file*, whole or not at all. Raises SinkError."""
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        draft = file.with_suffix(".new")
        draft.write_text(price_list_text(prices), encoding="utf-8")
        draft.replace(file)
    except OSError as error:
        raise SinkError(f"{file}: {error.strerror}: the prices cannot be kept") from None


def price_list_of(document: Mapping[str, Any], source: str) -> PriceList:
    """EC2's types of *document*, a libcloud pricing file; those it has no price of are left out.

    Raises ProviderError where it has none at all.
    """
    from libcloud.compute.constants.ec2_instance_types import INSTANCE_TYPES

    table = document.get("compute", {}).get("ec2_linux", {})
    types = {}
    sizes: Mapping[str, Any] = INSTANCE_TYPES
    for name in TYPES:
        said = table.get(name, {})
        # libcloud writes 0 for a price that it did not find.
        usd = {region: float(said[region]) for region in REGIONS if said.get(region)}
        size = sizes.get(name)
        if not usd or size is None:
            continue
        types[name] = PricedType(
            cpu=float(size["extra"]["vcpu"]),
            memory=round(size["ram"] * _MIB / 1e9 - 5e-4, 3),
            accelerator=float(size["extra"].get("gpu", 0)),
            usd_per_hour=usd,
        )
    updated = document.get("updated")
    if not types or not isinstance(updated, (int, float)):
        raise ProviderError(f"{source}: no EC2 prices with a date are in it")
    date = datetime.fromtimestamp(updated, timezone.utc).strftime("%Y-%m-%d")
    return PriceList(date=date, source=f"{source}; EC2, Linux, on demand", types={"ec2": types})
