"""The models and videos that edgesdk knows where to find: one card a model, and ``assets.toml``."""

from __future__ import annotations

from pathlib import Path

import msgspec

from edgesdk import toml
from edgesdk.models.schema import PackageSource, Sha256

__all__ = ["Asset", "assets", "card_paths"]

_FOLDER = Path(__file__).parent


class Asset(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A file to try things on, such as a video."""

    name: str
    description: str
    licence: str
    sha256: Sha256
    source: PackageSource


def card_paths() -> list[Path]:
    """The built-in cards, in the order in which requirements prefer them."""
    found = sorted(p for p in _FOLDER.glob("*.toml") if p.name != "assets.toml")
    return sorted(found, key=lambda p: p.stem != "person-ssdlite")


def assets() -> dict[str, Asset]:
    """The assets by name."""
    said = toml.loads((_FOLDER / "assets.toml").read_text(encoding="utf-8"))
    return {a.name: a for a in msgspec.convert(said["assets"], list[Asset])}
