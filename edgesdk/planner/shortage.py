"""What is short where no plan can exist, and by how much, in words."""

from __future__ import annotations

import numpy as np

from edgesdk.planner.items import UNLIMITED, Items

__all__ = ["shortages", "unplaced"]


def shortages(items: Items) -> list[str]:
    """Reasons for which there is no plan that need no search; empty where there is none of them.

    A stream that no machine holds; streams that together need more than all the machines that they
    may be on have, of one resource; and equal streams that fit these machines in smaller number.
    """
    return _too_large(items) or _too_many(items) or _too_few_places(items)


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
            found.append(f"{name} may be on no machine type: its location leaves none")
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
        reason = "; ".join(short) or "no machine has enough of every resource at once"
        found.append(f"{name} fits no machine: {reason}")
    return found


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
        places = int(items.limit[types] @ items.most[types, item])
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
        have = items.limit[types] @ items.room[types]
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
