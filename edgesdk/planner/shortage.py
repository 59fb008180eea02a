"""What is short where no plan can exist, and by how much, in words."""

from __future__ import annotations

import numpy as np

from edgesdk.planner.items import UNLIMITED, Items

__all__ = ["least_machines", "shortages", "unplaced"]


def shortages(items: Items) -> list[str]:
    """Reasons for which there is no plan that need no search; empty where there is none of them.

    A stream that no machine holds; streams that together need more than all the machines that they
    may be on have, of one resource; equal streams that fit these machines in smaller number; and
    streams that must be apart, with fewer machines than they need.
    """
    return (
        _too_large(items)
        or _too_many(items)
        or _too_few_places(items)
        or _too_few_for_those_apart(items)
    )


def least_machines(items: Items) -> tuple[int, str]:
    """How many machines any plan has at least, and the class that needs most of them by itself.

    Zero and no name where no machine can be of use.
    """
    if not items.kinds or not items.types:
        return 0, ""
    alone = -(-items.demand // np.maximum(1, items.most.max(axis=0)))
    item = int(np.argmax(alone))
    return int(alone[item]), _name(items, item)


def unplaced(items: Items, left: np.ndarray[tuple[int], np.dtype[np.int64]]) -> list[str]:
    """Who found no place, when *left* of each kind are over."""
    resources = items.problem.resources
    found = []
    for item in np.flatnonzero(left):
        needs = items.need[0][item] * left[item]
        amounts = ", ".join(r.shown(int(n)) for r, n in zip(resources, needs, strict=True))
        found.append(f"{left[item]} of {_name(items, int(item))} find no place: {amounts}")
    return found


def _name(items: Items, item: int) -> str:
    names = dict.fromkeys(name for bundle, _ in items.units[item] for name in bundle)
    few = list(names)[:3]
    return " + ".join(few) + (f" and {len(names) - 3} more" if len(names) > 3 else "")


def _too_large(items: Items) -> list[str]:
    found = []
    problem = items.problem
    for item in np.flatnonzero(~(items.most > 0).any(axis=0)):
        name = _name(items, int(item))
        allowed = [t for t in range(items.types) if _may_be_on(items, int(item), t)]
        if not allowed:
            found.append(f"{name} may be on no machine type: {_why_nowhere(items, int(item))}")
            continue
        own = items.uses[item] @ items.loads if items.uses.size else 0
        short = []
        for r, resource in enumerate(problem.resources):
            most, kind = max((int(items.room[t, r]), t) for t in allowed)
            need = int((items.need[kind][item] + own)[r])
            if need > most:
                short.append(
                    f"{resource.name}: one needs {resource.shown(need)}, the roomiest machine "
                    f"({problem.machines[kind].name}) may be filled to {resource.shown(most)}, "
                    f"short by {resource.shown(need - most)}"
                )
        reason = "; ".join(short) or _over_at_most(items, int(item))
        reason = reason or _short_of_nearest(items, int(item), allowed)
        found.append(f"{name} fits no machine: {reason}")
    return found


def _short_of_nearest(items: Items, item: int, allowed: list[int]) -> str:
    """Each machine lacks something, none the same: what the one that lacks least lacks."""
    own = items.uses[item] @ items.loads if items.uses.size else 0
    lacks = {t: items.need[t][item] + own - items.room[t] for t in allowed}
    nearest = min(allowed, key=lambda t: (lacks[t] / np.maximum(1, items.room[t])).max())
    words = [
        f"{resource.shown(int(lack))} of {resource.name}"
        for resource, lack in zip(items.problem.resources, lacks[nearest], strict=True)
        if lack > 0
    ]
    name = items.problem.machines[nearest].name
    return f"no machine has enough of every resource at once; {name} lacks {', '.join(words)}"


def _why_nowhere(items: Items, item: int) -> str:
    if not items.types:
        return "there is none"
    classes = {c.name: c for c in items.problem.classes}
    members = [classes[name] for name in items.units[item][0][0]]
    if words := [f"of {c.name}, {c.location}" for c in members if c.location]:
        return "; ".join(words)
    open_to = [f"{c.name} on {', '.join(sorted(c.machines or ())) or 'none'}" for c in members]
    if len(members) > 1 and all(c.machines != frozenset() for c in members):
        return f"they must share one, and may be: {'; '.join(open_to)}"
    return "its location leaves none"


def _over_at_most(items: Items, item: int) -> str:
    """Streams that must all share a machine, and of which fewer may."""
    classes = {c.name: c for c in items.problem.classes}
    words = []
    for name, each in items.units[item][0][0].items():
        most = classes[name].at_most
        if most is not None and each > most:
            words.append(
                f"{each} streams of {name} must share a machine and at most {most} may, "
                f"{each - most} too many"
            )
    return "; ".join(words)


def _may_be_on(items: Items, item: int, kind: int) -> bool:
    classes = {c.name: c for c in items.problem.classes}
    machine = items.problem.machines[kind].name
    bundle, _ = items.units[item][0]
    allowed = (classes[name].machines for name in bundle)
    return all(names is None or machine in names for names in allowed)


def _too_few_places(items: Items) -> list[str]:
    """Kinds that by themselves, on empty machines, do not all fit those that there are."""
    found = []
    for item in range(items.kinds):
        types = np.flatnonzero(items.most[:, item] > 0)
        if (items.limit[types] >= UNLIMITED).any():
            continue
        places = sum(int(items.limit[t]) * int(items.most[t, item]) for t in types)
        if places < items.demand[item]:
            machines = ", ".join(
                f"{items.limit[t]} of {items.problem.machines[t].name}" for t in types
            )
            needs = items.need[int(types[0])][item] * (items.demand[item] - places)
            amounts = ", ".join(
                r.shown(int(n)) for r, n in zip(items.problem.resources, needs, strict=True)
            )
            found.append(
                f"{_name(items, item)}: {items.demand[item]} streams, and {machines} hold "
                f"{places} of them at most; short by {amounts}"
            )
    return found


def _too_few_for_those_apart(items: Items) -> list[str]:
    """Kinds that may not be neighbours need machines of their own each."""
    found = []
    for names in items.problem.apart:
        there = [
            item
            for item in range(items.kinds)
            if not set(names).isdisjoint(items.units[item][0][0])
        ]
        types = np.flatnonzero((items.most[:, there] > 0).any(axis=1))
        if len(there) < 2 or (items.limit[types] >= UNLIMITED).any():
            continue
        most = np.maximum(1, items.most[:, there].max(axis=0))
        needed = int((-(-items.demand[there] // most)).sum())
        have = int(items.limit[types].sum())
        if needed > have:
            machines = ", ".join(
                f"{items.limit[t]} of {items.problem.machines[t].name}" for t in types
            )
            apart = ", ".join(names[:5]) + (" and others" if len(names) > 5 else "")
            found.append(
                f"{apart} must be apart and need {needed} machines, and there are {machines}; "
                f"short by {needed - have}"
            )
    return found


def _too_many(items: Items) -> list[str]:
    """For each set of types to which some kinds are confined: their needs against its machines."""
    found = []
    masks = {tuple(row) for row in (items.most > 0).T.tolist()}
    for mask in sorted(masks, key=lambda m: -sum(m)):
        types = np.flatnonzero(mask)
        if (items.limit[types] >= UNLIMITED).any():
            continue
        inside = ~((items.most > 0) & ~np.array(mask)[:, None]).any(axis=0)
        least = np.min(np.stack([items.need[t] for t in types]), axis=0)
        needed = (items.demand * inside) @ least
        if items.uses.size:  # each shared load once at least
            needed = needed + items.uses[inside].any(axis=0) @ items.loads
        have = items.limit[types].astype(object) @ items.room[types].astype(object)
        for r, resource in enumerate(items.problem.resources):
            if needed[r] > have[r]:
                machines = ", ".join(
                    f"{items.limit[t]} of {items.problem.machines[t].name}" for t in types
                )
                found.append(
                    f"{resource.name} is short by {resource.shown(int(needed[r] - have[r]))}: "
                    f"{int((items.demand * inside).sum())} streams need "
                    f"{resource.shown(int(needed[r]))}, and {machines} hold "
                    f"{resource.shown(int(have[r]))} at "
                    f"{items.problem.target_ppm / 10_000:g} %"
                )
    return list(dict.fromkeys(found))
