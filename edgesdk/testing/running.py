"""Conformance: tickets, threads, the GIL, unloading, and memory over time."""

from __future__ import annotations

import threading
import time
from typing import Any

import numpy as np
import pytest

from edgesdk.errors import (
    UsageError,
)
from edgesdk.inference import (
    Backend,
    LoadOptions,
    ModelFile,
    Session,
    Tensors,
    Ticket,
    open_session,
)
from edgesdk.inference.batching import close, samples
from edgesdk.inference.host import resident_bytes
from edgesdk.testing.harness import Harness
from edgesdk.testing.subjects import Subject, needs, same, stack, unloading


class Running(Harness):
    """How a session behaves over its life."""

    def test_each_ticket_gets_the_answer_to_its_own_inputs(
        self, backend: Backend, session: Session, subject: Subject
    ) -> None:
        asked = samples(session.describe().inputs, 12)
        ended: list[int] = []
        tickets = [session.submit(one, lambda t: ended.append(t.number)) for one in asked]
        for one, ticket in zip(asked, tickets, strict=True):
            same(ticket.result(30), subject.answer(one["image"]))
        numbers = [t.number for t in tickets]
        assert numbers == list(range(numbers[0], numbers[0] + 12))
        # A ticket's callback runs just after its result is there.
        session.submit(asked[0]).result(30)
        assert sorted(ended) == numbers
        if backend.caps.in_order:
            assert ended == numbers

    def test_inputs_may_change_once_submit_returned(
        self, session: Session, subject: Subject
    ) -> None:
        image = stack(session.describe(), 1)["image"]
        want = subject.answer(image.copy())
        tickets = []
        for _ in range(6):
            scratch = image.copy()
            tickets.append(session.submit({"image": scratch}))
            scratch[:] = -1e6
        for ticket in tickets:
            same(ticket.result(30), want)

    def test_a_callback_that_raises_harms_nobody(self, session: Session) -> None:
        inputs = stack(session.describe(), 1)

        def broken(ticket: Ticket) -> None:
            raise RuntimeError("the callback's own fault")

        assert session.submit(inputs, broken).result(30)
        assert session.submit(inputs).result(30)

    def test_threads_that_infer_at_once_get_their_own_answers(
        self, session: Session, subject: Subject
    ) -> None:
        asked = samples(session.describe().inputs, 4)
        wrong: list[Any] = []

        def ask(one: Tensors) -> None:
            want = subject.answer(one["image"])
            for _ in range(10):
                got = session.infer(one)
                wrong.extend(k for k in want if not close(got[k], want[k]))

        threads = [threading.Thread(target=ask, args=(one,)) for one in asked]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(60)
        assert not wrong
        assert not any(t.is_alive() for t in threads)

    def test_the_gil_is_free_during_infer(
        self, backend: Backend, subject: Subject, on: str
    ) -> None:
        model = needs(subject.slow)
        session = open_session(backend, ModelFile.of(model), on, LoadOptions(threads=1))
        with unloading(session):
            inputs = stack(session.describe(), 1)
            session.infer(inputs)
            ticks: list[float] = []
            stop = threading.Event()

            def tick() -> None:
                while not stop.wait(0.001):
                    ticks.append(time.perf_counter())

            ticker = threading.Thread(target=tick)
            ticker.start()
            silent = []
            try:
                for _ in range(6):
                    ticks.clear()
                    start = time.perf_counter()
                    session.infer(inputs)
                    end = time.perf_counter()
                    gaps = np.diff([start, *(t for t in ticks if start < t < end), end])
                    silent.append(float(gaps.max()) / (end - start))
            finally:
                stop.set()
                ticker.join()
        # The best of six: a busy machine silences the ticker too, but not every time.
        assert min(silent) < 0.4, f"of each call another thread was kept out for {silent}"

    def test_unload_twice_is_harmless_and_infer_after_it_says_so(self, fresh: Session) -> None:
        inputs = stack(fresh.describe(), 1)
        fresh.infer(inputs)
        fresh.unload()
        fresh.unload()
        with pytest.raises(UsageError, match="unloaded"):
            fresh.infer(inputs)
        with pytest.raises(UsageError, match="unloaded"):
            fresh.submit(inputs)
        assert fresh.describe().batches
        assert fresh.stats().inferences == 1

    def test_unload_lets_what_was_submitted_end(self, fresh: Session) -> None:
        inputs = stack(fresh.describe(), 1)
        tickets = [fresh.submit(inputs) for _ in range(4)]
        fresh.unload()
        for ticket in tickets:
            assert ticket.done()
            assert ticket.result(0)

    def test_stats_count_inferences_and_rows(self, fresh: Session) -> None:
        spec = fresh.describe()
        largest = spec.batches[-1]
        fresh.infer(stack(spec, 1))
        fresh.infer(stack(spec, largest))
        fresh.submit(stack(spec, 1)).result(30)
        stats = fresh.stats()
        assert (stats.inferences, stats.items, stats.failures) == (3, 2 + largest, 0)
        assert stats.busy_ns > 0

    def test_warm_measures_every_batch(self, session: Session) -> None:
        costs = session.warm()
        assert tuple(sorted(costs)) == session.describe().batches
        assert all(cost > 0 for cost in costs.values())

    def test_inferring_again_and_again_does_not_grow(self, fresh: Session) -> None:
        inputs = stack(fresh.describe(), 1)
        early = 0
        for turn in range(2000):
            fresh.infer(inputs)
            fresh.submit(inputs).result(30)
            if turn == 500:
                early = resident_bytes()
        assert resident_bytes() - early < self.growth_limit // 4

    def test_loading_again_and_again_does_not_grow(
        self, backend: Backend, subject: Subject, on: str
    ) -> None:
        model = ModelFile.of(needs(subject.heavy))
        early = 0
        for cycle in range(self.load_cycles):
            session = open_session(backend, model, on, LoadOptions(threads=1))
            session.infer(stack(session.describe(), 1))
            session.unload()
            if cycle == self.load_cycles // 4:
                early = resident_bytes()
        assert resident_bytes() - early < self.growth_limit
