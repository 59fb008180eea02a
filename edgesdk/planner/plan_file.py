"""The input of ``edgesdk plan``: TOML or JSON of the planner's own form.

Every mistake is told at once, each with file, line, field, value and what was expected. Amounts
become whole numbers here, needs rounded up and capacities down: a plan that holds in them holds.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from decimal import ROUND_CEILING, ROUND_FLOOR, Decimal
from typing import Any, Literal

from edgesdk.durations import DURATION_FORM, parse_duration
from edgesdk.planner.plan_entries import (
    Latency,
    PlanInput,
    StreamEntry,
)
from edgesdk.planner.problem import PPM, MachineType, Problem, Resource, StreamClass, Together
from edgesdk.toml.structs import Mistakes, nearest, read_struct

__all__ = ["Estimate", "Estimator", "problem_of", "read_plan_input"]

STANDARD = {
    "cpu": Resource("cpu", "cores", 1_000_000),
    "memory": Resource("memory", "GB", 1_000_000),
    "accelerator": Resource("accelerator", "accelerators", 1_000_000),
    "network": Resource("network", "Mb/s", 1_000),
    "residents": Resource("residents", "models", 1, whole=True),
}
"""Resources that need no table of their own, and the steps in which they are counted."""


@dataclass(frozen=True)
class Estimate:
    """What a test run says that one stream needs, and what a machine pays once for all of them."""

    needs: Mapping[str, float]
    shared: Mapping[str, float]


Estimator = Callable[[str, float, int, int], Estimate]
"""(profile's path, fps, width, height); raises EdgeError where the profile does not tell."""


def read_plan_input(text: str, *, file: str, form: Literal["toml", "json"]) -> PlanInput:
    """The file's tables, checked. Raises ConfigError with every mistake, one a line."""
    return read_struct(text, PlanInput, file=file, form=form, dec_hook=_convert, look=_look)


def problem_of(
    given: PlanInput, *, estimate: Estimator | None = None, target: float | None = None
) -> Problem:
    """The problem that *given* states, in whole units; *target* overrides the file's."""
    resources = _resources(given)
    loads = {
        name: _vector(load.needs, resources, ROUND_CEILING) for name, load in given.loads.items()
    }
    machines = _machines(given, resources)
    classes = []
    for name, stream in given.streams.items():
        needs, shared = _needs(stream, estimate)
        own = tuple(stream.loads)
        if shared:
            loads[f"profile {stream.profile}"] = _vector(shared, resources, ROUND_CEILING)
            own += (f"profile {stream.profile}",)
        classes.append(
            StreamClass(
                name,
                stream.count,
                _vector(needs, resources, ROUND_CEILING),
                {
                    device: _vector({**needs, **amounts}, resources, ROUND_CEILING)
                    for device, amounts in stream.needs_on.items()
                },
                _allowed(stream, given, machines),
                own,
                stream.at_most,
            )
        )
    share = Decimal(repr(given.target if target is None else target))
    return Problem(
        resources,
        tuple(classes),
        machines,
        int(share * PPM),
        int(Decimal(repr(given.overload)) * PPM),
        loads,
        tuple(entry.streams for entry in given.apart),
        tuple(Together(entry.streams, entry.each) for entry in given.together),
    )


def _resources(given: PlanInput) -> tuple[Resource, ...]:
    """Those that any machine has, in a steady order; what no machine states is not limited."""
    stated = {name for machine in given.machines.values() for name in machine.capacity}
    declared = {
        name: Resource(name, entry.unit, entry.steps, entry.whole)
        for name, entry in given.resources.items()
    }
    known = {**STANDARD, **declared}
    return tuple(known[name] for name in known if name in stated)


def _vector(
    amounts: Mapping[str, float], resources: Iterable[Resource], rounding: str
) -> tuple[int, ...]:
    return tuple(
        int((Decimal(repr(amounts.get(r.name, 0.0))) * r.scale).to_integral_value(rounding))
        for r in resources
    )


def _machines(given: PlanInput, resources: tuple[Resource, ...]) -> tuple[MachineType, ...]:
    made = []
    for name, entry in given.machines.items():
        capacity = _vector(entry.capacity, resources, ROUND_FLOOR)
        places = entry.regions or {entry.region or "": entry.usd_per_hour or 0.0}
        for region, price in places.items():
            made.append(
                MachineType(
                    f"{name}@{region}" if entry.regions else name,
                    capacity,
                    0 if entry.existing else int(Decimal(repr(price)) * 1_000_000),
                    entry.limit,
                    entry.device,
                    region,
                )
            )
    return tuple(made)


def _needs(
    stream: StreamEntry, estimate: Estimator | None
) -> tuple[dict[str, float], Mapping[str, float]]:
    """One stream's needs, and those of what it shares with others of its profile."""
    needs = dict(stream.needs)
    for name, each in stream.needs_per_fps.items():
        product = Decimal(repr(each)) * Decimal(repr(stream.fps or 0.0))
        needs[name] = float(Decimal(repr(needs.get(name, 0.0))) + product)
    if stream.profile is None or estimate is None:
        return needs, {}
    width, _, height = (stream.resolution or "0x0").partition("x")
    found = estimate(stream.profile, stream.fps or 0.0, int(width), int(height))
    return {**found.needs, **needs}, found.shared


def _allowed(
    stream: StreamEntry, given: PlanInput, machines: tuple[MachineType, ...]
) -> frozenset[str] | None:
    """The types that *stream* may be on, by its own words and by the links from its place."""
    links = {(link.place, link.region): link for link in given.links}
    allowed = set()
    for machine in machines:
        link = links.get((stream.place or "", machine.region))
        latency = link.latency if link else None
        bandwidth = link.bandwidth if link else None
        near = stream.max_latency is None or (latency is not None and latency <= stream.max_latency)
        wide = stream.min_bandwidth is None or (
            bandwidth is not None and bandwidth >= stream.min_bandwidth
        )
        named = not stream.machines or {machine.name, machine.name.partition("@")[0]} & set(
            stream.machines
        )
        if near and wide and named and (not stream.regions or machine.region in stream.regions):
            allowed.add(machine.name)
    return None if len(allowed) == len(machines) else frozenset(allowed)


def _convert(kind: type[Any], value: Any) -> Any:
    if kind is Latency:
        if not isinstance(value, str):
            raise ValueError(f"expected {DURATION_FORM}")
        return Latency(parse_duration(value))
    raise NotImplementedError(kind)


def _look(document: dict[str, Any], mistakes: Mistakes) -> None:
    """What lies between fields: names that nothing answers, and fields that need each other."""
    tables = _Tables(document)
    for name, stream in tables.named("streams"):
        _look_at_stream(name, stream, tables, mistakes)
    for name, machine in tables.named("machines"):
        _look_at_machine(name, machine, tables, mistakes)
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
            found += [machine["region"]] if isinstance(machine.get("region"), str) else []
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
    priced = [key for key in ("usd_per_hour", "regions") if key in machine]
    if machine.get("existing") is True:
        for key in priced:
            mistakes.add((*at, key), f"machines.{name}.{key}: an existing machine costs nothing")
        if "limit" not in machine:
            mistakes.add(at, f"[machines.{name}] is existing and has no limit: expected how many")
    elif not priced:
        mistakes.add(
            at, f"[machines.{name}] has no price: expected usd_per_hour, regions or existing = true"
        )
    elif len(priced) == 2:
        mistakes.add(
            (*at, "regions"), f"machines.{name}: expected usd_per_hour or regions, not both"
        )


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
