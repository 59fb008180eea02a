"""What share of which streams each type of machine is to hold, were machines and streams divisible.

A linear program over groups of streams whose needs have like proportions: every group is split
between the types that its streams may be on, and each type's machines have enough of every resource
for what they are given. Unlike the resources one by one it knows that what is scarce on one type is
not mended by what is plentiful on another. Its duals are prices of each resource on each type; with
them every stream, not only its group, has a value that holds: the cut does not depend on how the
groups were drawn.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from edgesdk.planner.bounds import Cut
from edgesdk.planner.highs import new_highs
from edgesdk.planner.items import UNLIMITED, Items

__all__ = ["Apportioned", "apportion", "apportion_whole"]

Ints = NDArray[np.int64]
Floats = NDArray[np.float64]

_MOST_GROUPS = 256
_NEAR = 1e-3  # of whole machines: nearer costs more time than it saves money
_FEASIBLE = 2  # highspy's kSolutionStatusFeasible
_TINY = 1e-6  # of a resource's total over the streams: what is less has no proportion of its own


@dataclass(frozen=True, eq=False)
class Apportioned:
    """*machines* of each type, by the fraction, shape (types,); *group* of each kind, (kinds,);
    *shares* of each group that go to each type, (groups, types); *cut* holds in every plan."""

    machines: Floats
    group: Ints
    shares: Floats
    cut: Cut


def apportion(items: Items, *, seconds: float) -> Apportioned | None:
    """The cheapest split; None where there is no telling (none found in *seconds*, a relief)."""
    if any(items.problem.relief) or not items.kinds or not items.types:
        return None
    group = _groups(items)
    if group is None:
        return None
    types = _worth_renting(items)
    program = _Program(items, group, types, seconds)
    if not program.solved:
        return None
    prices = np.zeros((items.types, items.room.shape[1]))
    prices[types] = program.prices
    for kind in np.setdiff1d(np.arange(items.types), types):
        prices[kind] = prices[_better(items, int(kind), types)]
    worth = np.full(items.kinds, np.inf)
    for kind in range(items.types):
        there = items.most[kind] > 0
        worth[there] = np.minimum(worth[there], (items.need[kind] @ prices[kind])[there])
    if not np.isfinite(worth).all():
        return None
    cut = Cut((prices * _room(items)).sum(axis=1), float(worth @ items.demand))
    return Apportioned(program.machines, group, program.shares, cut) if cut.value > 0 else None


def apportion_whole(
    items: Items, found: Apportioned, *, spare: float, seconds: float
) -> Apportioned | None:
    """A cheap split by the groups of *found* between whole machines, each type with *spare* room.

    *spare* is a share of what a type's streams need. None where none was found in *seconds*.
    """
    types = np.flatnonzero(found.machines > 0)
    program = _Program(items, found.group, types, seconds, spare=spare, whole=True)
    if not program.solved:
        return None
    return Apportioned(np.rint(program.machines), found.group, program.shares, found.cut)


def _room(items: Items) -> Ints:
    """What each type's machines have for streams, shape (types, resources): a machine that holds
    any has the loads of that one, and so at least what each stream's loads need."""
    if not items.uses.size:
        return items.room
    room: Ints = np.maximum(0, items.room - (items.uses @ items.loads).min(axis=0))
    return room


def _groups(items: Items) -> Ints | None:
    """The group of each kind: the same types are open to them, and their needs are alike.

    The group that is widest in one direction, by weight, is halved until there are enough.
    None where even the types that are open make too many.
    """
    _, group = np.unique((items.most > 0).T, axis=0, return_inverse=True)
    group = group.reshape(-1).astype(np.int64)
    found = int(group.max()) + 1
    if found > _MOST_GROUPS:
        return None
    total = np.maximum(1, items.demand @ items.need[0])
    share = items.need[0] * items.demand[:, None] / total
    weight = share.sum(axis=1)
    way = np.log(np.maximum(share, _TINY * weight[:, None] + 1e-300))
    way -= way.mean(axis=1)[:, None]
    members = [np.flatnonzero(group == g) for g in range(found)]
    widths = [_width(way[m], weight[m]) for m in members]
    while len(members) < _MOST_GROUPS:
        widest = int(np.argmax([width for width, _ in widths]))
        width, axis = widths[widest]
        if width <= 0:
            break
        there = members[widest]
        there = there[np.argsort(way[there, axis], kind="stable")]
        half = int(np.searchsorted(np.cumsum(weight[there]), weight[there].sum() / 2))
        half = min(max(1, half), len(there) - 1)
        members[widest] = there[:half]
        members.append(there[half:])
        widths[widest] = _width(way[members[widest]], weight[members[widest]])
        widths.append(_width(way[members[-1]], weight[members[-1]]))
    for g, there in enumerate(members):
        group[there] = g
    return group


