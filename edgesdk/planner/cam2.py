"""The six scenarios of the paper, in the shape of the project's ``data/cam2_scenarios.json``.

Kaseb, Mohan, Koh, Lu: Cloud Resource Management for Analyzing Big Real-Time Visual Data from
Network Cameras, IEEE Transactions on Cloud Computing 2017. The paper prints its requirement
vectors in figures only; those of the file are reconstructed: an inverse fit to the counts of its
tables.
"""

from __future__ import annotations

import importlib.resources
from typing import Annotated, Any

import msgspec

from edgesdk.errors import UsageError
from edgesdk.planner.problem import PPM, MachineType, Problem, Resource, StreamClass
from edgesdk.toml.structs import Mistakes, nearest, read_struct

__all__ = ["Scenario", "Scenarios", "builtin_scenarios", "read_scenarios", "scenario_problem"]

RESOURCES = (
    Resource("cpu", unit="cores", scale=1_000_000),
    Resource("memory", unit="GB", scale=1_000_000),
)


Name = Annotated[str, msgspec.Meta(min_length=1, max_length=128, description="a name")]
Count = Annotated[
    int, msgspec.Meta(ge=0, le=10**9, description="a whole number, 0 or more, 10^9 at most")
]
Positive = Annotated[float, msgspec.Meta(gt=0, le=1e6, description="a number above 0")]


class InstanceType(msgspec.Struct, frozen=True):
    name: Name
    cores: Positive
    mem_gb: Positive
    usd_per_hour: Annotated[
        float, msgspec.Meta(ge=0, le=1e6, description="dollars an hour, 0 or more")
    ]
    limit: Count | None = None


class ScenarioClass(msgspec.Struct, frozen=True):
    """*cpu_microcores* and *mem_kb* are what one of the *streams* needs."""

    program: Name
    resolution: Name
    fps: Positive
    streams: Count
    cpu_microcores: Count
    mem_kb: Count


class Scenario(msgspec.Struct, frozen=True):
    """*cap*: the share of a machine that is filled at most; *published*: the paper's results."""

    cap: Annotated[float, msgspec.Meta(gt=0, le=1, description="a share above 0, 1 at most")]
    types: Annotated[tuple[Name, ...], msgspec.Meta(description="a list of instance types' names")]
    classes: tuple[ScenarioClass, ...]
    published: dict[str, Any] = {}
    types_note: str = ""
    resolution_mix: str = ""


class Scenarios(msgspec.Struct, frozen=True):
    """The whole file; prices in dollars an hour, capacities of whole machines."""

    instance_types: tuple[InstanceType, ...]
    scenarios: dict[str, Scenario]
    about: str = ""
    units: dict[str, Any] = {}
    requirements: dict[str, Any] = {}
    model: str = ""


def read_scenarios(text: str, *, file: str) -> Scenarios:
    """The scenarios in *text*, which is JSON. Raises ConfigError with every mistake."""
    return read_struct(text, Scenarios, file=file, form="json", look=_look)


def _look(document: dict[str, Any], mistakes: Mistakes) -> None:
    types = document.get("instance_types")
    names = [t.get("name") for t in types if isinstance(t, dict)] if isinstance(types, list) else []
    for index, name in enumerate(names):
        if name in names[:index]:
            mistakes.add_value(("instance_types", index, "name"), name, "each name once")
    scenarios = document.get("scenarios")
    for key, scenario in scenarios.items() if isinstance(scenarios, dict) else ():
        wanted = scenario.get("types") if isinstance(scenario, dict) else None
        for index, name in enumerate(wanted if isinstance(wanted, list) else ()):
            if name not in names:
                known = nearest(str(name), [str(n) for n in names])
                path = ("scenarios", key, "types", index)
                mistakes.add_value(path, name, f"the name of an instance type; {known}")


def builtin_scenarios() -> Scenarios:
    """The project's own copy."""
    data = importlib.resources.files("edgesdk.planner") / "data" / "cam2_scenarios.json"
    return read_scenarios(data.read_text(encoding="utf-8"), file="cam2_scenarios.json")


def scenario_problem(
    scenarios: Scenarios, name: str, *, all_types: bool = False, target_ppm: int | None = None
) -> Problem:
    """One scenario with the paper's types, or with all that the file has."""
    if name not in scenarios.scenarios:
        known = nearest(name, scenarios.scenarios)
        raise UsageError(f"there is no scenario {name!r}: {known}")
    scenario = scenarios.scenarios[name]
    machines = tuple(
        MachineType(
            kind.name,
            (round(kind.cores * 1_000_000), round(kind.mem_gb * 1_000_000)),
            round(kind.usd_per_hour * 1_000_000),
            kind.limit,
        )
        for kind in scenarios.instance_types
        if all_types or kind.name in scenario.types
    )
    labels = [f"{c.program}@{c.resolution}" for c in scenario.classes]
    labels = [
        f"{label}@{c.fps:g}fps" if labels.count(label) > 1 else label
        for label, c in zip(labels, scenario.classes, strict=True)
    ]
    if len(set(labels)) < len(labels):
        labels = [f"{label}#{i + 1}" for i, label in enumerate(labels)]
    classes = tuple(
        StreamClass(label, c.streams, (c.cpu_microcores, c.mem_kb))
        for label, c in zip(labels, scenario.classes, strict=True)
    )
    target = round(scenario.cap * PPM) if target_ppm is None else target_ppm
    return Problem(RESOURCES, classes, machines, target_ppm=target)
