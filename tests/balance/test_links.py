"""The network guard, the turns on a full link, and the size of groups."""

import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edgesdk.balance import Deliver, Settings
from edgesdk.balance.grouping import group_size
from edgesdk.balance.links import Links
from edgesdk.balance.turns import Turns
from tests.balance.nodes import MS, SECOND, Machine, Net, a_group

ALLOWED = 50 * MS


def test_the_window_shrinks_when_deliveries_are_late_and_grows_when_they_are_not():
    links = Links(Settings())
    link = links.classes[0]
    links.ended(0, excess_ns=80 * MS, allowed_ns=ALLOWED, now_ns=0)
    assert link.window == pytest.approx(8 * 0.7)
    links.ended(0, excess_ns=10 * MS, allowed_ns=ALLOWED, now_ns=0)
    assert link.window == pytest.approx(8 * 0.7 + 0.5)
    for _ in range(300):
        links.ended(0, excess_ns=0, allowed_ns=ALLOWED, now_ns=0)
    assert link.window == 64
    assert links.classes[1].window == 8, "the other class of links is not concerned"


def test_a_full_window_lets_no_group_pass_until_one_has_ended():
    links = Links(Settings())
    rng = random.Random(1)
    for _ in range(8):
        assert links.is_open(0, 0)
        links.send(0, 1000, 0, rng)
    assert not links.is_open(0, 0)
    links.ended(0, excess_ns=0, allowed_ns=ALLOWED, now_ns=0)
    assert links.is_open(0, 0)


def test_a_window_below_one_is_a_pace_however_often_one_looks():
    links = Links(Settings())
    rng = random.Random(1)
    for _ in range(20):
        links.ended(0, excess_ns=SECOND, allowed_ns=ALLOWED, now_ns=0)
    window = links.classes[0].window
    assert window < 0.1
    sent = 0
    for now in range(0, 60 * SECOND, MS):
        if links.is_open(0, now):
            links.send(0, 1000, now, rng)
            links.given_up(0)
            sent += 1
    expected = 60 * SECOND * window / Settings().pace_ns
    assert sent == pytest.approx(expected, rel=0.1)


def test_a_node_is_on_its_own_while_all_its_links_are_slow():
    links = Links(Settings())
    assert not links.narrow(0), "nothing is known yet"
    for _ in range(20):
        links.ended(0, excess_ns=SECOND, allowed_ns=ALLOWED, now_ns=SECOND)
    assert links.narrow(2 * SECOND)
    assert not links.narrow(60 * SECOND), "old news"
    links.ended(1, excess_ns=0, allowed_ns=ALLOWED, now_ns=SECOND)
    assert not links.narrow(2 * SECOND), "other sites are well reached"


def test_promises_of_several_peers_that_came_late_show_a_narrow_way_here():
    links = Links(Settings())
    for n in range(12):
        links.came(n % 3, n * SECOND, kept=False)
    assert links.narrow(12 * SECOND)
    assert not links.narrow(60 * SECOND)
    for _ in range(10):
        links.came(1, 13 * SECOND, kept=True)
    assert not links.narrow(13 * SECOND)


def test_one_peer_that_breaks_its_promises_says_nothing_of_the_network():
    links = Links(Settings())
    for n in range(1000):
        links.came(7, n * MS, kept=False)
        links.came(8, n * MS, kept=True)
    assert not links.narrow(SECOND)


def test_what_waits_in_the_own_interface_is_known_exactly():
    links = Links(Settings(nic_bps=1e7))
    rng = random.Random(1)
    assert links.send(0, 125_000, 0, rng) == 100 * MS
    assert links.send(1, 125_000, 20 * MS, rng) == 180 * MS
    assert links.queue_ns(50 * MS) == 150 * MS
    assert links.full(50 * MS)
    assert not links.full(190 * MS)


@settings(deadline=None)
@given(
    weights=st.lists(st.sampled_from([0.5, 1.0, 3.0, 10.0]), min_size=2, max_size=4),
    sizes=st.lists(st.integers(20_000, 300_000), min_size=4, max_size=4),
)
def test_waiting_applications_send_bytes_by_weight(weights, sizes):
    turns: Turns[int] = Turns()
    sent = [0] * len(weights)
    for app in range(len(weights)):
        turns.wait(app, app)
    for _ in range(2000):
        app = turns.first()
        sent[app] += sizes[app]
        turns.charge(app, weights[app], sizes[app])
        turns.wait(app, app)
    shares = [s / w for s, w in zip(sent, weights, strict=True)]
    one_group = max(size / weight for size, weight in zip(sizes, weights, strict=False))
    assert max(shares) - min(shares) <= 2 * one_group  # the bound of the paper


def test_an_application_that_was_away_has_saved_nothing_up():
    turns: Turns[str] = Turns()
    for _ in range(100):
        turns.charge(0, 1.0, 1000)
    order = []
    for _ in range(3):
        turns.wait(0, "busy")
        turns.wait(1, "back")
    for _ in range(6):
        order.append(turns.first())
        turns.charge(0 if order[-1] == "busy" else 1, 1.0, 1000)
    assert order[:4].count("back") in (2, 3)


def weighed(number, app, weight, size, now):
    """One frame of an application, with a second to go."""
    return a_group(
        number,
        app=app,
        weight=weight,
        items=1,
        payload_bytes=size,
        captured_ns=now,
        deadline_ns=now + SECOND,
    )


