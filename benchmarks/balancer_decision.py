"""What one decision of the balancer costs at a view of 24.

    python benchmarks/balancer_decision.py [--groups N] [--json]

A node with one resident model, 24 watched peers of four classes that hold some of six models, and
groups that do not fit at home: each decision tests the own scheduler, weighs the candidates, draws,
and packs the offer. *answer* is the other side: unpack an offer, test it on the C scheduler with 8
promises open, and pack the answer. Reach: p50 of a decision at most 50 us.
"""

from __future__ import annotations

import argparse
import json
import random
import statistics
import time

from edgesdk.balance import Balancer, Group, Local, Promise, Reach, Send, Settings
from edgesdk.balance.digest import Digest
from edgesdk.balance.messages import ACCEPT, Answer, Offer, State, unpack
from edgesdk.core.sched import Reservation, Scheduler

MS = 1_000_000
SECOND = 1_000_000_000
MODELS = range(1, 7)
REACH_US = 50


class Node(Local):
    """The C scheduler behind the protocol; a batch of n items takes 30 n ms."""

    def __init__(self, residents: list[int]) -> None:
        self._sched = Scheduler(max_streams=1, max_apps=1)
        self._slots = {
            model: self._sched.add_model([30 * MS * n for n in range(1, 9)]) for model in residents
        }

    def quote(
        self, model: int, items: int, *, release_ns: int, deadline_ns: int, now_ns: int
    ) -> int | None:
        return self._sched.quote(
            self._slots[model],
            items,
            release_ns=release_ns,
            deadline_ns=deadline_ns,
            now_ns=now_ns,
        )

    def reserve(
        self, model: int, items: int, *, release_ns: int, deadline_ns: int, now_ns: int
    ) -> Promise | None:
        kept = self._sched.offer(
            self._slots[model],
            items,
            release_ns=release_ns,
            deadline_ns=deadline_ns,
            now_ns=now_ns,
        )
        return None if kept is None else Promise(kept.id, kept.ends_ns)

    def cancel(self, promise: Promise) -> None:
        self._sched.cancel(Reservation(promise.id, promise.ends_ns))

    def cost_ns(self, model: int, items: int) -> int:
        return 30 * MS * items if model in self._slots else 0

    def residents(self) -> list[int]:
        return list(self._slots)

    def variant(self, model: int) -> int:
        return 0

    def backlog_ns(self, now_ns: int) -> int:
        return 0

    def utilisation(self) -> float:
        return 0.5

    def ready_ns(self, model: int) -> int | None:
        return None

    def loadable(self) -> list[int]:
        return list(MODELS)

    def expected_ns(self, model: int, items: int) -> int:
        return 30 * MS * items

    def slots(self) -> int:
        return 4


def a_balancer(number: int, residents: list[int], rng: random.Random) -> Balancer:
    return Balancer(
        Settings(), node=number, site=0, service_class=0, local=Node(residents), rng=rng
    )


def a_digest(peer: int, sequence: int, rng: random.Random) -> Digest:
    held = (4, *rng.sample([1, 2, 3, 5, 6], peer % 4))
    backlog = rng.randrange(400) * MS
    return Digest(
        peer,
        sequence,
        backlog,
        site=peer % 3,
        service_class=peer % 4,
        residents=len(held),
        utilisation=0.6,
        missed=0,
        missed_rate=0.0,
        served=1.0,
        loading=0,
        ready_ns=0,
        keys=held,
    )


def measure(groups: int) -> dict[str, float]:
    """Microseconds: decisions and answers, p50 and p99."""
    rng = random.Random(1)
    balancer = a_balancer(1, [1, 2, 3], rng)
    executor = a_balancer(2, [4, 5, 6], rng)
    executor.member(1, site=0, now_ns=0)
    now = SECOND
    for peer in range(2, 26):
        balancer.member(peer, site=peer % 3, now_ns=now)
    decisions: list[float] = []
    answers: list[float] = []
    for number in range(groups):
        now += 20 * MS
        balancer.advance(now)
        if number % 400 == 0:  # 8 s: all 24 peers gossip
            for peer in range(2, 26):
                balancer.received(peer, State(a_digest(peer, number, rng)).pack(), now)
        balancer.actions()
        group = Group(number, 4, 0, 4, now, now + SECOND, 1000, 0, 1.0, Reach.CLUSTER)
        before = time.perf_counter_ns()
        balancer.place(group, now)
        actions = balancer.actions()
        decisions.append((time.perf_counter_ns() - before) / 1e3)
        for action in actions:
            message = unpack(action.data) if isinstance(action, Send) else None
            if not isinstance(message, Offer):
                continue
            digest = a_digest(action.peer, number, rng)
            answer = Answer(message.number, ACCEPT, 300 * MS, 120 * MS, bytes(16), digest)
            balancer.received(action.peer, answer.pack(), now + MS)
            balancer.finished(number, now + 2 * MS, wire_ns=MS)
            executor.advance(now)
            executor.actions()
            before = time.perf_counter_ns()
            executor.received(1, action.data, now)
            executor.actions()
            answers.append((time.perf_counter_ns() - before) / 1e3)
    warm = len(decisions) // 10
    decided, answered = sorted(decisions[warm:]), sorted(answers[warm:])
    return {
        "decision_p50_us": round(statistics.median(decided), 1),
        "decision_p99_us": round(decided[len(decided) * 99 // 100], 1),
        "answer_p50_us": round(statistics.median(answered), 1),
        "answer_p99_us": round(answered[len(answered) * 99 // 100], 1),
        "reach_p50_us": REACH_US,
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--groups", type=int, default=20_000)
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    found = measure(options.groups)
    if options.json:
        print(json.dumps(found))
        return
    for name, value in found.items():
        print(f"{name:16} {value:8.1f}")


if __name__ == "__main__":
    main()
