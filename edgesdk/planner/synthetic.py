"""Problems drawn at random, for tests, benchmarks and trying out; equal seeds draw equal ones."""

from __future__ import annotations

import numpy as np

from edgesdk.planner.problem import PPM, MachineType, Problem, Resource, StreamClass, Together

__all__ = ["large_fleet", "own_vectors", "random_problem"]

_NAMES = ("cpu", "memory", "accelerator", "network")


def random_problem(rng: np.random.Generator, *, rules: bool = False) -> Problem:
    """2 to 4 resources, 1 to 60 classes, 1 to 30 types; awkward on purpose.

    Some items equal a cap, some need nothing of a resource, some types have limits (which may
    leave no plan) or cost nothing. With *rules*, loads, apart, together and at_most too.
    """
    resources = int(rng.integers(2, 5))
    types = int(rng.integers(1, 31))
    classes = int(rng.integers(1, 61))
    caps = rng.integers(50, 1000, (types, resources))
    target = int(rng.choice([PPM, 700_000, 900_000]))
    prices = (caps / 1000 * rng.uniform(0.5, 1.5, caps.shape)).sum(axis=1)
    machines = []
    for t in range(types):
        limit = int(rng.integers(0, 20)) if rng.random() < 0.3 else None
        cost = round(float(prices[t]) * 1000) * 1000
        if limit and rng.random() < 0.3:
            cost = 0
        machines.append(MachineType(f"type-{t}", tuple(int(c) for c in caps[t]), cost, limit))
    room = caps * target // PPM
    streams = []
    for c in range(classes):
        t = int(rng.integers(types))
        scale = rng.choice([0.02, 0.1, 0.4, 0.9])
        needs = (rng.random(resources) * scale * room[t]).astype(int)
        if rng.random() < 0.15:
            needs[rng.integers(resources)] = 0
        if rng.random() < 0.1:
            r = int(rng.integers(resources))
            needs[r] = room[t, r]
        if rng.random() < 0.02:
            needs[:] = 0
        allowed = None
        if rng.random() < 0.1:
            allowed = frozenset({f"type-{t}", f"type-{int(rng.integers(types))}"})
        count = int(rng.integers(0, 40)) if rng.random() < 0.95 else int(rng.integers(0, 2000))
        streams.append(
            StreamClass(f"class-{c}", count, tuple(int(n) for n in needs), machines=allowed)
        )
    names = tuple(Resource(name) for name in _NAMES[:resources])
    problem = Problem(names, tuple(streams), tuple(machines), target_ppm=target)
    return _with_rules(rng, problem) if rules else problem


def _with_rules(rng: np.random.Generator, problem: Problem) -> Problem:
    width = len(problem.resources)
    loads = {
        f"model-{m}": tuple(int(n) for n in rng.integers(0, 60, width))
        for m in range(int(rng.integers(1, 5)))
    }
    classes = []
    for c in problem.classes:
        shared = tuple(name for name in loads if rng.random() < 0.4)
        most = int(rng.integers(1, 5)) if rng.random() < 0.2 else None
        classes.append(StreamClass(c.name, c.count, c.needs, {}, c.machines, shared, most))
    order = rng.permutation(len(classes))
    together = []
    if len(order) >= 6:
        first, second = (classes[i] for i in order[:2])
        classes[order[1]] = StreamClass(second.name, first.count, (0,) * width)
        together.append(Together((first.name, second.name)))
    apart = []
    for _ in range(int(rng.integers(0, 3))):
        if len(order) >= 8:
            chosen = rng.choice(order[2:], 3, replace=False)
            apart.append(tuple(classes[i].name for i in chosen))
    return Problem(
        problem.resources,
        tuple(classes),
        problem.machines,
        problem.target_ppm,
        problem.overload_ppm,
        loads,
        tuple(apart),
        tuple(together),
    )


def large_fleet(
    rng: np.random.Generator, *, streams: int = 100_000, classes: int = 50, types: int = 30
) -> Problem:
    """Streams in thousandths of a core, MB and so on, on machines of 2 to 96 cores."""
    cores = rng.choice([2, 4, 8, 16, 32, 48, 64, 96], types)
    memory = cores * rng.choice([2, 4, 8], types)
    network = cores * rng.choice([250, 500, 1000], types)
    prices = cores * 0.035 + memory * 0.0045 + network * 0.00001
    prices = np.round(prices * rng.uniform(0.9, 1.1, types), 3)
    machines = tuple(
        MachineType(
            f"type-{t}",
            (int(cores[t]) * 1000, int(memory[t]) * 1000, int(network[t])),
            round(float(prices[t]) * 1_000_000),
        )
        for t in range(types)
    )
    shares = rng.dirichlet(np.ones(classes))
    counts = np.maximum(1, np.floor(shares * streams)).astype(int)
    counts[0] += streams - counts.sum()
    needs = np.stack(
        [
            rng.integers(10, 1500, classes),
            rng.integers(20, 3000, classes),
            rng.integers(0, 8, classes),
        ],
        axis=1,
    )
    found = tuple(
        StreamClass(f"class-{c}", int(counts[c]), tuple(int(n) for n in needs[c]))
        for c in range(classes)
    )
    resources = (
        Resource("cpu", "cores", 1000),
        Resource("memory", "GB", 1000),
        Resource("network", "Mb/s"),
    )
    return Problem(resources, found, machines)


def own_vectors(rng: np.random.Generator, problem: Problem, *, spread: float = 0.2) -> Problem:
    """*problem* with each stream a class of its own, its needs shaken by *spread* (log-normal)."""
    classes = []
    for c in problem.classes:
        factors = np.exp(spread * rng.standard_normal((c.count, len(c.needs))))
        needs = np.maximum(0, np.rint(np.array(c.needs) * factors)).astype(int)
        classes += [
            StreamClass(f"{c.name}-{i}", 1, tuple(int(n) for n in row))
            for i, row in enumerate(needs)
        ]
    return Problem(
        problem.resources,
        tuple(classes),
        problem.machines,
        problem.target_ppm,
        problem.overload_ppm,
    )
