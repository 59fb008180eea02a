"""What the scheduler promises its caller, case by case."""

from __future__ import annotations

import pytest

from edgesdk.core.sched import Batch, Scheduler, SchedulerFull
from edgesdk.errors import AdmissionRefused, UsageError

FAR = 1 << 50


def ready(sched: Scheduler, now: int, device: int = 0) -> Batch:
    batch = sched.next(device, now)
    assert isinstance(batch, Batch)
    return batch


def finish(sched: Scheduler, batch: Batch, now: int, took: int) -> int:
    sched.done(batch.id, now + took, took_ns=took)
    return now + took


def node(costs: list[int], streams: int = 1, **options: int) -> tuple[Scheduler, int, list[int]]:
    sched = Scheduler(**options)
    app, model = sched.add_app(), sched.add_model(costs)
    made = [sched.add_stream(app, model, period_ns=0, deadline_ns=FAR) for _ in range(streams)]
    return sched, model, made


def test_the_earliest_deadline_runs_first() -> None:
    sched, _, streams = node([10], 3)
    for stream, deadline in zip(streams, (300, 100, 200), strict=True):
        sched.submit(stream, deadline, deadline_ns=deadline, now_ns=0)
    now, order = 0, []
    for _ in streams:
        batch = ready(sched, now)
        order += batch.jobs
        now = finish(sched, batch, now, 10)
    assert order == [100, 200, 300]
    assert sched.next(0, now) is None


def test_a_batch_grows_only_while_its_most_urgent_job_still_ends_in_time() -> None:
    sched, _, streams = node([10, 14, 18, 22], 4)
    for i, stream in enumerate(streams):
        sched.submit(stream, i, deadline_ns=(19, 60, 60, 60)[i], now_ns=0)
    batch = ready(sched, 0)
    assert (batch.items, batch.ends_ns) == (3, 18)
    assert batch.jobs[0] == 0


def test_what_cannot_end_in_time_never_starts() -> None:
    sched, _, streams = node([10])
    sched.submit(streams[0], 1, deadline_ns=9, now_ns=0)
    assert sched.next(0, 0) is None
    assert sched.drops() == [(1, "deadline")]


def test_a_stream_of_depth_one_keeps_only_the_latest_job() -> None:
    sched, _, (stream,) = node([10])
    assert sched.submit(stream, 1, deadline_ns=100, now_ns=0)
    assert sched.submit(stream, 2, deadline_ns=110, now_ns=10)
    assert sched.drops() == [(1, "queue")]
    assert ready(sched, 10).jobs == (2,)


def test_a_deeper_queue_loses_its_oldest_job_first() -> None:
    sched = Scheduler()
    stream = sched.add_stream(
        sched.add_app(), sched.add_model([10]), period_ns=0, deadline_ns=FAR, depth=3
    )
    for job in range(5):
        sched.submit(stream, job, deadline_ns=100 + job, now_ns=job)
    assert sched.drops() == [(0, "queue"), (1, "queue")]


def test_a_deadline_that_can_never_be_kept_is_refused_with_the_one_that_can() -> None:
    sched = Scheduler()
    app, quick, slow = sched.add_app(), sched.add_model([5_000_000]), sched.add_model([20_000_000])
    sched.add_stream(app, slow, period_ns=0, deadline_ns=10**9)
    with pytest.raises(AdmissionRefused, match=r"24 ms cannot be kept.* 25 ms") as refused:
        sched.add_stream(app, quick, period_ns=0, deadline_ns=24_000_000)
    assert refused.value.needed_ns == 25_000_000
    sched.add_stream(app, quick, period_ns=0, deadline_ns=refused.value.needed_ns)


def test_a_model_runs_only_on_its_devices_and_devices_work_side_by_side() -> None:
    sched = Scheduler(devices=2)
    app = sched.add_app()
    only_second = sched.add_model([10], devices=[1])
    anywhere = sched.add_model([10])
    for job, model in enumerate((only_second, anywhere)):
        stream = sched.add_stream(app, model, period_ns=0, deadline_ns=FAR)
        sched.submit(stream, job, deadline_ns=50 + 10 * job, now_ns=0)
    assert ready(sched, 0, device=0).jobs == (1,)
    assert ready(sched, 0, device=1).jobs == (0,)


def test_removing_a_stream_drops_what_waits_and_lets_what_runs_end() -> None:
    sched, _, streams = node([10], 2)
    sched.submit(streams[0], 1, deadline_ns=100, now_ns=0)
    batch = ready(sched, 0)
    sched.submit(streams[0], 2, deadline_ns=200, now_ns=0)
    sched.remove_stream(streams[0])
    assert sched.drops() == [(2, "shutdown")]
    finish(sched, batch, 0, 10)
    assert sched.stats()["done"] == 1
    with pytest.raises(UsageError):
        sched.submit(streams[0], 3, deadline_ns=300, now_ns=10)


