"""One accelerator against queueing theory and its own arithmetic."""

import random

from edgesdk.sim.accelerator import Accelerator
from edgesdk.sim.engine import Engine
from edgesdk.sim.hardware import CLASSES, MODELS, Pool, Service

MS = 1_000_000


class Bench:
    def __init__(self, model: int = 0, kind: int = 0) -> None:
        self.engine = Engine()
        self.ended: dict[int, tuple[float, bool]] = {}
        costs = Service(1.0).costs[kind]
        self.accelerator = Accelerator(self.engine, costs, (model,), self._end)

    def _end(self, job: int, ran: bool) -> None:
        assert job not in self.ended
        self.ended[job] = (self.engine.now / MS, ran)


def test_a_batch_takes_what_the_law_says() -> None:
    costs = Service(1.0).costs
    for kind, (slowdown, overlap) in enumerate(((1, 0.4), (2.5, 0.25), (2, 0.05), (6, 0.05))):
        for batch in (1, 4, 8):
            expected = slowdown * 20 * (overlap + (1 - overlap) * batch)
            assert costs[kind][0][batch - 1] == round(expected * MS)
    assert costs[2][4][0] == 4 * 40 * MS  # a coral takes the two slowest models worse
    assert costs[2][3][0] == 4 * 25 * MS
    assert Service(1.5).costs[3][1][0] == 108 * MS


def test_waiting_follows_the_formula_of_a_queue_with_fixed_service() -> None:
    # M/D/1 without batches: groups of 8 fill a batch.
    bench = Bench()
    service = 20 * (0.4 + 0.6 * 8)
    load = 0.6
    rng = random.Random(7)
    at, arrivals = 0.0, []
    for job in range(6000):
        at += rng.expovariate(load / service)
        arrivals.append(at)
        bench.engine.at(round(at * MS), bench.accelerator.submit, job, 0, 8, round((at + 1e5) * MS))
    bench.engine.run(10**15)
    assert len(bench.ended) == 6000
    waited = [bench.ended[job][0] - at - service for job, at in enumerate(arrivals)]
    theory = load * service / (2 * (1 - load))
    assert abs(sum(waited) / len(waited) / theory - 1) < 0.1
    assert bench.accelerator.busy_ns == 6000 * round(service * MS)


def test_groups_of_one_model_share_a_batch() -> None:
    bench = Bench()
    for job in range(3):
        bench.accelerator.submit(job, 0, 4, 10**12)
    bench.engine.run(10**12)
    first = 20 * (0.4 + 0.6 * 4)
    both = first + 20 * (0.4 + 0.6 * 8)
    assert [end for end, _ in bench.ended.values()] == [first, both, both]


def test_nothing_starts_that_would_be_late() -> None:
    bench = Bench()
    for job in range(40):
        bench.accelerator.submit(job, 0, 4, 300 * MS)
    bench.engine.run(10**12)
    assert len(bench.ended) == 40
    ran = [end for end, ran in bench.ended.values() if ran]
    assert ran
    assert max(ran) <= 300


def test_backlog_is_what_runs_waits_and_is_promised() -> None:
    bench = Bench()
    group = 56 * MS
    bench.accelerator.submit(1, 0, 4, 10**12)
    assert bench.accelerator.backlog_ns() == group
    promise = bench.accelerator.reserve(0, 4, 200 * MS, 10**12)
    assert promise is not None
    bench.engine.run(30 * MS)
    assert bench.accelerator.backlog_ns() == 2 * group - 30 * MS
    bench.accelerator.cancel(promise)
    assert bench.accelerator.backlog_ns() == group - 30 * MS
    bench.accelerator.reserve(0, 4, 200 * MS, 10**12)
    bench.engine.run(400 * MS)
    assert bench.accelerator.backlog_ns() == 0  # nobody came


def test_a_pool_serves_at_most_what_its_prices_say() -> None:
    mix = [model.popularity for model in MODELS]
    pool = Pool([20, 25, 25, 30], mix)
    costs = Service(1.0).costs
    worth = sum(price * count for price, count in zip(pool.prices, (20, 25, 25, 30), strict=True))
    assert abs(worth - 1) < 1e-9
    # Any division of a class's time is worth no more than the time: at the optimum the mix
    # costs exactly one pool.
    cheapest = sum(
        part * min(pool.prices[k] * costs[k][m][7] / 8 for k in range(len(CLASSES)))
        for m, part in enumerate(mix)
        if part
    )
    assert abs(cheapest * pool.rate / 1e9 - 1) < 1e-6
    alone = Pool([1, 0, 0, 0], [1.0] + [0.0] * 11)
    assert abs(alone.rate - 8 / (0.02 * (0.4 + 0.6 * 8))) < 1e-6
