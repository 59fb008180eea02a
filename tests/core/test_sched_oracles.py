"""The scheduler against optima that know the future, on job sets small enough to compute them."""

from __future__ import annotations

import random
from dataclasses import dataclass
from functools import cache

import numpy as np
import pytest
from scipy.sparse import csr_matrix
from scipy.sparse.csgraph import maximum_bipartite_matching

from edgesdk.core.sched import Batch, Scheduler


@dataclass(frozen=True)
class Job:
    model: int
    release: int
    deadline: int


Costs = tuple[tuple[int, ...], ...]


def run(jobs: list[Job], costs: Costs) -> int:
    """How many of *jobs* the scheduler ends in time, each in a stream of its own, as they come."""
    sched = Scheduler(max_streams=64)
    app = sched.add_app()
    models = [sched.add_model(cost) for cost in costs]
    streams = [
        sched.add_stream(app, models[job.model], period_ns=0, deadline_ns=1 << 40) for job in jobs
    ]
    waiting = sorted(range(len(jobs)), key=lambda i: jobs[i].release)
    now = met = 0
    while True:
        while waiting and jobs[waiting[0]].release <= now:
            i = waiting.pop(0)
            sched.submit(streams[i], i, deadline_ns=jobs[i].deadline, now_ns=now)
        batch = sched.next(0, now)
        if not isinstance(batch, Batch):
            if not waiting:
                return met
            now = jobs[waiting[0]].release
            continue
        took = costs[batch.model][batch.items - 1]
        now += took
        for i in (i for i in list(waiting) if jobs[i].release < now):
            waiting.remove(i)
            at = jobs[i].release
            sched.submit(streams[i], i, deadline_ns=jobs[i].deadline, now_ns=at)
        sched.done(batch.id, now, took_ns=took)
        met += sum(now <= jobs[i].deadline for i in batch.jobs)


def edf_with_late_drop(jobs: list[Job], costs: Costs) -> int:
    left, now, met = list(jobs), 0, 0
    while left:
        left = [job for job in left if max(now, job.release) + costs[job.model][0] <= job.deadline]
        ready = sorted((j for j in left if j.release <= now), key=lambda j: j.deadline)
        if not ready:
            now = min((job.release for job in left), default=now)
            continue
        head = ready[0]
        cost, batch = costs[head.model], [head]
        for job in ready[1:]:
            if job.model == head.model and len(batch) < len(cost):
                if now + cost[len(batch)] > head.deadline:
                    break
                batch.append(job)
        now += cost[len(batch) - 1]
        met += sum(now <= job.deadline for job in batch)
        left = [job for job in left if not any(job is b for b in batch)]
    return met


def optimum(jobs: list[Job], costs: Costs) -> int:
    """Exhaustive, and clairvoyant."""
    releases = sorted({job.release for job in jobs})

    @cache
    def best(now: int, left: int) -> int:
        most = 0
        later = [release for release in releases if release > now]
        if later:
            most = best(later[0], left)
        for model, cost in enumerate(costs):
            ready = [
                i
                for i, job in enumerate(jobs)
                if left >> i & 1 and job.model == model and job.release <= now
            ]
            for size in range(1, min(len(cost), len(ready)) + 1):
                ends = now + cost[size - 1]
                # What lasts longer is as good later: take the most urgent that last.
                lasting = sorted(
                    (i for i in ready if jobs[i].deadline >= ends), key=lambda i: jobs[i].deadline
                )
                if len(lasting) >= size:
                    rest = left
                    for i in lasting[:size]:
                        rest &= ~(1 << i)
                    most = max(most, size + best(ends, rest))
        return most

    return best(0, (1 << len(jobs)) - 1)


def test_feasible_sets_of_unit_jobs_are_met_as_bipartite_matching_says_they_can() -> None:
    rng, unit, sets = random.Random(1), 10, 0
    while sets < 1000:
        count, slots = rng.randint(1, 24), 30
        jobs = []
        for _ in range(count):
            release = rng.randrange(slots - 1)
            length = rng.randint(1, 8)
            jobs.append(Job(rng.randrange(3), release * unit, min(slots, release + length) * unit))
        possible = np.zeros((count, slots), dtype=np.int8)
        for i, job in enumerate(jobs):
            possible[i, job.release // unit : job.deadline // unit] = 1
        matched = int((maximum_bipartite_matching(csr_matrix(possible), "column") >= 0).sum())
        if matched < count:
            continue
        sets += 1
        assert run(jobs, ((unit,),) * 3) == matched, jobs


def small_set(rng: random.Random, spread: int) -> tuple[list[Job], Costs]:
    costs = tuple(
        tuple(fixed + each * size for size in range(1, 5))
        for fixed, each in ((rng.randint(5, 30), rng.randint(3, 15)) for _ in range(2))
    )
    jobs = []
    for _ in range(rng.randint(2, 8)):
        model, release = rng.randrange(2), rng.randint(0, spread)
        jobs.append(Job(model, release, release + costs[model][0] + rng.randint(0, 120)))
    return jobs, costs


def share_of_optimum(spread: int, sets: int) -> float:
    rng, total = random.Random(2), 0.0
    for _ in range(sets):
        jobs, costs = small_set(rng, spread)
        reached, possible = run(jobs, costs), optimum(jobs, costs)
        assert reached <= possible
        total += reached / possible
    return total / sets


def test_small_sets_with_batches_reach_95_percent_of_the_exhaustive_optimum() -> None:
    assert share_of_optimum(0, 400) >= 0.95


def test_small_sets_that_come_bit_by_bit_lose_little_to_an_optimum_that_knows_the_future() -> None:
    assert share_of_optimum(60, 200) >= 0.90


@pytest.mark.parametrize("spread", [0, 60])
def test_small_sets_are_never_more_than_2_percent_below_edf_with_late_drop(spread: int) -> None:
    rng = random.Random(3)
    for _ in range(1000):
        jobs, costs = small_set(rng, spread)
        reached, plain = run(jobs, costs), edf_with_late_drop(jobs, costs)
        assert reached >= 0.98 * plain, (reached, plain, jobs, costs)
