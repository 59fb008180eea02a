"""A batch that takes longer than its promise: what is left of the promises is still kept."""

from __future__ import annotations

import pytest

from edgesdk.core.sched import Batch, Scheduler

MS = 1_000_000


@pytest.mark.parametrize(("cost", "batch", "took"), [(40, 1, 200), (40, 4, 300), (20, 2, 150)])
def test_after_a_batch_that_was_far_too_long_the_node_goes_on_at_once(
    cost: int, batch: int, took: int
) -> None:
    scheduler = Scheduler(devices=1)
    model = scheduler.add_model([(cost + 20 * size) * MS for size in range(batch)])
    claimed = 0
    while True:
        place = scheduler.offer(model, 1, release_ns=0, deadline_ns=420 * MS, now_ns=0)
        if place is None:
            break
        claimed += 1
        assert scheduler.claim(place, claimed, now_ns=0)
    assert claimed > 4
    first = scheduler.next(0, 0)
    assert isinstance(first, Batch)
    now = took * MS
    scheduler.done(first.id, now, took_ns=now)
    ended, kept = list(first.jobs), 0
    while scheduler.stats()["queued"]:
        answer = scheduler.next(0, now)
        ended += [job for job, reason in scheduler.drops()]
        if not isinstance(answer, Batch):
            # Nobody would wake a device that is told nothing: what waits must have ended.
            assert not scheduler.stats()["queued"]
            break
        now += cost * MS
        scheduler.done(answer.id, now, took_ns=cost * MS)
        kept += now <= 420 * MS
        ended += answer.jobs
    assert sorted(ended) == list(range(1, claimed + 1))
    assert kept >= (420 - took) // cost // 2
