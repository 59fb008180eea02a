"""What an executor promises: to its own balancer, and to other nodes. Sessions of stated cost."""

from __future__ import annotations

import random
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from types import SimpleNamespace
from typing import Any

import pytest

from edgesdk.errors import InferFailed, UsageError
from edgesdk.runtime.executor import Executor
from edgesdk.runtime.parts import cut, sizes
from edgesdk.runtime.request import Outcome, Request
from edgesdk.runtime.sessions import LoadedModel

MS = 1_000_000
SECOND = 1_000 * MS


class Session:
    """Takes *cost_ns* a batch; the value of a picture is itself, and 13 breaks it."""

    def __init__(self, cost_ns: int) -> None:
        self.cost_ns = cost_ns
        self.batches: list[int] = []
        self.gate = threading.Event()
        self.gate.set()

    def infer(self, inputs: Any) -> Any:
        assert self.gate.wait(20)
        self.batches.append(len(inputs))
        end = time.monotonic_ns() + self.cost_ns
        if 13 in inputs:
            raise InferFailed("thirteen")
        while (left := end - time.monotonic_ns()) > 0:
            threading.Event().wait(left / 1e9)
        return list(inputs)


class Codec:
    def encode(self, pictures: Sequence[int], batch: int) -> Any:
        return list(pictures), [None] * len(pictures)

    def decode(self, outputs: Any, geometries: Any, **options: Any) -> Any:
        return [(value, *options.values()) for value in outputs]


def model_of(cost_ns: int = 5 * MS, batches: tuple[int, ...] = (1, 2, 4)) -> LoadedModel:
    costs = tuple(cost_ns + i * MS for i in range(batches[-1]))
    parts: Any = (
        SimpleNamespace(name="m", digest=f"{id(costs):016x}"),
        None,
        "00",
        Codec(),
        Session(cost_ns),
        SimpleNamespace(device="CPU", evidence="real"),
    )
    return LoadedModel(*parts, batches, costs)


class Bench:
    """An executor and the outcomes that it reported."""

    def __init__(self, *models: LoadedModel) -> None:
        self.outcomes: list[Outcome] = []
        self.executor = Executor("CPU", self._report, lanes=1)
        for model in models:
            self.executor.add_model(model)
        self.executor.start()

    def _report(self, outcomes: Sequence[Outcome]) -> None:
        self.outcomes += outcomes

    def request(self, model: LoadedModel, pictures: Sequence[Any], **said: Any) -> Request:
        deadline = time.monotonic_ns() + SECOND
        return Request(-1, model, list(pictures), deadline, lambda _: None, **said)

    def reserve(self, model: LoadedModel, items: int, release_ms: int = 200) -> Any:
        now = time.monotonic_ns()
        return self.executor.reserve(
            model,
            items,
            release_ns=now + release_ms * MS,
            deadline_ns=now + SECOND,
            now_ns=now,
        )


@pytest.fixture
def bench() -> Iterator[Callable[..., Bench]]:
    made: list[Bench] = []

    def make(*models: LoadedModel) -> Bench:
        made.append(Bench(*models))
        return made[-1]

    yield make
    for one in made:
        assert one.executor.stop(5)


def test_a_claimed_request_ends_in_one_outcome_like_a_submitted_one(
    bench: Callable[..., Bench], wait_for: Callable[..., None]
) -> None:
    model = model_of()
    b = bench(model)
    promise = b.reserve(model, 3)
    request = b.request(model, (1, 2, 3), options=(("score", 0.5),), origin="other")
    assert b.executor.claim([request], promise)
    wait_for(lambda: bool(b.outcomes), "the outcome")
    (outcome,) = b.outcomes
    assert outcome.request is request
    assert outcome.values == [(1, 0.5), (2, 0.5), (3, 0.5)]
    assert outcome.times.infer >= 5 * MS
    assert time.monotonic_ns() <= promise.ends_ns + 200 * MS
    assert (b.executor.executed, b.executor.received) == (1, 1)
    assert b.executor.waiting() == 0