def test_the_handle_of_a_removed_stream_does_not_find_its_successor() -> None:
    sched = Scheduler(max_streams=1)
    app, model = sched.add_app(), sched.add_model([10])
    old = sched.add_stream(app, model, period_ns=0, deadline_ns=FAR)
    sched.remove_stream(old)
    new = sched.add_stream(app, model, period_ns=0, deadline_ns=FAR)
    assert sched.submit(new, 1, deadline_ns=100, now_ns=0)
    with pytest.raises(UsageError):
        sched.submit(old, 2, deadline_ns=100, now_ns=0)


def test_shutdown_ends_every_queued_job_and_everything_that_comes_later() -> None:
    sched, _, (stream,) = node([10])
    sched.submit(stream, 1, deadline_ns=100, now_ns=0)
    sched.shutdown()
    assert not sched.submit(stream, 2, deadline_ns=100, now_ns=0)
    assert sched.drops() == [(1, "shutdown"), (2, "shutdown")]
    assert sched.next(0, 0) is None


def test_full_pools_say_which_size_to_raise() -> None:
    sched = Scheduler(max_streams=1, max_jobs=1)
    app, model = sched.add_app(), sched.add_model([10])
    stream = sched.add_stream(app, model, period_ns=0, deadline_ns=FAR)
    with pytest.raises(SchedulerFull, match="max_streams"):
        sched.add_stream(app, model, period_ns=0, deadline_ns=FAR)
    sched.submit(stream, 1, deadline_ns=5, now_ns=0)
    with pytest.raises(SchedulerFull, match="max_jobs"):
        sched.submit(stream, 2, deadline_ns=100, now_ns=0)
    assert sched.next(0, 0) is None
    assert sched.drops() == [(1, "deadline")]
    assert sched.submit(stream, 2, deadline_ns=100, now_ns=0)


@pytest.mark.parametrize(
    "bad",
    [
        lambda s, m, q: s.submit(q, 1, items=2, deadline_ns=9, now_ns=0),
        lambda s, m, q: s.submit(q, 1, items=0, deadline_ns=9, now_ns=0),
        lambda s, m, q: s.submit(q + 1, 1, deadline_ns=9, now_ns=0),
        lambda s, m, q: s.next(1, 0),
        lambda s, m, q: s.done(4711, 0, took_ns=1),
        lambda s, m, q: s.add_app(0),
        lambda s, m, q: s.add_model([]),
        lambda s, m, q: s.add_model([0]),
        lambda s, m, q: s.add_model([10, 9]),
        lambda s, m, q: s.add_model([10], devices=[3]),
        lambda s, m, q: s.cost(m, 2),
        lambda s, m, q: Scheduler(devices=9),
    ],
)
def test_nonsense_is_refused(bad: object) -> None:
    sched, model, (stream,) = node([10])
    with pytest.raises(UsageError):
        bad(sched, model, stream)  # type: ignore[operator]


def test_a_device_gets_no_second_batch_before_the_first_is_done() -> None:
    sched, _, streams = node([10], 2)
    for stream in streams:
        sched.submit(stream, stream, deadline_ns=100, now_ns=0)
    ready(sched, 0)
    with pytest.raises(UsageError, match="device 0 still runs"):
        sched.next(0, 1)


def test_costs_are_learnt_and_carry_over_to_sizes_that_never_ran() -> None:
    sched, model, streams = node([100, 120, 140, 160], 2)
    now = 0
    for _ in range(40):
        for stream in streams:
            sched.submit(stream, stream, deadline_ns=now + 10_000, now_ns=now)
        batch = ready(sched, now)
        assert batch.items == 2
        now = finish(sched, batch, now, 240)
    assert abs(sched.cost(model, 2) - 240) <= 3
    assert abs(sched.cost(model, 4) - 320) <= 4
    assert sched.cost_upper(model, 2) >= sched.cost(model, 2)


def test_the_upper_estimate_covers_all_but_a_few_of_noisy_batches() -> None:
    import random

    rng = random.Random(5)
    sched, model, (stream,) = node([1000])
    now, beyond, rounds = 0, 0, 4000
    for i in range(rounds):
        sched.submit(stream, i, deadline_ns=now + 10**6, now_ns=now)
        batch = ready(sched, now)
        took = max(1, round(rng.gauss(1000, 100)))
        beyond += i >= 500 and took > sched.cost_upper(model, 1)
        now = finish(sched, batch, now, took)
    assert 0 < beyond / (rounds - 500) < 0.05
    assert 1050 < sched.cost_upper(model, 1) < 1500


def test_one_hiccup_does_not_shut_a_stream_out() -> None:
    sched, _, (stream,) = node([10])
    now = 0
    for i in range(30):
        sched.submit(stream, i, deadline_ns=now + 15, now_ns=now)
        now = finish(sched, ready(sched, now), now, 10)
    sched.submit(stream, 99, deadline_ns=now + 15, now_ns=now)
    now = finish(sched, ready(sched, now), now, 10_000)
    tight = sched.add_stream(0, 0, period_ns=0, deadline_ns=15 * 4)
    for i in range(200):
        now += 100
        sched.submit(tight, i, deadline_ns=now + 60, now_ns=now)
        batch = sched.next(0, now)
        sched.drops()
        if isinstance(batch, Batch):
            return
    pytest.fail("never ran again")


