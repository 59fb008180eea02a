"""A plan's input before anything is known of it: what has the wrong form counts as absent."""

from __future__ import annotations

from collections.abc import Collection
from functools import cache
from typing import Any, TypeGuard

from edgesdk.planner.problem import MOST_UNITS, Resource
from edgesdk.toml.structs import Mistakes, nearest

__all__ = ["STANDARD", "Tables", "is_number", "look_up", "texts"]

STANDARD = {
    "cpu": Resource("cpu", "cores", 1_000_000),
    "memory": Resource("memory", "GB", 1_000_000),
    "accelerator": Resource("accelerator", "accelerators", 1_000_000),
    "network": Resource("network", "Mb/s", 1_000),
    "residents": Resource("residents", "models", 1, whole=True),
}
"""Resources that need no table of their own, and the steps in which they are counted."""


class Tables:
    """A document of which nothing is known yet: what has the wrong form counts as absent."""

    def __init__(self, document: dict[str, Any]) -> None:
        self._document = document
        # Asked for once a stream, of which there may be a hundred thousand.
        self.named = cache(self._named)
        self._streams = cache(lambda: dict(self.named("streams")))
        self.resources = cache(self._resources)
        self.types = cache(self._types)
        self.regions = cache(self._regions)
        self.places = cache(self._places)
        self.devices = cache(self._devices)

    def _named(self, table: str) -> list[tuple[str, dict[str, Any]]]:
        found = self._document.get(table)
        entries = found.items() if isinstance(found, dict) else ()
        return [(name, _stated(entry)) for name, entry in entries if isinstance(entry, dict)]

    def listed(self, table: str) -> list[tuple[int, dict[str, Any]]]:
        found = self._document.get(table)
        entries = enumerate(found) if isinstance(found, list) else ()
        return [(index, _stated(entry)) for index, entry in entries if isinstance(entry, dict)]

    def names(self, table: str) -> Collection[str]:
        found = self._document.get(table)
        return found.keys() if isinstance(found, dict) else ()

    def stream(self, name: str) -> dict[str, Any] | None:
        return self._streams().get(name)

    def _resources(self) -> list[str]:
        return list(dict.fromkeys([*STANDARD, *self.names("resources")]))

    def most(self, resource: str) -> tuple[float, str]:
        """The largest amount of *resource* that can be counted in its steps, and its unit."""
        declared = dict(self.named("resources")).get(resource)
        if declared is None:
            known = STANDARD[resource] if resource in STANDARD else Resource(resource)
            return MOST_UNITS / known.scale, known.unit or resource
        steps, unit = declared.get("steps", 1_000_000), declared.get("unit")
        steps = steps if is_number(steps) and steps >= 1 else 1
        return MOST_UNITS / steps, unit if isinstance(unit, str) and unit else resource

    def _types(self) -> list[str]:
        """The names that a stream may use for machines, ``NAME@REGION`` among them."""
        found = list(self.names("machines"))
        for name, machine in self.named("machines"):
            regions = machine.get("regions")
            found += [f"{name}@{r}" for r in regions] if isinstance(regions, dict) else []
        return found

    def _regions(self) -> list[str]:
        found: list[str] = []
        for _, machine in self.named("machines"):
            regions = machine.get("regions")
            found += list(regions) if isinstance(regions, dict) else []
            price = machine.get("price")
            listed = price.partition(":")[2].partition("/")[0] if isinstance(price, str) else ""
            region = machine.get("region", listed)
            found += [region] if isinstance(region, str) and region else []
        return list(dict.fromkeys(found))

    def _devices(self) -> list[str]:
        stated = [machine.get("device") for _, machine in self.named("machines")]
        return [name for name in stated if isinstance(name, str) and name]

    def _places(self) -> set[str]:
        """The places from which there are links."""
        found = [link.get("place") for _, link in self.listed("links")]
        return {place for place in found if isinstance(place, str)}


def _stated(entry: dict[str, Any]) -> dict[str, Any]:
    """*entry* without what is null: that counts as not stated, as where it is converted."""
    return {key: value for key, value in entry.items() if value is not None}


def is_number(value: object) -> TypeGuard[int | float]:
    return isinstance(value, (int, float)) and not isinstance(value, bool)


def texts(value: object) -> list[tuple[int, str]]:
    """The texts in *value*, with their places, where it is a list."""
    listed = enumerate(value) if isinstance(value, list) else ()
    return [(index, text) for index, text in listed if isinstance(text, str)]


def look_up(
    path: tuple[str | int, ...], wanted: str, known: Collection[str], what: str, mistakes: Mistakes
) -> None:
    """A mistake where *wanted* is none of the *known* names of *what*."""
    if wanted not in known:
        mistakes.add_value(path, wanted, f"the name of {what}; {nearest(wanted, known)}")
