"""The planner against what it should reach: optima, bounds, speed, published instances.

usage: python benchmarks/packing.py [scenarios|random|large|own|incremental|vbp]...
       [--count N] [--folder DIR] [--seconds S] [--every K]

*vbp* wants a folder with SET.csv and SET/*.vbp, and takes each Kth instance at S seconds of CPU.
Times are seconds of the wall and of this process's CPU; on a machine that does other things the
second is the one to trust.
"""

from __future__ import annotations

import argparse
import csv
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np

from edgesdk.errors import PlanError, PlanInfeasible
from edgesdk.planner import moved_streams, repair, replan, solve, verify
from edgesdk.planner.cam2 import builtin_scenarios, scenario_problem
from edgesdk.planner.heuristics import best_first_fit
from edgesdk.planner.items import make_items
from edgesdk.planner.plan import Plan
from edgesdk.planner.problem import Problem
from edgesdk.planner.synthetic import large_fleet, own_vectors, random_problem
from edgesdk.planner.vbp import read_vbp


def timed(problem: Problem, seconds: float, gap: float = 0.0) -> tuple[Plan, str]:
    wall, cpu = time.monotonic(), time.process_time()
    firsts: list[float] = []
    plan = solve(
        problem,
        clock=time.monotonic,
        seconds=seconds,
        gap=gap,
        progress=lambda _: firsts.append(time.monotonic() - wall),
    )
    faults = verify(problem, plan)
    assert not faults, faults
    taken = f"{time.monotonic() - wall:6.2f} s wall {time.process_time() - cpu:6.2f} s cpu"
    return plan, f"{taken}, first plan {firsts[0]:.2f} s"


def scenarios() -> None:
    solve(scenario_problem(builtin_scenarios(), "A"), clock=time.monotonic)  # warm
    for name in builtin_scenarios().scenarios:
        for every in (False, True):
            problem = scenario_problem(builtin_scenarios(), name, all_types=every)
            plan, taken = timed(problem, 60)
            types = "all six" if every else "paper's"
            print(f"{name} {types:8} ${plan.usd_per_hour:7.3f} {plan.status:9} {taken}")


def randomly(count: int = 10_000) -> None:
    cpu = time.process_time()
    dearer = faulty = refused = optimal = 0
    gaps, late, unknown = [], [], []
    for seed in range(count):
        problem = random_problem(np.random.default_rng(seed), rules=seed % 4 == 3)
        try:
            plan = solve(problem, clock=time.process_time, seconds=0.05)
        except PlanInfeasible:
            refused += 1
            continue
        except PlanError:
            late.append(seed)
            try:
                plan = solve(problem, clock=time.process_time, seconds=30)
            except PlanInfeasible:
                refused += 1
                continue
            except PlanError:
                unknown.append(seed)
                continue
        faulty += bool(verify(problem, plan))
        first = best_first_fit(make_items(problem))
        dearer += first.whole and plan.microusd > first.microusd
        optimal += plan.status == "optimal"
        gaps.append(plan.gap)
    print(
        f"{count} random problems at 0.05 s of CPU: {faulty} plans break a rule, "
        f"{dearer} dearer than the best first fit, {optimal} proven optimal, {refused} proven "
        f"to have no plan, {len(late)} of all only at 30 s, {len(unknown)} neither "
        f"planned nor refused {unknown or ''}, "
        f"mean gap {np.mean(gaps):.2%}, {(time.process_time() - cpu) / count:.2f} s cpu each"
    )


def large() -> None:
    for streams in (100_000, 1_000_000):
        problem = large_fleet(np.random.default_rng(0), streams=streams)
        plan, taken = timed(problem, 60, gap=0.0025)
        print(f"{streams} streams, 50 classes, 30 types: gap {plan.gap:.3%} {taken}")


def own() -> None:
    problem = own_vectors(np.random.default_rng(0), scenario_problem(builtin_scenarios(), "3"))
    plan, taken = timed(problem, 20)
    print(f"5310 streams, a vector each: gap {plan.gap:.3%} {taken}")