def test_the_archive_waits_for_live_work_but_keeps_its_floor() -> None:
    sched = Scheduler()
    live, archive = sched.add_app(), sched.add_app(archive=True)
    model = sched.add_model([1_000_000])
    camera = sched.add_stream(live, model, period_ns=0, deadline_ns=FAR)
    history = sched.add_stream(archive, model, period_ns=0, deadline_ns=FAR)
    now, ran = 0, {1: 0, 2: 0}
    for _ in range(1000):
        sched.submit(camera, 1, deadline_ns=now + 10_000_000, now_ns=now)
        sched.submit(history, 2, deadline_ns=FAR, now_ns=now)
        batch = ready(sched, now)
        ran[batch.jobs[0]] += 1
        now = finish(sched, batch, now, 1_000_000)
        sched.drops()
    assert 5 <= ran[2] <= 20


def test_archive_batches_stay_short() -> None:
    sched = Scheduler()
    archive, model = (
        sched.add_app(archive=True),
        sched.add_model([i * 4_000_000 for i in range(1, 9)]),
    )
    for i in range(8):
        stream = sched.add_stream(archive, model, period_ns=0, deadline_ns=FAR)
        sched.submit(stream, i, deadline_ns=FAR, now_ns=0)
    assert ready(sched, 0).items == 2


def test_stats_of_applications_add_up() -> None:
    sched, _, streams = node([10, 12], 2)
    for stream in streams:
        sched.submit(stream, stream, deadline_ns=100, now_ns=0)
    finish(sched, ready(sched, 0), 0, 12)
    stats = sched.app_stats(0)
    assert (stats["arrived"], stats["done"], stats["dropped"]) == (2, 2, 0)
    assert stats["busy_ns"] == sched.stats()["busy_ns"] == 12
    assert stats["keep_ppm"] == 1_000_000


def test_places_of_removed_applications_and_models_are_given_again() -> None:
    sched = Scheduler(max_models=2, max_apps=2)
    for job in range(50):
        app, model = sched.add_app(), sched.add_model([10, 12])
        stream = sched.add_stream(app, model, period_ns=0, deadline_ns=FAR, depth=2)
        sched.submit(stream, job, deadline_ns=FAR, now_ns=job)
        batch = sched.next(0, job)
        assert isinstance(batch, Batch)
        sched.remove_stream(stream)
        for busy in (lambda m=model: sched.remove_model(m), lambda a=app: sched.remove_app(a)):
            with pytest.raises(UsageError):
                busy()
        sched.done(batch.id, job, took_ns=10)
        sched.remove_model(model)
        sched.remove_app(app)
        assert batch.jobs == (job,)
    stats = sched.stats()
    assert stats["submitted"] == stats["done"] == 50


def test_a_removed_model_answers_no_offer_and_takes_no_stream() -> None:
    sched = Scheduler()
    app, model = sched.add_app(), sched.add_model([10])
    promise = sched.offer(model, 1, release_ns=100, deadline_ns=1000, now_ns=0)
    assert promise is not None
    with pytest.raises(UsageError):
        sched.remove_model(model)
    sched.cancel(promise)
    sched.remove_model(model)
    with pytest.raises(UsageError):
        sched.quote(model, 1, release_ns=100, deadline_ns=1000, now_ns=0)
    with pytest.raises(UsageError):
        sched.add_stream(app, model, period_ns=0, deadline_ns=FAR)


def test_jobs_of_several_sizes_never_make_a_batch_too_large_nor_push_each_other_out() -> None:
    import random

    rng = random.Random(4)
    for _ in range(300):
        scheduler = Scheduler(devices=2)
        most = rng.choice((4, 8))
        model = scheduler.add_model([10 * 1_000_000] * most)
        app = scheduler.add_app()
        streams = [
            scheduler.add_stream(app, model, period_ns=0, deadline_ns=1_000_000_000, depth=64)
            for _ in range(rng.randint(1, 3))
        ]
        sizes: dict[int, int] = {}
        for _ in range(rng.randint(1, 4)):
            # The crops of one frame: as many full jobs as it takes, and a rest, of one deadline.
            stream, due = rng.choice(streams), rng.choice((1_000_000_000, 2_000_000_000))
            for _ in range(rng.randint(1, 3)):
                job = len(sizes) + 1
                sizes[job] = rng.randint(1, most)
                scheduler.submit(stream, job, items=sizes[job], deadline_ns=due, now_ns=0)
        ran: list[int] = []
        now = 0
        while isinstance(batch := scheduler.next(0, now), Batch):
            assert batch.items == sum(sizes[job] for job in batch.jobs) <= most
            ran += batch.jobs
            now += 10 * 1_000_000
            scheduler.done(batch.id, now, took_ns=10 * 1_000_000)
        assert sorted(ran) == sorted(sizes)
        assert scheduler.drops() == []