def test_a_promise_is_claimed_once(bench: Callable[..., Bench]) -> None:
    model = model_of()
    b = bench(model)
    promise = b.reserve(model, 1)
    assert b.executor.claim([b.request(model, (1,))], promise)
    assert not b.executor.claim([b.request(model, (1,))], promise)
    cancelled = b.reserve(model, 1)
    b.executor.cancel(cancelled)
    b.executor.cancel(cancelled)
    assert not b.executor.claim([b.request(model, (1,))], cancelled)


def test_a_place_is_claimed_for_as_many_pictures_as_were_promised(
    bench: Callable[..., Bench],
) -> None:
    model = model_of()
    b = bench(model)
    promise = b.reserve(model, 2)
    with pytest.raises(UsageError, match="2 pictures"):
        b.executor.claim([b.request(model, (1,))], promise)
    assert b.executor.claim([b.request(model, (1,)), b.request(model, (2,))], promise)


def test_a_promise_expires_a_tenth_of_a_second_after_its_release(
    bench: Callable[..., Bench], wait_for: Callable[..., None]
) -> None:
    model = model_of()
    b = bench(model)
    promise = b.reserve(model, 2, release_ms=10)
    end = promise.release_ns + 101 * MS
    assert b.executor.backlog_ns(promise.release_ns) > 0
    wait_for(lambda: time.monotonic_ns() > end, "the time")
    assert b.executor.backlog_ns(time.monotonic_ns()) == 0
    assert not b.executor.claim([b.request(model, (1, 2))], promise)
    assert b.outcomes == []
    assert b.executor.waiting() == 0


def test_a_quote_promises_nothing(bench: Callable[..., Bench]) -> None:
    model = model_of(20 * MS)
    b = bench(model)
    for _ in range(5):
        now = time.monotonic_ns()
        ends = b.executor.quote(model, 4, release_ns=now, deadline_ns=now + 100 * MS, now_ns=now)
        assert ends == now + 23 * MS
        assert b.executor.quote(model, 4, release_ns=now, deadline_ns=now + MS, now_ns=now) is None
    assert b.executor.backlog_ns(now) == 0


def test_no_more_is_promised_than_fits(bench: Callable[..., Bench]) -> None:
    model = model_of(100 * MS, (1,))
    b = bench(model)
    kept = [p for p in (b.reserve(model, 1) for _ in range(20)) if p is not None]
    assert 7 <= len(kept) <= 9
    assert len({p.ends_ns for p in kept}) == len(kept)
    b.executor.cancel(kept[0])
    assert b.reserve(model, 1) is not None


@pytest.mark.parametrize("quoted", [False, True])
def test_a_group_beyond_the_largest_batch_is_several_jobs_and_one_outcome(
    bench: Callable[..., Bench], wait_for: Callable[..., None], quoted: bool
) -> None:
    model = model_of(5 * MS, (1, 2))
    b = bench(model)
    if quoted:
        now = time.monotonic_ns()
        ends = b.executor.quote(model, 7, release_ns=now, deadline_ns=now + SECOND, now_ns=now)
        assert ends is not None
        assert ends >= now + 4 * 5 * MS
        assert (
            b.executor.quote(model, 7, release_ns=now, deadline_ns=now + 12 * MS, now_ns=now)
            is None
        )
    requests = [
        b.request(model, (0, 1, 2), options=(("score", 0.1),)),
        b.request(model, (3, 4, 5, 6), options=(("score", 0.2),)),
    ]
    assert b.executor.claim(requests, b.reserve(model, 7))
    wait_for(lambda: len(b.outcomes) == 2, "both outcomes")
    found = {id(o.request): o.values for o in b.outcomes}
    assert found[id(requests[0])] == [(0, 0.1), (1, 0.1), (2, 0.1)]
    assert found[id(requests[1])] == [(3, 0.2), (4, 0.2), (5, 0.2), (6, 0.2)]
    assert max(model.session.batches) <= 2
    assert b.executor.executed == 2
    assert b.executor.waiting() == 0


