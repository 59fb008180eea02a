"""Mistakes of a plan's input that lie between fields: names without an answer, contradictions."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from edgesdk.planner.prices import PriceList
from edgesdk.planner.problem import Resource
from edgesdk.toml.structs import Mistakes, nearest

__all__ = ["STANDARD", "look_between"]

STANDARD = {
    "cpu": Resource("cpu", "cores", 1_000_000),
    "memory": Resource("memory", "GB", 1_000_000),
    "accelerator": Resource("accelerator", "accelerators", 1_000_000),
    "network": Resource("network", "Mb/s", 1_000),
    "residents": Resource("residents", "models", 1, whole=True),
}
"""Resources that need no table of their own, and the steps in which they are counted."""


def look_between(
    document: dict[str, Any], mistakes: Mistakes, prices: Callable[[], PriceList]
) -> None:
    """What lies between fields: names that nothing answers, and fields that need each other."""
    tables = _Tables(document)
    for name, stream in tables.named("streams"):
        _look_at_stream(name, stream, tables, mistakes)
    for name, machine in tables.named("machines"):
        _look_at_machine(name, machine, tables, mistakes)
        _look_at_price(("machines", name, "price"), machine.get("price"), prices, mistakes)
    for name, load in tables.named("loads"):
        _look_at_amounts(("loads", name, "needs"), load.get("needs"), tables, mistakes)
    for kind in ("together", "apart"):
        for index, rule in tables.listed(kind):
            for at, wanted in _texts(rule.get("streams")):
                path = (kind, index, "streams", at)
                _look_up(path, wanted, tables.names("streams"), "[streams.NAME]", mistakes)
    _look_at_rules(tables, mistakes)
    for index, link in tables.listed("links"):
        region = link.get("region")
        if isinstance(region, str):
            _look_up(
                ("links", index, "region"), region, tables.regions(), "a machine's region", mistakes
            )
    for table in ("streams", "machines"):
        if isinstance(document.get(table), dict) and not document[table]:
            mistakes.add((table,), f"[{table}] is empty: expected [{table}.NAME] tables")


class _Tables:
    """A document of which nothing is known yet: what has the wrong form counts as absent."""

    def __init__(self, document: dict[str, Any]) -> None:
        self._document = document

    def named(self, table: str) -> list[tuple[str, dict[str, Any]]]:
        found = self._document.get(table)
        entries = found.items() if isinstance(found, dict) else ()
        return [(name, entry) for name, entry in entries if isinstance(entry, dict)]

    def listed(self, table: str) -> list[tuple[int, dict[str, Any]]]:
        found = self._document.get(table)
        entries = enumerate(found) if isinstance(found, list) else ()
        return [(index, entry) for index, entry in entries if isinstance(entry, dict)]

    def names(self, table: str) -> list[str]:
        found = self._document.get(table)
        return list(found) if isinstance(found, dict) else []

    def resources(self) -> list[str]:
        return list(dict.fromkeys([*STANDARD, *self.names("resources")]))

    def regions(self) -> list[str]:
        found: list[str] = []
        for _, machine in self.named("machines"):
            regions = machine.get("regions")
            found += list(regions) if isinstance(regions, dict) else []
            price = machine.get("price")
            listed = price.partition(":")[2].partition("/")[0] if isinstance(price, str) else ""
            region = machine.get("region", listed)
            found += [region] if isinstance(region, str) and region else []
        return list(dict.fromkeys(found))

    def places(self) -> set[str]:
        return {link["place"] for _, link in self.listed("links") if "place" in link}


def _look_at_stream(name: str, stream: dict[str, Any], tables: _Tables, mistakes: Mistakes) -> None:
    at = ("streams", name)
    for key in ("needs", "needs_per_fps"):
        _look_at_amounts((*at, key), stream.get(key), tables, mistakes)
    on = stream.get("needs_on")
    for device, amounts in on.items() if isinstance(on, dict) else ():
        _look_at_amounts((*at, "needs_on", device), amounts, tables, mistakes)
        known = [m.get("device", "") for _, m in tables.named("machines")]
        _look_up((*at, "needs_on", device), device, known, "a machine's device", mistakes)
        for resource, amount in amounts.items() if isinstance(amounts, dict) else ():
            if (
                isinstance(amount, bool)
                or not isinstance(amount, (int, float))
                or not (0 <= amount <= 1e9)
            ):
                path = (*at, "needs_on", device, resource)
                mistakes.add_value(path, amount, "an amount, 0 or more, such as 0.5")
    if not any(stream.get(key) for key in ("needs", "needs_per_fps", "profile")):
        mistakes.add(
            at,
            f"[streams.{name}] does not say what a stream needs: expected needs, needs_per_fps "
            "or profile",
        )
    for key in ("needs_per_fps", "profile"):
        if stream.get(key) and "fps" not in stream:
            mistakes.add(at, f"[streams.{name}] has {key} and no fps: expected fps")
    if stream.get("profile") and "resolution" not in stream:
        mistakes.add(at, f"[streams.{name}] has profile and no resolution: expected resolution")
    cameras = stream.get("cameras")
    if isinstance(cameras, dict) and cameras and len(cameras) != stream.get("count"):
        mistakes.add_value((*at, "count"), stream.get("count"), f"{len(cameras)}, one a camera")
    machines = [*tables.names("machines")]
    machines += [
        f"{m}@{r}" for m, entry in tables.named("machines") for r in entry.get("regions") or ()
    ]
    for key, known, what in (
        ("loads", tables.names("loads"), "[loads.NAME]"),
        ("machines", machines, "[machines.NAME]"),
        ("regions", tables.regions(), "a machine's region"),
    ):
        for index, wanted in _texts(stream.get(key)):
            _look_up((*at, key, index), wanted, known, what, mistakes)
    for key in ("max_latency", "min_bandwidth"):
        if key not in stream:
            continue
        if "place" not in stream:
            mistakes.add(at, f"[streams.{name}] has {key} and no place: expected place")
        elif isinstance(stream["place"], str) and stream["place"] not in tables.places():
            mistakes.add_value(
                (*at, "place"), stream["place"], f"a place that a [[links]] entry has, for {key}"
            )


def _look_at_machine(
    name: str, machine: dict[str, Any], tables: _Tables, mistakes: Mistakes
) -> None:
    at = ("machines", name)
    _look_at_amounts((*at, "capacity"), machine.get("capacity"), tables, mistakes)
    if machine.get("capacity") == {}:
        mistakes.add_value((*at, "capacity"), {}, "amounts such as { cpu = 4, memory = 7.5 }")
    if "capacity" not in machine and "price" not in machine:
        mistakes.add(
            at,
            f"[machines.{name}] has no capacity: expected such as {{ cpu = 4, memory = 7.5 }}",
        )
    priced = [key for key in ("usd_per_hour", "regions", "price") if key in machine]
    if machine.get("existing") is True:
        for key in priced:
            mistakes.add((*at, key), f"machines.{name}.{key}: an existing machine costs nothing")
        if "limit" not in machine:
            mistakes.add(at, f"[machines.{name}] is existing and has no limit: expected how many")
    elif not priced:
        mistakes.add(
            at,
            f"[machines.{name}] has no price: expected usd_per_hour, regions, price or "
            "existing = true",
        )
    elif len(priced) > 1:
        mistakes.add(
            (*at, priced[1]), f"machines.{name}: expected {priced[0]} or {priced[1]}, not both"
        )


def _look_at_price(
    path: tuple[str | int, ...],
    reference: object,
    prices: Callable[[], PriceList],
    mistakes: Mistakes,
) -> None:
    if isinstance(reference, str):
        try:
            prices().find(reference)
        except ValueError as error:
            mistakes.add_value(path, reference, str(error))


def _look_at_amounts(
    path: tuple[str | int, ...], amounts: object, tables: _Tables, mistakes: Mistakes
) -> None:
    for resource in amounts if isinstance(amounts, dict) else ():
        if resource not in tables.resources():
            known = nearest(str(resource), tables.resources())
            mistakes.add(
                (*path, resource),
                f"unknown resource {resource} in {'.'.join(map(str, path))}: {known}; others need "
                "a [resources.NAME] table",
            )


def _look_at_rules(tables: _Tables, mistakes: Mistakes) -> None:
    """Rules that contradict each other or the counts."""
    streams = dict(tables.named("streams"))
    together: dict[str, int] = {}
    for index, rule in tables.listed("together"):
        names = [name for _, name in _texts(rule.get("streams"))]
        counts = {streams[n].get("count") for n in names if n in streams}
        if rule.get("each", "stream") == "stream" and len(counts) > 1:
            mistakes.add(
                ("together", index, "streams"),
                f"together[{index}].streams: counts {', '.join(map(str, counts))}: expected equal "
                "counts, since the streams are paired",
            )
        for at, name in enumerate(names):
            if name in together:
                mistakes.add_value(("together", index, "streams", at), name, "each stream once")
            together[name] = index
    for index, rule in tables.listed("apart"):
        names = [name for _, name in _texts(rule.get("streams"))]
        bound = [together[name] for name in names if name in together]
        if len(bound) != len(set(bound)):
            mistakes.add_value(
                ("apart", index, "streams"), names, "none that must share a machine (together)"
            )


def _texts(value: object) -> list[tuple[int, str]]:
    listed = enumerate(value) if isinstance(value, list) else ()
    return [(index, text) for index, text in listed if isinstance(text, str)]


def _look_up(
    path: tuple[str | int, ...], wanted: str, known: list[str], what: str, mistakes: Mistakes
) -> None:
    if wanted not in known:
        mistakes.add_value(path, wanted, f"the name of {what}; {nearest(wanted, known)}")