def _width(way: Floats, weight: Floats) -> tuple[float, int]:
    """How far apart the proportions are, by how much that weighs, and in what direction."""
    if len(way) < 2:
        return 0.0, 0
    spread = way.max(axis=0) - way.min(axis=0)
    axis = int(np.argmax(spread))
    return float(spread[axis] * weight.sum()), axis


def _worth_renting(items: Items) -> Ints:
    """The types than which none is better: those that a cheapest split needs."""
    every = np.arange(items.types)
    return np.array([t for t in every if _better(items, int(t), every) == t], np.int64)


def _better(items: Items, kind: int, among: Ints) -> int:
    """A type that there is no end of, with as much of everything for at most the price, or *kind*
    itself where there is none."""
    for other in among:
        better = (
            other != kind
            and items.limit[other] >= UNLIMITED
            and items.price[other] <= items.price[kind]
            and items.need[other] is items.need[kind]
            and (items.room[other] >= items.room[kind]).all()
            and ((items.most[other] > 0) | (items.most[kind] == 0)).all()
        )
        equal = better and _same(items, kind, int(other))
        if better and (not equal or other < kind):
            return int(other)
    return kind


def _same(items: Items, one: int, other: int) -> bool:
    """Whether two types stand for each other in everything that is compared."""
    return bool(
        items.price[one] == items.price[other]
        and items.limit[one] >= UNLIMITED
        and (items.room[one] == items.room[other]).all()
        and ((items.most[one] > 0) == (items.most[other] > 0)).all()
    )


class _Program:
    """The linear program over *group*s and *types*: shares, machines and the resources' prices."""

    def __init__(
        self,
        items: Items,
        group: Ints,
        types: Ints,
        seconds: float,
        *,
        spare: float = 0.0,
        whole: bool = False,
    ) -> None:
        import highspy

        groups = int(group.max()) + 1
        resources = items.room.shape[1]
        scale = np.maximum(1.0, items.demand @ items.need[0])
        needs, pairs = [], []
        for at, kind in enumerate(types):
            total = np.zeros((groups, resources))
            np.add.at(total, group, items.need[kind] * items.demand[:, None])
            needs.append(total * (1 + spare) / scale)
            open_to = np.zeros(groups, bool)
            open_to[group[items.most[kind] > 0]] = True
            pairs += [(int(g), at) for g in np.flatnonzero(open_to)]
        room = _room(items)
        infinite = highspy.kHighsInf
        rows = groups + len(types) * resources
        lp = highspy.HighsLp()
        lp.num_row_, lp.num_col_ = rows, len(pairs) + len(types)
        lp.row_lower_ = np.r_[np.ones(groups), np.full(rows - groups, -infinite)]
        lp.row_upper_ = np.r_[np.full(groups, infinite), np.zeros(rows - groups)]
        limit = items.limit[types]
        upper = np.where(limit >= UNLIMITED, infinite, limit.astype(float))
        lp.col_lower_ = np.zeros(lp.num_col_)
        lp.col_upper_ = np.r_[np.full(len(pairs), infinite), upper]
        unit = max(1.0, float(items.price.max()))
        lp.col_cost_ = np.r_[np.zeros(len(pairs)), items.price[types] / unit]
        starts, index, value = [0], [], []
        for g, at in pairs:
            index += [g, *range(groups + at * resources, groups + (at + 1) * resources)]
            value += [1.0, *needs[at][g]]
            starts.append(len(index))
        for at, kind in enumerate(types):
            index += range(groups + at * resources, groups + (at + 1) * resources)
            value += (-room[kind] / scale).tolist()
            starts.append(len(index))
        lp.a_matrix_.format_ = highspy.MatrixFormat.kColwise
        lp.a_matrix_.start_ = np.array(starts)
        lp.a_matrix_.index_ = np.array(index)
        lp.a_matrix_.value_ = np.array(value)
        highs = new_highs(time_limit=seconds, mip_rel_gap=_NEAR)
        if whole:
            integer, real = highspy.HighsVarType.kInteger, highspy.HighsVarType.kContinuous
            lp.integrality_ = [real] * len(pairs) + [integer] * len(types)
        highs.passModel(lp)
        highs.run()
        done = highs.getModelStatus() == highspy.HighsModelStatus.kOptimal
        self.solved = done or (whole and highs.getInfo().primal_solution_status == _FEASIBLE)
        if not self.solved:
            return
        solution = highs.getSolution()
        found = np.array(solution.col_value)
        self.machines: Floats = np.zeros(items.types)
        self.machines[types] = found[len(pairs) :]
        self.shares: Floats = np.zeros((groups, items.types))
        for (g, at), share in zip(pairs, found, strict=False):
            self.shares[g, types[at]] = max(0.0, share)
        if whole:
            return
        duals = -np.array(solution.row_dual)[groups:].reshape(len(types), resources)
        self.prices: Floats = np.maximum(0.0, duals) * unit / scale
