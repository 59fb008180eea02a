"""Mistakes of a plan's input that lie between the fields of its streams and machines."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from edgesdk.planner.plan_entries import AMOUNT_FORM
from edgesdk.planner.plan_rules import look_at_links, look_at_rules
from edgesdk.planner.plan_tables import Tables, is_number, look_up, texts
from edgesdk.planner.prices import PriceList
from edgesdk.toml.structs import Mistakes, dotted, nearest, shown

__all__ = ["look_between"]

_FORM_MOST = 1e9  # what is more has the wrong form anyway


def look_between(
    document: dict[str, Any], mistakes: Mistakes, prices: Callable[[], PriceList]
) -> None:
    """What lies between fields: names that nothing answers, and fields that need each other."""
    tables = Tables(document)
    for name, stream in tables.named("streams"):
        _look_at_stream(name, stream, tables, mistakes)
    for name, machine in tables.named("machines"):
        _look_at_machine(name, machine, tables, mistakes)
        _look_at_price(("machines", name, "price"), machine.get("price"), prices, mistakes)
    for name, load in tables.named("loads"):
        _look_at_amounts(("loads", name, "needs"), load.get("needs"), tables, mistakes)
    look_at_rules(tables, mistakes)
    look_at_links(tables, mistakes)
    _look_at_shares(document, mistakes)
    for table in ("streams", "machines"):
        if isinstance(document.get(table), dict) and not document[table]:
            mistakes.add((table,), f"[{table}] is empty: expected [{table}.NAME] tables")


def _look_at_stream(name: str, stream: dict[str, Any], tables: Tables, mistakes: Mistakes) -> None:
    at = ("streams", name)
    for key in ("needs", "needs_per_fps"):
        _look_at_amounts((*at, key), stream.get(key), tables, mistakes)
    on = stream.get("needs_on")
    for device, amounts in on.items() if isinstance(on, dict) else ():
        _look_at_amounts((*at, "needs_on", device), amounts, tables, mistakes)
        look_up((*at, "needs_on", device), device, tables.devices(), "a machine's device", mistakes)
        for resource, amount in amounts.items() if isinstance(amounts, dict) else ():
            if not is_number(amount) or not 0 <= amount <= 1e9:
                path = (*at, "needs_on", device, resource)
                mistakes.add_value(path, amount, AMOUNT_FORM)
        if not isinstance(amounts, dict):
            mistakes.add_value((*at, "needs_on", device), amounts, "amounts, such as { cpu = 0.5 }")
    if not any(stream.get(key) for key in ("needs", "needs_per_fps", "profile")):
        mistakes.add(
            at,
            f"[{dotted(at)}] does not say what a stream needs: expected needs, needs_per_fps "
            "or profile",
        )
    for key in ("needs_per_fps", "profile"):
        if stream.get(key) and "fps" not in stream:
            mistakes.add(at, f"[{dotted(at)}] has {key} and no fps: expected fps")
    if stream.get("profile") and "resolution" not in stream:
        mistakes.add(at, f"[{dotted(at)}] has profile and no resolution: expected resolution")
    cameras = stream.get("cameras")
    if isinstance(cameras, dict) and cameras and len(cameras) != stream.get("count"):
        mistakes.add_value((*at, "count"), stream.get("count"), f"{len(cameras)}, one a camera")
    for key, known, what in (
        ("loads", tables.names("loads"), "[loads.NAME]"),
        ("machines", tables.types(), "[machines.NAME]"),
        ("regions", tables.regions(), "a machine's region"),
    ):
        for index, wanted in texts(stream.get(key)):
            look_up((*at, key, index), wanted, known, what, mistakes)
    for key in ("machines", "regions"):
        if stream.get(key) == []:
            mistakes.add_value((*at, key), [], "a name or more; without it any will do")
    for key in ("max_latency", "min_bandwidth"):
        if key not in stream:
            continue
        if "place" not in stream:
            mistakes.add(at, f"[{dotted(at)}] has {key} and no place: expected place")
        elif isinstance(stream["place"], str) and stream["place"] not in tables.places():
            mistakes.add_value(
                (*at, "place"), stream["place"], f"a place that a [[links]] entry has, for {key}"
            )


def _look_at_machine(
    name: str, machine: dict[str, Any], tables: Tables, mistakes: Mistakes
) -> None:
    at = ("machines", name)
    _look_at_amounts((*at, "capacity"), machine.get("capacity"), tables, mistakes)
    capacity = machine.get("capacity")
    if isinstance(capacity, dict) and not any(amount != 0 for amount in capacity.values()):
        words = "some of its amounts above 0" if capacity else "amounts"
        expected = f"{words}, such as {{ cpu = 4, memory = 7.5 }}"
        mistakes.add_value((*at, "capacity"), capacity, expected)
    if "capacity" not in machine and "price" not in machine:
        mistakes.add(
            at,
            f"[{dotted(at)}] has no capacity: expected such as {{ cpu = 4, memory = 7.5 }}",
        )
    regions = machine.get("regions")
    if regions == {}:
        mistakes.add_value((*at, "regions"), {}, "prices by region, such as { north = 0.19 }")
    if regions and "region" in machine:
        mistakes.add((*at, "region"), f"{dotted(at)}: expected region or regions, not both")
    priced = [key for key in ("usd_per_hour", "regions", "price") if key in machine]
    if machine.get("existing") is True:
        for key in priced:
            mistakes.add((*at, key), f"{dotted((*at, key))}: an existing machine costs nothing")
        if "limit" not in machine:
            mistakes.add(at, f"[{dotted(at)}] is existing and has no limit: expected how many")
    elif not priced:
        mistakes.add(
            at,
            f"[{dotted(at)}] has no price: expected usd_per_hour, regions, price or "
            "existing = true",
        )
    elif len(priced) > 1:
        mistakes.add(
            (*at, priced[1]), f"{dotted(at)}: expected {priced[0]} or {priced[1]}, not both"
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
    path: tuple[str | int, ...], amounts: object, tables: Tables, mistakes: Mistakes
) -> None:
    for resource, amount in amounts.items() if isinstance(amounts, dict) else ():
        if resource not in tables.resources():
            known = nearest(str(resource), tables.resources())
            mistakes.add(
                (*path, resource),
                f"unknown resource {shown(resource)} in {dotted(path)}: {known}; others need "
                "a [resources.NAME] table",
            )
            continue
        most, unit = tables.most(resource)
        if is_number(amount) and most < amount <= _FORM_MOST:
            expected = f"{most:,.0f} {unit} at most; its amounts are in {unit}"
            mistakes.add_value((*path, resource), amount, expected)


def _look_at_shares(document: dict[str, Any], mistakes: Mistakes) -> None:
    target, overload = document.get("target", 0.7), document.get("overload")
    if is_number(target) and is_number(overload) and 0 < overload < target <= 1:
        expected = f"target, {target:g}, or more: machines would be planned too full"
        mistakes.add_value(("overload",), overload, expected)
