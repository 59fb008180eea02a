"""After any sequence of calls: every job ends once, the counts add up, and promises are kept."""

from __future__ import annotations

from dataclasses import dataclass, field

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from edgesdk.core.sched import Batch, Reservation, Scheduler

GRACE = 100_000_000


@dataclass
class Running:
    batch: Batch
    started: int
    ends: int


@dataclass
class Open:
    reservation: Reservation
    release: int
    deadline: int


@dataclass
class Ends:
    """Where the model says each job is."""

    queued: set[int] = field(default_factory=set)
    running: set[int] = field(default_factory=set)
    done: set[int] = field(default_factory=set)
    dropped: set[int] = field(default_factory=set)

    def move(self, job: int, source: set[int], target: set[int]) -> None:
        assert job in source, f"job {job} ended twice, or was never submitted"
        source.remove(job)
        target.add(job)


class Node(RuleBasedStateMachine):
    """A node in virtual time whose batches take what was estimated, or less."""

    @initialize(
        devices=st.integers(1, 2),
        models=st.lists(
            st.tuples(st.integers(5, 100), st.integers(0, 40), st.integers(1, 4)),
            min_size=1,
            max_size=3,
        ),
        depths=st.lists(st.integers(1, 3), min_size=1, max_size=5),
    )
    def build(self, devices: int, models: list[tuple[int, int, int]], depths: list[int]) -> None:
        self.sched = Scheduler(devices=devices, max_jobs=64, max_reservations=8)
        self.now, self.serial, self.percent = 0, 0, 100
        self.running: list[Running | None] = [None] * devices
        self.ends, self.open = Ends(), list[Open]()
        self.promised: dict[int, int] = {}
        self.wake: set[int] = set()
        self.models = [
            (self.sched.add_model([first + each * i for i in range(size)]), size)
            for first, each, size in models
        ]
        live, archive = self.sched.add_app(), self.sched.add_app(archive=True)
        self.streams = [
            (
                self.sched.add_stream(
                    archive if i == 4 else live,
                    self.models[i % len(models)][0],
                    period_ns=0,
                    deadline_ns=1 << 50,
                    depth=depth,
                ),
                self.models[i % len(models)][1],
            )
            for i, depth in enumerate(depths)
        ]

    def dispatch(self) -> None:
        for device, busy in enumerate(self.running):
            if busy:
                continue
            found = self.sched.next(device, self.now)
            if isinstance(found, Batch):
                length = max(1, (found.ends_ns - self.now) * self.percent // 100)
                self.running[device] = Running(found, self.now, self.now + length)
                for job in found.jobs:
                    self.ends.move(job, self.ends.queued, self.ends.running)
                assert found.items <= dict(self.models)[found.model]
            elif found is not None:
                assert found > self.now
                self.wake.add(found)
        for job, reason in self.sched.drops():
            self.ends.move(job, self.ends.queued, self.ends.dropped)
            assert job not in self.promised or reason == "shutdown", "a promised job was dropped"

    def events(self) -> list[int]:
        return [busy.ends for busy in self.running if busy] + [t for t in self.wake if t > self.now]

    def pass_time(self, until: int) -> None:
        while (then := min(self.events(), default=until + 1)) <= until:
            self.now = then
            for device, busy in enumerate(self.running):
                if busy and busy.ends == then:
                    self.running[device] = None
                    self.sched.done(busy.batch.id, then, took_ns=then - busy.started)
                    for job in busy.batch.jobs:
                        self.ends.move(job, self.ends.running, self.ends.done)
                        assert then <= self.promised.get(job, then), "a promise was broken"
            self.dispatch()
        self.now = until

    @rule(nanoseconds=st.integers(1, 150), percent=st.integers(1, 100))
    def wait(self, nanoseconds: int, percent: int) -> None:
        self.percent = percent
        self.pass_time(self.now + nanoseconds)

    @rule(which=st.integers(0, 4), items=st.integers(1, 4), slack=st.integers(0, 400))
    def submit(self, which: int, items: int, slack: int) -> None:
        stream, largest = self.streams[which % len(self.streams)]
        if self.sched.stats()["reserved"] + len(self.ends.queued) + len(self.ends.running) >= 60:
            return
        self.serial += 1
        self.ends.queued.add(self.serial)
        queued = self.sched.submit(
            stream,
            self.serial,
            items=min(items, largest),
            deadline_ns=self.now + slack,
            now_ns=self.now,
        )
        assert queued or self.sched.stats()["dropped"]
        self.dispatch()

    @rule(
        which=st.integers(0, 2),
        items=st.integers(1, 4),
        release=st.integers(0, 200),
        slack=st.integers(0, 300),
    )
    def offer(self, which: int, items: int, release: int, slack: int) -> None:
        model, largest = self.models[which % len(self.models)]
        if len(self.open) >= 8:
            return
        release += self.now
        asked = {
            "items": min(items, largest),
            "release_ns": release,
            "deadline_ns": release + slack,
            "now_ns": self.now,
        }
        quoted = self.sched.quote(model, **asked)
        made = self.sched.offer(model, **asked)
        assert (quoted is None) == (made is None), "a quote is what an offer would be answered"
        if made:
            assert quoted == made.ends_ns <= release + slack
            self.open.append(Open(made, release, release + slack))
        self.dispatch()

    @precondition(lambda self: self.open)
    @rule(which=st.integers(0, 7), early=st.integers(0, 100))
    def claim_in_time(self, which: int, early: int) -> None:
        made = self.open.pop(which % len(self.open))
        self.pass_time(max(self.now, made.release - early))
        self.serial += 1
        in_time = self.now <= made.release
        self.ends.queued.add(self.serial)
        if in_time:
            self.promised[self.serial] = made.deadline
        queued = self.sched.claim(made.reservation, self.serial, now_ns=self.now)
        assert queued or not in_time
        self.dispatch()

    @precondition(lambda self: self.open)
    @rule(which=st.integers(0, 7), late=st.integers(1, 100))
    def claim_late(self, which: int, late: int) -> None:
        made = self.open.pop(which % len(self.open))
        self.pass_time(max(self.now, made.release + late))
        self.serial += 1
        self.ends.queued.add(self.serial)
        if self.sched.claim(made.reservation, self.serial, now_ns=self.now):
            self.promised[self.serial] = made.deadline
        self.dispatch()

    @precondition(lambda self: self.open)
    @rule(which=st.integers(0, 7))
    def cancel(self, which: int) -> None:
        made = self.open.pop(which % len(self.open))
        assert self.sched.cancel(made.reservation)
        assert not self.sched.cancel(made.reservation)
        with pytest.raises(KeyError):
            self.sched.claim(made.reservation, 0, now_ns=self.now)
        self.dispatch()

    @precondition(lambda self: self.open)
    @rule()
    def let_all_expire(self) -> None:
        self.pass_time(max(made.release for made in self.open) + GRACE + 1)
        self.sched.expire(self.now)
        assert self.sched.stats()["reserved"] == 0
        self.open.clear()
        self.dispatch()

    @invariant()
    def counts_add_up(self) -> None:
        stats = self.sched.stats()
        for name, model in vars(self.ends).items():
            assert stats[name] == len(model), name
        total = stats["done"] + stats["dropped"] + stats["queued"] + stats["running"]
        assert stats["submitted"] == total == self.serial
        assert stats["reserved"] == len(self.open)
        assert stats["broken"] == 0

    def teardown(self) -> None:
        if not hasattr(self, "sched"):
            return
        self.sched.shutdown()
        self.pass_time(self.now + 1000)
        self.dispatch()
        assert not self.ends.queued
        assert not self.ends.running


Node.TestCase.settings = settings(max_examples=150, stateful_step_count=60, deadline=None)
TestNode = Node.TestCase


def busy_node() -> tuple[Scheduler, int, int, Batch]:
    """A running job of 100, and another of 100 that waits with much time."""
    sched = Scheduler()
    app, own, foreign = sched.add_app(), sched.add_model([100]), sched.add_model([100])
    stream = sched.add_stream(app, own, period_ns=0, deadline_ns=10_000)
    sched.submit(stream, 1, deadline_ns=10_000, now_ns=0)
    running = sched.next(0, 0)
    assert isinstance(running, Batch)
    sched.submit(stream, 2, deadline_ns=10_000, now_ns=0)
    return sched, own, foreign, running


def test_a_job_of_100_that_takes_60_does_not_make_a_reservation_late() -> None:
    sched, _, foreign, running = busy_node()
    promise = sched.offer(foreign, 1, release_ns=100, deadline_ns=210, now_ns=0)
    assert promise
    sched.done(running.id, 60, took_ns=60)
    # Work-conserving EDF would start the waiting job here, to 160, and end the promised one at 260.
    assert sched.next(0, 60) == 101
    assert sched.claim(promise, 7, now_ns=100)
    batch = sched.next(0, 100)
    assert isinstance(batch, Batch)
    assert batch.jobs == (7,)
    assert batch.ends_ns == 200


def test_a_reservation_whose_data_do_not_come_holds_nothing_up() -> None:
    sched, _, foreign, running = busy_node()
    assert sched.offer(foreign, 1, release_ns=100, deadline_ns=210, now_ns=0)
    sched.done(running.id, 60, took_ns=60)
    wait = sched.next(0, 60)
    assert isinstance(wait, int)
    batch = sched.next(0, wait)
    assert isinstance(batch, Batch)
    assert batch.jobs == (2,)


def test_data_that_come_late_must_pass_the_test_again() -> None:
    sched, _, foreign, running = busy_node()
    promise = sched.offer(foreign, 1, release_ns=100, deadline_ns=210, now_ns=0)
    assert promise
    sched.done(running.id, 100, took_ns=100)
    assert isinstance(sched.next(0, 101), Batch)
    assert not sched.claim(promise, 7, now_ns=102)
    assert sched.drops() == [(7, "deadline")]
    assert sched.stats()["broken"] == 0


def test_an_offer_that_would_make_a_queued_job_miss_its_deadline_is_refused() -> None:
    sched = Scheduler()
    app, own, foreign = sched.add_app(), sched.add_model([100]), sched.add_model([100])
    stream = sched.add_stream(app, own, period_ns=0, deadline_ns=1000)
    sched.submit(stream, 1, deadline_ns=150, now_ns=0)
    assert sched.offer(foreign, 1, release_ns=0, deadline_ns=140, now_ns=0) is None
    promise = sched.offer(foreign, 1, release_ns=0, deadline_ns=200, now_ns=0)
    assert promise
    assert promise.ends_ns == 200


def test_promised_jobs_of_a_model_share_a_batch() -> None:
    sched = Scheduler()
    model = sched.add_model([100, 120, 140])
    promises = [sched.offer(model, 1, release_ns=50, deadline_ns=191, now_ns=0) for _ in range(4)]
    assert [promise is not None for promise in promises] == [True, True, True, False]
    for job, promise in enumerate(promises[:3]):
        assert promise
        sched.claim(promise, job, now_ns=50)
    batch = sched.next(0, 50)
    assert isinstance(batch, Batch)
    assert sorted(batch.jobs) == [0, 1, 2]


def test_promises_outrank_what_is_not_promised_when_both_cannot_be_kept() -> None:
    sched = Scheduler()
    app, own, foreign = sched.add_app(), sched.add_model([100]), sched.add_model([100])
    promise = sched.offer(foreign, 1, release_ns=0, deadline_ns=150, now_ns=0)
    assert promise
    sched.claim(promise, 7, now_ns=0)
    stream = sched.add_stream(app, own, period_ns=0, deadline_ns=1000)
    sched.submit(stream, 1, deadline_ns=120, now_ns=0)
    batch = sched.next(0, 0)
    assert isinstance(batch, Batch)
    assert batch.jobs == (7,)


def test_a_shared_batch_keeps_its_promises_when_one_of_its_members_does_not_come() -> None:
    sched = Scheduler()
    model = sched.add_model([100, 100])
    assert sched.offer(model, 1, release_ns=50, deadline_ns=151, now_ns=0)
    other = sched.offer(model, 1, release_ns=40, deadline_ns=151, now_ns=0)
    assert other
    sched.claim(other, 7, now_ns=40)
    wait = sched.next(0, 40)
    assert wait == 51
    batch = sched.next(0, wait)
    assert isinstance(batch, Batch)
    assert batch.ends_ns == 151


def test_a_shared_batch_that_would_break_if_a_member_did_not_come_is_not_promised() -> None:
    sched = Scheduler()
    model = sched.add_model([100, 100])
    assert sched.offer(model, 1, release_ns=50, deadline_ns=150, now_ns=0)
    assert sched.offer(model, 1, release_ns=40, deadline_ns=150, now_ns=0) is None