def test_of_a_group_in_several_jobs_one_failure_fails_that_request_alone(
    bench: Callable[..., Bench], wait_for: Callable[..., None]
) -> None:
    model = model_of(MS, (1, 2))
    b = bench(model)
    broken, whole = b.request(model, (1, 13, 3)), b.request(model, (4, 5))
    assert b.executor.claim([broken, whole], b.reserve(model, 5))
    wait_for(lambda: len(b.outcomes) == 2, "both outcomes")
    by_request = {id(o.request): o for o in b.outcomes}
    assert isinstance(by_request[id(broken)].error, InferFailed)
    assert by_request[id(broken)].values is None
    assert by_request[id(whole)].values == [(4,), (5,)]


def test_a_request_without_a_stream_claims_a_place_or_is_dropped(
    bench: Callable[..., Bench], wait_for: Callable[..., None]
) -> None:
    model, stranger = model_of(20 * MS), model_of()
    b = bench(model)
    b.executor.submit(b.request(model, (1,)))
    hopeless = b.request(model, (1,))
    hopeless.deadline_ns = time.monotonic_ns() + 5 * MS
    b.executor.submit(hopeless)
    b.executor.submit(b.request(stranger, (1,)))
    wait_for(lambda: len(b.outcomes) == 3, "all outcomes")
    assert sorted(o.dropped or "" for o in b.outcomes) == ["", "deadline", "deadline"]
    now = time.monotonic_ns()
    assert b.executor.cost_ns(stranger, 1) == 0
    assert (
        b.executor.quote(stranger, 1, release_ns=now, deadline_ns=now + SECOND, now_ns=now) is None
    )


def test_backlog_counts_what_runs_what_waits_and_what_is_promised(
    bench: Callable[..., Bench], wait_for: Callable[..., None]
) -> None:
    model = model_of(50 * MS, (1,))
    b = bench(model)
    assert b.executor.utilisation() == 0.0
    model.session.gate.clear()
    for _ in range(2):
        assert b.executor.claim([b.request(model, (1,))], b.reserve(model, 1))
    wait_for(lambda: b.executor._load.running_ns(0) > 0, "the start of the first")
    b.reserve(model, 1)
    now = time.monotonic_ns()
    assert 100 * MS < b.executor.backlog_ns(now) <= 150 * MS
    assert b.executor.cost_ns(model, 3) == 150 * MS
    wait_for(lambda: b.executor.utilisation() > 0.1, "some use")
    model.session.gate.set()
    wait_for(lambda: len(b.outcomes) == 2, "the outcomes")
    busy = b.executor.utilisation()
    wait_for(lambda: b.executor.utilisation() < busy, "rest")


def test_what_was_promised_and_claimed_ends_with_the_executor(bench: Callable[..., Bench]) -> None:
    model = model_of(50 * MS, (1,))
    b = bench(model)
    model.session.gate.clear()
    promises = [b.reserve(model, 1) for _ in range(4)]
    for promise in promises[:3]:
        assert b.executor.claim([b.request(model, (1,))], promise)
    model.session.gate.set()
    assert b.executor.stop(5)
    assert len(b.outcomes) == 3
    assert {o.dropped for o in b.outcomes} <= {None, "shutdown"}
    assert not b.executor.claim([b.request(model, (1,))], promises[3])
    assert b.reserve(model, 1) is None


