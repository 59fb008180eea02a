"""Who is in the cluster, and the frame groups that its cameras ask inference for.

Both are drawn from the seed alone, or read from a trace, before a policy is chosen: every policy
meets the same.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from random import Random
from typing import NamedTuple

from edgesdk.sim.hardware import CLASSES, KINDS, MODELS, Pool, Service
from edgesdk.sim.parameters import Parameters
from edgesdk.sim.seeded import seeded

__all__ = ["Arrival", "Crash", "NodeSpec", "Workload", "draw", "mix_of", "regroup"]

_S = 1_000_000_000


class Arrival(NamedTuple):
    """A frame group, complete at its camera."""

    at_ns: int
    node: int
    app: int
    """Of its camera: 0, 1, ..."""
    model: int
    """Index in MODELS."""
    items: int
    captured_ns: int
    """Of its oldest frame; the deadline counts from here."""
    captures: tuple[int, ...]
    """Of all of its frames."""


class Crash(NamedTuple):
    at_ns: int
    node: int
    back_ns: int
    """0: never."""


@dataclass(frozen=True, slots=True)
class NodeSpec:
    """A camera and its accelerator; models as indices in MODELS."""

    kind: int
    """Index in CLASSES."""
    region: int
    models: tuple[int, ...]
    """Of its applications."""
    shifted: tuple[int, ...]
    """Of its applications after the shift; the same where it does not shift."""
    residents: tuple[int, ...]
    """Loaded at the start."""


@dataclass(frozen=True, slots=True)
class Workload:
    parameters: Parameters
    service: Service
    pool: Pool
    nodes: list[NodeSpec]
    arrivals: list[Arrival]
    crashes: list[Crash]


def draw(parameters: Parameters) -> Workload:
    """The workload of these parameters; the same for the same parameters, always."""
    kinds = _kinds(parameters)
    models = [_applications(parameters, number) for number in range(parameters.nodes)]
    pool = Pool([kinds.count(k) for k in range(len(CLASSES))], mix_of(models))
    passes = parameters.duty * _PASS_ON + (1 - parameters.duty) * _PASS_OFF
    offered = parameters.nodes * parameters.applications * parameters.fps * passes
    service = Service(parameters.load * pool.rate / offered)
    nodes = _residents(parameters, service, kinds, models)
    return Workload(
        parameters, service, pool, nodes, _arrivals(parameters, nodes), _crashes(parameters)
    )


def mix_of(models: Sequence[tuple[int, ...]]) -> list[float]:
    """The share of each model in what cameras with these applications ask for."""
    mix = [0.0] * len(MODELS)
    for chosen in models:
        for model in chosen:
            mix[model] += 1 / (len(chosen) * len(models))
    return mix


def regroup(workload: Workload, most: Callable[[Arrival], int]) -> Workload:
    """The same frames in groups of at most *most*, for a policy that gathers fewer at a time: a
    part is complete with its last frame, the last part when the whole was."""
    arrivals = []
    for whole in workload.arrivals:
        size = most(whole)
        for start in range(0, whole.items, size):
            part = whole.captures[start : start + size]
            at = part[-1] if len(part) == size else whole.at_ns
            arrivals.append(
                Arrival(at, whole.node, whole.app, whole.model, len(part), part[0], part)
            )
    arrivals.sort()
    return replace(workload, arrivals=arrivals)


_PASS_ON, _PASS_OFF = 0.95, 0.04


def _kinds(parameters: Parameters) -> list[int]:
    """The classes in their shares, by largest remainder, in random order."""
    wanted = [kind.share * parameters.nodes for kind in CLASSES]
    counts = [int(w) for w in wanted]
    by_remainder = sorted(range(len(CLASSES)), key=lambda k: (counts[k] - wanted[k], k))
    for k in by_remainder[: parameters.nodes - sum(counts)]:
        counts[k] += 1
    kinds = [k for k, count in enumerate(counts) for _ in range(count)]
    seeded(parameters.seed, "classes").shuffle(kinds)
    return kinds


def _applications(parameters: Parameters, number: int) -> tuple[int, ...]:
    """Different models by popularity."""
    random = seeded(parameters.seed, "applications", number)
    left = list(range(KINDS))
    chosen = []
    for _ in range(parameters.applications):
        model = random.choices(left, [MODELS[m].popularity for m in left])[0]
        left.remove(model)
        chosen.append(model)
    return tuple(chosen)


def _residents(
    parameters: Parameters, service: Service, kinds: list[int], models: list[tuple[int, ...]]
) -> list[NodeSpec]:
    """Each node holds the models of its own camera that it can serve in time when idle, then,
    where slots are left, others by popularity."""
    nodes = []
    time_left = parameters.deadline_ms * 1e6 - (parameters.group - 1) / parameters.fps * _S
    for number, (kind, own) in enumerate(zip(kinds, models, strict=True)):
        slots = KINDS if parameters.everywhere else CLASSES[kind].slots
        random = seeded(parameters.seed, "residents", number)
        left = [m for m in range(KINDS) if m not in own]
        others: list[int] = []
        while left:
            others.append(random.choices(left, [MODELS[m].popularity for m in left])[0])
            left.remove(others[-1])
        costs = service.costs[kind]
        fast = [m for m in (*own, *others) if costs[m][parameters.group - 1] <= time_left]
        slow = sorted((m for m in range(KINDS) if m not in fast), key=lambda m: (costs[m][0], m))
        held = (fast + slow)[:slots]
        nodes.append(NodeSpec(kind, number // parameters.region, own, own, tuple(held)))
    return _shifted(parameters, nodes) if parameters.shift_at_s else nodes


def _shifted(parameters: Parameters, nodes: list[NodeSpec]) -> list[NodeSpec]:
    """Half of the cameras will turn to the twins of their models; one node holds each twin, in
    the place of its least popular model if it has no other."""
    random = seeded(parameters.seed, "shift")
    turning = set(random.sample(range(len(nodes)), len(nodes) // 2))
    able = [n for n, node in enumerate(nodes) if CLASSES[node.kind].slots > 2]
    able = able or list(range(len(nodes)))
    holders = random.sample(able, min(KINDS, len(able)))
    gained: dict[int, list[int]] = {}
    for index in range(KINDS):
        gained.setdefault(holders[index % len(holders)], []).append(KINDS + index)
    changed = []
    for number, node in enumerate(nodes):
        slots = KINDS if parameters.everywhere else CLASSES[node.kind].slots
        twins = tuple(gained.get(number, ()))
        kept = node.residents[: max(slots - len(twins), 0)]
        after = tuple(m + KINDS for m in node.models) if number in turning else node.models
        changed.append(
            NodeSpec(node.kind, node.region, node.models, after, (*kept, *twins)[: max(slots, 1)])
        )
    return changed


def _arrivals(parameters: Parameters, nodes: list[NodeSpec]) -> list[Arrival]:
    regions = {
        region: list(_bursts(parameters, seeded(parameters.seed, "region", region)))
        for region in sorted({node.region for node in nodes})
    }
    arrivals: list[Arrival] = []
    for number, node in enumerate(nodes):
        random = seeded(parameters.seed, "camera", number)
        own = list(_bursts(parameters, random))
        follows = random.random() < parameters.correlation
        arrivals += _groups(
            parameters, number, node, regions[node.region] if follows else own, random
        )
    arrivals.sort()
    return arrivals


def _bursts(parameters: Parameters, random: Random) -> Iterator[tuple[float, float]]:
    """When there is motion, in s: exponential on and off times, stationary from the start."""
    now, moving = 0.0, random.random() < parameters.duty
    while now < parameters.duration_s:
        duty = parameters.duty * (
            1 + parameters.diurnal * math.sin(2 * math.pi * now / parameters.day_s)
        )
        duty = min(max(duty, 0.01), 0.99)
        mean = parameters.burst_s if moving else parameters.burst_s * (1 - duty) / duty
        ends = now + random.expovariate(1 / mean)
        if moving:
            yield now, ends
        now, moving = ends, not moving


def _groups(
    parameters: Parameters,
    number: int,
    node: NodeSpec,
    bursts: list[tuple[float, float]],
    random: Random,
) -> Iterator[Arrival]:
    """A group is complete with its last frame, or when as many periods have passed as it could
    hold frames; the gate is the camera's, so that all applications get the same frames."""
    period = 1 / parameters.fps
    window = round(parameters.group * period * _S)
    shift = round(parameters.shift_at_s * _S)
    now = random.random() * period
    burst = 0
    captures: list[int] = []

    def complete(at: int) -> Iterator[Arrival]:
        first = captures[0]
        models = node.shifted if shift and first >= shift else node.models
        frames = tuple(captures)
        for app, model in enumerate(models):
            yield Arrival(at, number, app, model, len(frames), first, frames)
        captures.clear()

    while now < parameters.duration_s:
        while burst < len(bursts) and bursts[burst][1] <= now:
            burst += 1
        moving = burst < len(bursts) and bursts[burst][0] <= now
        captured = round(now * _S)
        if captures and captured > captures[0] + window:
            yield from complete(captures[0] + window)
        if random.random() < (_PASS_ON if moving else _PASS_OFF):
            captures.append(captured)
            if len(captures) == parameters.group:
                yield from complete(captured)
        now += period
    if captures:
        yield from complete(captures[0] + window)


def _crashes(parameters: Parameters) -> list[Crash]:
    random = seeded(parameters.seed, "crashes")
    found = []

    def back(at: float) -> int:
        return round((at + parameters.repair_s) * _S) if parameters.repair_s else 0

    if parameters.crash_share:
        struck = random.sample(
            range(parameters.nodes), round(parameters.crash_share * parameters.nodes)
        )
        at = parameters.crash_at_s
        found += [Crash(round(at * _S), number, back(at)) for number in sorted(struck)]
    if parameters.crashes_per_minute:
        for number in range(parameters.nodes):
            at = random.expovariate(parameters.crashes_per_minute / 60)
            while at < parameters.duration_s:
                found.append(Crash(round(at * _S), number, back(at)))
                if not parameters.repair_s:
                    break
                at += parameters.repair_s + random.expovariate(parameters.crashes_per_minute / 60)
    return sorted(found)
