"""What of an earlier plan still holds for a problem that may have changed in any way."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable

from edgesdk.planner.plan import Machine
from edgesdk.planner.problem import Problem

__all__ = ["carried"]


def carried(problem: Problem, machines: Iterable[Machine]) -> list[Machine]:
    """*machines* with those streams that may be where they are; the others have to be placed anew.

    Left out is what *problem* does not know, forbids there, wants apart, or wants together with
    what is elsewhere; and the machines that hold least where there may not be so many any more.
    Whether a machine is too full is not looked at.
    """
    limits = {m.name: m.limit for m in problem.machines}
    kept: list[Machine] = []
    numbers: Counter[str] = Counter()
    for machine in sorted(machines, key=lambda m: -sum(m.streams.values())):
        limit = limits.get(machine.type, 0)
        if limit is None or numbers[machine.type] < limit:
            numbers[machine.type] += 1
            streams = _lawful(problem, machine.type, dict(machine.streams))
            kept.append(Machine(machine.id, machine.type, streams))
    return kept


def _lawful(problem: Problem, kind: str, streams: dict[str, int]) -> dict[str, int]:
    classes = {c.name: c for c in problem.classes}
    for name, count in list(streams.items()):
        c = classes.get(name)
        if c is None or count < 1 or (c.machines is not None and kind not in c.machines):
            del streams[name]
        elif c.at_most is not None:
            streams[name] = min(count, c.at_most)
    for names in problem.apart:
        there = sorted((n for n in set(names) if n in streams), key=lambda n: (-streams[n], n))
        for name in there[1:]:
            del streams[name]
    for rule in problem.together:
        counts = [streams.pop(name, 0) for name in rule.classes]
        if rule.each == "stream" and min(counts) > 0:
            streams.update(dict.fromkeys(rule.classes, min(counts)))
        elif rule.each == "all" and counts == [classes[n].count for n in rule.classes]:
            streams.update((n, k) for n, k in zip(rule.classes, counts, strict=True) if k)
    return streams