def test_two_applications_of_weights_1_and_3_share_a_saturated_link_1_to_3():
    net = Net(nic_bps=1e7)
    net.delivers = True
    net.add(1, Machine({6: MS}), site=1)
    for number in range(2, 10):
        net.add(number, Machine({5: MS}), site=1)
    net.run(2 * SECOND)
    size = 60_000  # 48 ms of the link
    number = 0
    for _ in range(400):
        for app, weight in ((1, 1.0), (2, 3.0)):
            number += 1
            net.place(1, weighed(number, app, weight, size, net.now))
        net.run(net.now + 50 * MS)  # twice what the link carries
    sent = {1: 0, 2: 0}
    for delivery in net.of(Deliver, 1):
        sent[delivery.group.app] += delivery.group.payload_bytes
    assert sum(sent.values()) * 8 > 0.9e7 * 20, "the link is used"
    assert sent[2] / sent[1] == pytest.approx(3, rel=0.1)


@pytest.mark.parametrize("weights", [(1.0, 3.0), (3.0, 1.0), (1.0, 2.0)])
def test_weights_hold_on_a_link_that_is_slower_than_the_node_knows(weights):
    net = Net(nic_bps=1e8)
    net.delivers = True
    free = 0

    def a_tenth_as_fast(arrives, takes):
        nonlocal free
        free = max(free, arrives - takes) + 10 * takes
        return free

    net.into = a_tenth_as_fast
    net.add(1, Machine({6: MS}), site=1)
    net.add(2, Machine({5: MS}), site=1)
    net.run(2 * SECOND)
    sent = {1: 0, 2: 0}
    size, number = 49_000, 0  # 39 ms of the link
    settle = net.now + 10 * SECOND
    while net.now < settle + 20 * SECOND:
        for app, weight in enumerate(weights, 1):
            number += 1
            net.place(1, weighed(number, app, weight, size, net.now))
        net.run(net.now + SECOND // 30)  # more than twice what the link carries
    for delivery in net.of(Deliver, 1):
        if delivery.group.captured_ns > settle:
            sent[delivery.group.app] += size
    assert sent[2] / sent[1] == pytest.approx(weights[1] / weights[0], rel=0.1)
    assert sum(sent.values()) * 8 > 0.85e7 * 20, "the link is used"


def law(base: int, overlap: float = 0.0):
    return lambda n: int(base * (overlap + (1 - overlap) * n))


def test_groups_shrink_with_the_deadline():
    def size(deadline_ns: int) -> int:
        return group_size(deadline_ns=deadline_ns, period_ns=66 * MS, cost_ns=law(30 * MS))

    assert [size(d * MS) for d in (50, 200, 500, 1000, 3000)] == [1, 1, 3, 6, 8]


def test_groups_shrink_with_the_cost_and_the_wire():
    def wire(n):
        return n * 40 * MS

    fast = group_size(deadline_ns=SECOND, period_ns=66 * MS, cost_ns=law(5 * MS))
    slow = group_size(deadline_ns=SECOND, period_ns=66 * MS, cost_ns=law(100 * MS))
    far = group_size(deadline_ns=SECOND, period_ns=66 * MS, cost_ns=law(5 * MS), wire_ns=wire)
    assert fast == 8
    assert slow < fast
    assert far < fast


@settings(deadline=None)
@given(
    deadline=st.integers(1, 5000),
    period=st.integers(1, 500),
    base=st.integers(1, 2000),
    overlap=st.floats(0, 1),
)
def test_the_oldest_frame_of_a_group_has_time_unless_nothing_has(deadline, period, base, overlap):
    cost = law(base * MS, overlap)
    n = group_size(deadline_ns=deadline * MS, period_ns=period * MS, cost_ns=cost)
    assert 1 <= n <= 8
    assert n == 1 or (n - 1) * period * MS + cost(n) <= 0.6 * deadline * MS


def late_promises_of(*peers: int) -> Links:
    links = Links(Settings())
    for second, peer in enumerate(peers):
        links.send(0, 1000, second * SECOND, random.Random(1))
        links.overdue(0, peer, second * SECOND)
        links.ended(
            0, excess_ns=900 * MS, allowed_ns=ALLOWED, now_ns=second * SECOND, presumed=True
        )
    return links


def test_what_one_silent_peer_made_believe_of_the_link_fades():
    links = late_promises_of(2, 2, 2)
    links.fade(20 * SECOND)
    assert links.classes[0].excess_ns < 10 * MS
    assert not links.classes[0].is_slow(3 * SECOND)


def test_late_promises_of_several_peers_are_the_links_and_do_not_fade_at_once():
    links = late_promises_of(2, 3, 4)
    learnt = links.classes[0].excess_ns
    links.fade(15 * SECOND)
    assert links.classes[0].excess_ns == learnt > 300 * MS
    links.fade(120 * SECOND)
    assert links.classes[0].excess_ns < MS


def test_what_results_have_shown_of_a_link_is_doubted_slowly():
    links = Links(Settings())
    links.send(0, 1000, 0, random.Random(1))
    links.ended(0, excess_ns=80 * MS, allowed_ns=ALLOWED, now_ns=0)
    learnt = links.classes[0].excess_ns
    links.fade(20 * SECOND)
    assert links.classes[0].excess_ns == learnt > 0
    links.fade(600 * SECOND)
    assert links.classes[0].excess_ns < learnt / 100
