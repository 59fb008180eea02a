"""The six scenarios of the paper, in the shape of the project's ``data/cam2_scenarios.json``.

Kaseb, Mohan, Koh, Lu: Cloud Resource Management for Analyzing Big Real-Time Visual Data from
Network Cameras, IEEE Transactions on Cloud Computing 2017. The paper prints its requirement
vectors in figures only; those of the file are reconstructed: an inverse fit to the counts of its
tables.
"""

from __future__ import annotations

import importlib.resources
from typing import Any

import msgspec

from edgesdk.planner.problem import PPM, MachineType, Problem, Resource, StreamClass

__all__ = ["Scenario", "Scenarios", "builtin_scenarios", "scenario_problem"]

RESOURCES = (
    Resource("cpu", unit="cores", scale=1_000_000),
    Resource("memory", unit="GB", scale=1_000_000),
)


class InstanceType(msgspec.Struct, frozen=True):
    name: str
    cores: float
    mem_gb: float
    usd_per_hour: float


class ScenarioClass(msgspec.Struct, frozen=True):
    program: str
    resolution: str
    fps: float
    streams: int
    cpu_microcores: int
    mem_kb: int

    @property
    def name(self) -> str:
        return f"{self.program}@{self.resolution}"


class Scenario(msgspec.Struct, frozen=True):
    cap: float
    types: list[str]
    classes: list[ScenarioClass]
    published: dict[str, Any] = {}


class Scenarios(msgspec.Struct, frozen=True):
    """The whole file; prices in dollars an hour, capacities of whole machines."""

    instance_types: list[InstanceType]
    scenarios: dict[str, Scenario]
    about: str = ""


def builtin_scenarios() -> Scenarios:
    """The project's own copy."""
    data = importlib.resources.files("edgesdk.planner") / "data" / "cam2_scenarios.json"
    return msgspec.json.decode(data.read_bytes(), type=Scenarios)


def scenario_problem(
    scenarios: Scenarios, name: str, *, all_types: bool = False, target_ppm: int | None = None
) -> Problem:
    """One scenario with the paper's types, or with all that the file has."""
    scenario = scenarios.scenarios[name]
    machines = tuple(
        MachineType(
            kind.name,
            (round(kind.cores * 1_000_000), round(kind.mem_gb * 1_000_000)),
            round(kind.usd_per_hour * 1_000_000),
        )
        for kind in scenarios.instance_types
        if all_types or kind.name in scenario.types
    )
    classes = tuple(
        StreamClass(c.name, c.streams, (c.cpu_microcores, c.mem_kb)) for c in scenario.classes
    )
    target = round(scenario.cap * PPM) if target_ppm is None else target_ppm
    return Problem(RESOURCES, classes, machines, target_ppm=target)
