"""News that cannot wait for gossip: a model that came, a need that grew; and how much of it."""

from collections.abc import Callable

import pytest

from edgesdk.balance import Deliver, Load, Promise
from edgesdk.balance.messages import Answer, State, unpack
from edgesdk.balance.rates import Rate
from tests.balance.nodes import MS, SECOND, Machine, Net, a_group

MODEL = 5
COST = 30 * MS


class OneAfterTheOther(Machine):
    """Runs what it promised, in the order of the promises."""

    free_ns = 0

    def quote(self, model, items, *, release_ns, deadline_ns, now_ns):
        ends = max(self.free_ns, release_ns) + self.cost_ns(model, items)
        return ends if ends <= deadline_ns else None

    def reserve(self, model, items, *, release_ns, deadline_ns, now_ns):
        ends = self.quote(
            model, items, release_ns=release_ns, deadline_ns=deadline_ns, now_ns=now_ns
        )
        if ends is None:
            return None
        self.free_ns = ends
        return Promise(0, ends)

    def backlog_ns(self, now_ns):
        return max(0, self.free_ns - now_ns)


def spike(net: Net, *, until: int, each: Callable[[], None] = lambda: None) -> None:
    """Node 1 gets 15 groups of 4 a second, 1.8 times what it can do."""
    number = len(net.log) * 10_000
    while net.now < until:
        number += 1
        end = net.now + 600 * MS
        net.place(1, a_group(number, captured_ns=net.now, deadline_ns=end, payload_bytes=40_000))
        net.run(net.now + SECOND // 15)
        each()


def states(net: Net, source: int) -> list[bytes]:
    return [
        data for node, _, data in net.sent if node == source and isinstance(unpack(data), State)
    ]


@pytest.mark.parametrize("seed", range(10))
def test_an_idle_peer_without_the_model_helps_within_seconds(seed: int) -> None:
    net = Net()
    net.delivers = True
    net.add(1, OneAfterTheOther({MODEL: COST}), seed=seed)
    idle = Machine({}, catalogue={MODEL: COST})
    net.add(2, idle, seed=seed)
    net.run(20 * SECOND)  # gossip has its rhythm, and nothing is missed yet
    began = net.now
    loaded: list[int] = []

    def load_when_told() -> None:
        if not loaded and net.of(Load, 2):
            loaded.append(net.now + SECOND)
            idle.loading[MODEL] = loaded[0]
            net.at(loaded[0], finish)

    def finish() -> None:
        idle.loading.clear()
        idle.load(MODEL)
        net.balancers[2].residents_changed(net.now)

    spike(net, until=began + 8 * SECOND, each=load_when_told)
    assert loaded, "it was never asked to"
    assert loaded[0] - SECOND - began < 5 * SECOND
    at = net.now
    net.log.clear()
    spike(net, until=at + SECOND)
    assert net.of(Deliver, 1), "what it holds is known and used"


def test_a_model_that_came_is_used_at_once() -> None:
    net = Net()
    net.add(1, Machine({}, catalogue={}))
    other = Machine({}, catalogue={MODEL: COST})
    net.add(2, other)
    net.run(20 * SECOND)
    other.load(MODEL)
    net.balancers[2].residents_changed(net.now)
    net.drain()
    net.run(net.now + 2 * MS)
    net.place(1, a_group(1, captured_ns=net.now, deadline_ns=net.now + SECOND))
    net.run(net.now + 10 * MS)
    assert [action.peer for action in net.of(Deliver, 1)] == [2]


def test_residents_that_come_and_go_are_told_once_a_second_at_most_and_the_last_for_sure() -> None:
    net = Net()
    net.add(1, Machine({}))
    other = Machine({}, catalogue={MODEL: COST})
    net.add(2, other)
    net.run(20 * SECOND)
    before = len(states(net, 2))
    for step in range(100):
        other.slots_held = {} if step % 2 else {MODEL: 0}
        net.balancers[2].residents_changed(net.now)
        net.drain()
        net.run(net.now + 50 * MS)
    assert len(states(net, 2)) - before <= 7  # five seconds, and what gossip tells
    net.run(net.now + SECOND)
    seen = net.balancers[1].members()[2]
    assert seen.keys == ()


def test_a_need_that_stays_as_it_is_is_told_once() -> None:
    net = Net()
    net.add(1, OneAfterTheOther({MODEL: COST}))
    net.add(2, Machine({}))
    net.run(20 * SECOND)
    before = len(states(net, 1))
    spike(net, until=net.now + 30 * SECOND)
    assert len(states(net, 1)) - before <= 30 // 8 + 1 + 5


def test_a_rate_is_not_too_low_because_it_has_only_begun() -> None:
    rate = Rate()
    for step in range(20):
        rate.add(3, 100 * SECOND + step * 100 * MS)
    now = 102 * SECOND
    assert rate.a_second(now) < 6
    assert rate.beginning(now) == pytest.approx(30, rel=0.1)
    rate.add(3, 200 * SECOND)
    assert rate.beginning(200 * SECOND) == pytest.approx(3, rel=0.1), "it began anew"


def test_an_answer_that_comes_late_shows_that_its_peer_lives_whatever_it_says() -> None:
    net = Net()
    net.add(1, Machine({}, catalogue={}))
    full = OneAfterTheOther({MODEL: COST})
    net.add(2, full)
    net.run(20 * SECOND)
    full.free_ns = 1 << 62
    kept_back: list[bytes] = []
    net.pass_on = lambda source, target, data: source != 2 or bool(kept_back.append(data))
    net.place(1, a_group(1, captured_ns=net.now, deadline_ns=net.now + SECOND))
    net.run(net.now + 300 * MS)
    peer = net.balancers[1].members()[2]
    assert peer.suspect_ns > net.now
    assert isinstance(unpack(kept_back[0]), Answer)
    net.balancers[1].received(2, kept_back[0], net.now)
    assert peer.suspect_ns <= net.now