def incremental() -> None:
    problem = own_vectors(np.random.default_rng(0), scenario_problem(builtin_scenarios(), "3"))
    plan = solve(problem, clock=time.monotonic, seconds=10, gap=0.01)
    wall, cpu = time.monotonic(), time.process_time()
    after = repair(problem, plan, [plan.machines[5].id])
    print(
        f"a machine lost of {len(plan.machines)}: {1000 * (time.monotonic() - wall):.0f} ms wall, "
        f"{1000 * (time.process_time() - cpu):.0f} ms cpu, "
        f"{moved_streams(plan.machines, after.machines)} streams move"
    )
    shared = scenario_problem(builtin_scenarios(), "3", target_ppm=800_000)
    for name, base in (("classes", shared), ("own vectors", problem)):
        before = solve(base, clock=time.monotonic, seconds=10, gap=0.001)
        for seed in range(12):
            changed = shaken(np.random.default_rng(seed), base, least=0.9 if seed == 11 else 0.95)
            cpu = time.process_time()
            found = replan(changed, before, clock=time.process_time, seconds=10)
            extra = found.plan.microusd / found.fresh.microusd - 1
            print(
                f"{name}, demand {'-5 to -10 %' if seed == 11 else '+-5 %'}: "
                f"{found.moved / base.streams():.1%} move for {extra:+.2%}, "
                f"{len(before.machines)} machines become {len(found.plan.machines)}, "
                f"{time.process_time() - cpu:.1f} s cpu"
            )


def shaken(rng: np.random.Generator, problem: Problem, *, least: float) -> Problem:
    """Needs and counts of each class times factors of 0.1 from *least* on."""
    width = len(problem.resources)
    classes = []
    for c in problem.classes:
        factors = rng.uniform(least, least + (0.1 if least > 0.9 else 0.05), width + 1)
        count = round(c.count * factors[-1]) if c.count > 1 else c.count
        needs = tuple(round(n * f) for n, f in zip(c.needs, factors, strict=False))
        classes.append(replace(c, count=count, needs=needs))
    return replace(problem, classes=tuple(classes))


def vbp(folder: Path, seconds: float, every: int) -> None:
    """A row a set, of its instances with a known optimum: the table in docs/planner.md."""
    print("| set | instances | at the optimum | mean gap | worst | published heuristics | CPU |")
    print("|---|---|---|---|---|---|---|")
    for rows in sorted(folder.glob("*.csv")):
        gaps, published = [], []
        cpu = time.process_time()
        known = [row for row in csv.DictReader(rows.open()) if int(row["optimum"]) >= 0]
        for row in known[::every]:
            name, optimum = row["instance"], int(row["optimum"])
            file = folder / rows.stem / f"{name}.vbp"
            if not file.is_file():
                raise SystemExit(f"{file} is not there: unpack {rows.stem}.tar.gz in {folder}")
            problem = read_vbp(file.read_text(), file=name)
            start = time.process_time()
            plan = solve(problem, clock=time.process_time, seconds=seconds)
            taken = time.process_time() - start
            assert not verify(problem, plan), name
            gaps.append(len(plan.machines) / optimum - 1)
            published.append(int(row["best_published_heuristic"]) / optimum - 1)
            print(f"{name} {len(plan.machines)} {optimum} {taken:.2f}", file=sys.stderr, flush=True)
        print(
            f"| {rows.stem} | {len(gaps)} of {len(known)} | {sum(g == 0 for g in gaps)} "
            f"| {np.mean(gaps):.2%} | {max(gaps):.1%} | {np.mean(published):.2%} "
            f"| {time.process_time() - cpu:.0f} s |",
            flush=True,
        )


def main() -> None:
    parts: dict[str, Callable[[], None]] = {
        "scenarios": scenarios,
        "random": randomly,
        "large": large,
        "own": own,
        "incremental": incremental,
    }
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("parts", nargs="*", choices=[*parts, "vbp"], default=list(parts))
    parser.add_argument("--folder", type=Path, help="where the vbp sets lie")
    parser.add_argument("--count", type=int, default=10_000, help="how many random problems")
    parser.add_argument("--seconds", type=float, default=3.0, help="of CPU a vbp instance")
    parser.add_argument("--every", type=int, default=1, metavar="K", help="each Kth vbp instance")
    given = parser.parse_args()
    for part in given.parts:
        if part == "random":
            randomly(given.count)
        elif part != "vbp":
            parts[part]()
        elif given.folder is None:
            parser.error("vbp wants --folder")
        else:
            vbp(given.folder, given.seconds, given.every)


if __name__ == "__main__":
    main()
