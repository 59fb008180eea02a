"""The input of ``edgesdk plan``: TOML or JSON of the planner's own form.

Every mistake is told at once, each with file, line, field, value and what was expected. Amounts
become whole numbers here, needs rounded up and capacities down: a plan that holds in them holds.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from decimal import ROUND_CEILING, ROUND_FLOOR, Decimal
from functools import cache
from typing import Any, Literal

import msgspec

from edgesdk.durations import DURATION_FORM, parse_duration
from edgesdk.errors import ConfigError, EdgeError
from edgesdk.planner.plan_checks import look_between
from edgesdk.planner.plan_entries import (
    Latency,
    MachineEntry,
    PlanInput,
    StreamEntry,
)
from edgesdk.planner.plan_tables import STANDARD
from edgesdk.planner.prices import PriceList, builtin_prices
from edgesdk.planner.problem import PPM, MachineType, Problem, Resource, StreamClass, Together
from edgesdk.toml.structs import read_struct

__all__ = ["Estimate", "Estimator", "problem_of", "read_plan_input"]


@dataclass(frozen=True)
class Estimate:
    """What a test run says that one stream needs, and what a machine pays once for all of them."""

    needs: Mapping[str, float]
    shared: Mapping[str, float]
    evidence: str = "real"
    source: str = ""


Estimator = Callable[[str, float, int, int], Estimate]
"""(profile's path, fps, width, height); raises EdgeError where the profile does not tell."""


def read_plan_input(
    text: str,
    *,
    file: str,
    form: Literal["toml", "json"],
    prices: Callable[[], PriceList] = builtin_prices,
) -> PlanInput:
    """The file's tables, checked. Raises ConfigError with every mistake, one a line.

    *prices* is asked where a machine refers to the price list.
    """
    known = cache(prices)
    given = read_struct(
        text,
        PlanInput,
        file=file,
        form=form,
        dec_hook=_convert,
        look=lambda document, mistakes: look_between(document, mistakes, known),
    )
    machines = {name: _priced(entry, known) for name, entry in given.machines.items()}
    return msgspec.structs.replace(given, machines=machines)


def _priced(entry: MachineEntry, prices: Callable[[], PriceList]) -> MachineEntry:
    """*entry* with what the price list says of it; what it says itself goes before."""
    if entry.price is None:
        return entry
    found = prices().find(entry.price)
    return msgspec.structs.replace(
        entry,
        capacity={**found.capacity, **entry.capacity},
        usd_per_hour=found.usd_per_hour,
        region=entry.region or found.region,
        price_source=f"{found.reference}: {found.source}",
        price_date=found.date,
    )


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
        needs, shared, evidence, source = _needs(name, stream, estimate)
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
                evidence,
                source,
                _location(stream, given, machines),
            )
        )
    share = Decimal(repr(given.target if target is None else target))
    overload = max(share, Decimal(repr(given.overload)))
    return Problem(
        resources,
        tuple(classes),
        machines,
        int(share * PPM),
        int(overload * PPM),
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
                    entry.price_source,
                    entry.price_date or "",
                )
            )
    return tuple(made)


def _needs(
    name: str, stream: StreamEntry, estimate: Estimator | None
) -> tuple[dict[str, float], Mapping[str, float], str, str]:
    """One stream's needs, those of what it shares with others of its profile, and their origin."""
    needs = dict(stream.needs)
    for resource, each in stream.needs_per_fps.items():
        product = Decimal(repr(each)) * Decimal(repr(stream.fps or 0.0))
        needs[resource] = float(Decimal(repr(needs.get(resource, 0.0))) + product)
    if stream.profile is None or estimate is None:
        return needs, {}, stream.evidence, stream.source
    width, _, height = (stream.resolution or "0x0").partition("x")
    try:
        found = estimate(stream.profile, stream.fps or 0.0, int(width), int(height))
    except EdgeError as error:
        raise ConfigError(f"streams.{name}.profile: {error}") from None
    source = found.source or f"profile {stream.profile}"
    return {**found.needs, **needs}, found.shared, found.evidence, source


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


def _location(stream: StreamEntry, given: PlanInput, machines: tuple[MachineType, ...]) -> str:
    """What keeps *stream* off all machines where it is their place, in words."""
    links = [link for link in given.links if link.place == stream.place]
    used = {machine.region for machine in machines}
    delays = [(link.latency, link.region) for link in links if link.latency is not None]
    widths = [(link.bandwidth, link.region) for link in links if link.bandwidth is not None]
    delays = [found for found in delays if found[1] in used]
    widths = [found for found in widths if found[1] in used]
    words = []
    if stream.max_latency is not None:
        asked = f"max_latency is {stream.max_latency / 1e6:g} ms"
        if not delays:
            words.append(f"{asked}, and no link from {stream.place} states a latency")
        elif min(delays)[0] > stream.max_latency:
            least, region = min(delays)
            over = (least - stream.max_latency) / 1e6
            words.append(f"{asked}, and {region}, the nearest, is {over:g} ms too far")
    if stream.min_bandwidth is not None:
        asked = f"min_bandwidth is {stream.min_bandwidth:g} Mb/s"
        if not widths:
            words.append(f"{asked}, and no link from {stream.place} states a bandwidth")
        elif max(widths)[0] < stream.min_bandwidth:
            most, region = max(widths)
            short = stream.min_bandwidth - most
            words.append(f"{asked}, and {region}, the widest, is {short:g} Mb/s short")
    return "; ".join(words)


def _convert(kind: type[Any], value: Any) -> Any:
    if kind is Latency:
        if not isinstance(value, str):
            raise ValueError(f"expected {DURATION_FORM}")
        return Latency(parse_duration(value))
    raise NotImplementedError(kind)