def test_of_many_threads_that_promise_claim_cancel_and_submit_each_request_ends_once(
    bench: Callable[..., Bench], wait_for: Callable[..., None]
) -> None:
    models = [model_of(MS // 2, (1, 2, 4)), model_of(MS // 4, (1,))]
    b = bench(*models)
    app = b.executor.add_app(1.0)
    numbers = [b.executor.add_model(model) for model in models]
    streams = [
        b.executor.add_stream(app, number, period_ns=0, deadline_ns=SECOND, depth=8)
        for number in numbers
    ]
    handed_over: list[Request] = []

    def work(seed: int) -> None:
        rng = random.Random(seed)
        for _ in range(150):
            which = rng.randrange(2)
            items = rng.randint(1, 8)
            request = b.request(models[which], range(100, 100 + items))
            how = rng.random()
            if how < 0.3:
                request.pictures = request.pictures[: models[which].max_batch]
                request.stream = streams[which]
                handed_over.append(request)
                b.executor.submit(request)
                continue
            promise = b.reserve(models[which], items, release_ms=rng.choice((1, 20)))
            b.executor.backlog_ns(time.monotonic_ns())
            if promise is None:
                continue
            if how < 0.5:
                b.executor.cancel(promise)
                assert not b.executor.claim([request], promise)
            elif b.executor.claim([request], promise):
                handed_over.append(request)

    threads = [threading.Thread(target=work, args=(seed,)) for seed in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    wait_for(lambda: len(b.outcomes) >= len(handed_over), "all outcomes")
    assert b.executor.waiting() == 0
    ended = [id(outcome.request) for outcome in b.outcomes]
    assert sorted(ended) == sorted(map(id, handed_over))
    good = [outcome for outcome in b.outcomes if outcome.values is not None]
    assert len(good) == b.executor.executed > 50
    assert {o.dropped for o in b.outcomes} <= {None, "deadline", "queue", "thinned"}


def test_what_was_cancelled_before_its_turn_is_not_computed(
    bench: Callable[..., Bench], wait_for: Callable[..., None]
) -> None:
    model = model_of()
    session: Any = model.session
    b = bench(model)
    session.gate.clear()
    first, second, third = (b.reserve(model, n) for n in (1, 2, 1))
    cancelled = threading.Event()
    assert b.executor.claim([b.request(model, (1,))], first)
    wait_for(lambda: b.executor.waiting() == 0, "the first one runs")
    given_up = b.request(model, (2, 3), origin="other", abandoned=cancelled.is_set)
    assert b.executor.claim([given_up], second)
    assert b.executor.claim([b.request(model, (4,), origin="other")], third)
    cancelled.set()
    session.gate.set()
    wait_for(lambda: len(b.outcomes) == 3, "all three")
    assert sum(session.batches) == 2
    ends = {outcome.request: outcome for outcome in b.outcomes}
    assert ends[given_up].dropped == "cancelled"
    assert sorted(o.values for o in b.outcomes if o.values) == [[(1,)], [(4,)]]
    assert (b.executor.executed, b.executor.received) == (2, 1)


def test_parts_of_a_group_that_was_cancelled_in_between_are_not_computed(
    bench: Callable[..., Bench], wait_for: Callable[..., None]
) -> None:
    model = model_of(batches=(1, 2))
    session: Any = model.session
    b = bench(model)
    session.gate.clear()
    cancelled = threading.Event()
    request = b.request(model, range(6), abandoned=cancelled.is_set)
    assert b.executor.claim([request], b.reserve(model, 6))
    wait_for(lambda: b.executor.waiting() < 3, "the first part runs")
    cancelled.set()
    session.gate.set()
    wait_for(lambda: bool(b.outcomes), "the outcome")
    assert session.batches == [2]
    assert [outcome.dropped for outcome in b.outcomes] == ["cancelled"]


@pytest.mark.parametrize("most", [1, 2, 3, 8])
def test_cut_keeps_every_picture_once_and_in_order(most: int) -> None:
    for counts in ((1,), (8,), (3, 1, 4), (2, 2, 2, 2), (5, 3)):
        requests = []
        first = 0
        for count in counts:
            pictures: Any = list(range(first, first + count))
            requests.append(Request(-1, model_of(), pictures, 0, lambda _: None))
            first += count
        jobs = cut(requests, most)
        lengths = [sum(len(part.pictures) for part in job) for job in jobs]
        assert lengths == sizes(sum(counts), most)
        flat = [p for job in jobs for part in job for p in part.pictures]
        assert flat == list(range(sum(counts)))
