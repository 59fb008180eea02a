"""The way into a node that several send to, and what it tells them of each other."""

from itertools import pairwise

from edgesdk.balance import Deliver, Settings
from edgesdk.balance.ingress import Ingress, Parcel
from edgesdk.balance.messages import ACCEPT, BUSY, Offer
from tests.balance.nodes import MS, SECOND, Machine, Net, a_group

NIC = 20e6
FRAMES = 240_000
TAKES = 96 * MS


def ingress_with(*arrivals: int) -> Ingress:
    ingress = Ingress(Settings(nic_bps=NIC))
    for arrives in arrivals:
        parcel = ingress.fit(arrives, FRAMES)
        assert parcel is not None
        ingress.expect(parcel)
    return ingress


def fitted(ingress: Ingress, arrives: int) -> Parcel:
    parcel = ingress.fit(arrives, FRAMES)
    assert parcel is not None
    return parcel


def test_what_is_sent_at_once_passes_one_after_the_other():
    ingress = ingress_with()
    passed = []
    for _ in range(4):
        parcel = fitted(ingress, SECOND)
        ingress.expect(parcel)
        passed.append(parcel.passed_ns)
    assert passed[0] == SECOND
    assert all(after - before == TAKES for before, after in pairwise(passed))


def test_what_comes_while_the_way_is_free_waits_for_nothing():
    ingress = ingress_with(SECOND)
    assert fitted(ingress, 2 * SECOND).passed_ns == 2 * SECOND
    assert fitted(ingress, SECOND - TAKES).passed_ns == SECOND - TAKES


def test_a_place_that_would_make_an_earlier_promise_late_is_not_given():
    ingress = ingress_with(SECOND)
    allowed = Settings().pushed_ns
    assert ingress.fit(SECOND - 50 * MS, FRAMES) is None
    assert ingress.fit(SECOND - TAKES + allowed - MS, FRAMES) is not None


def test_promises_further_back_in_line_are_kept_too():
    ingress = ingress_with(SECOND, SECOND + TAKES, SECOND + 2 * TAKES)
    assert ingress.fit(SECOND - 50 * MS, FRAMES) is None


def test_the_place_of_what_does_not_come_is_free_again():
    ingress = ingress_with()
    first = fitted(ingress, SECOND)
    ingress.expect(first)
    ingress.forget(first)
    assert fitted(ingress, SECOND).passed_ns == SECOND


def test_what_waited_for_a_late_one_is_late_by_what_that_took():
    ingress = ingress_with()
    ingress.came(SECOND)
    assert fitted(ingress, SECOND + 10 * MS).passed_ns == SECOND + TAKES


def answering_of(net: Net):
    net.add(1, Machine({5: 10 * MS}))
    for sender in (2, 3):
        net.balancers[1].member(sender, site=0, now_ns=0)
    return net.balancers[1]._answering


def test_a_sender_is_told_what_others_cost_it():
    net = Net(nic_bps=NIC)
    answering = answering_of(net)
    first = answering.consider(2, Offer(1, 5, 0, 4, SECOND, 200 * MS, FRAMES), 0)
    second = answering.consider(3, Offer(2, 5, 0, 4, SECOND, 200 * MS, FRAMES), 0)
    assert (first.verdict, first.wait_ns) == (ACCEPT, 0)
    assert (second.verdict, second.wait_ns) == (ACCEPT, TAKES)


def test_no_place_is_given_where_the_data_would_come_too_late_behind_those_of_others():
    net = Net(nic_bps=NIC)
    answering = answering_of(net)
    verdicts = [
        answering.consider(2, Offer(n, 5, 0, 4, 500 * MS, 200 * MS, FRAMES), 0).verdict
        for n in range(6)
    ]
    assert verdicts == [ACCEPT] * 3 + [BUSY] * 3, "at 200, 296 and 392 ms; 40 ms of work"


def test_who_wastes_its_places_keeps_no_time_on_the_way_in():
    net = Net(nic_bps=NIC)
    answering = answering_of(net)
    number = 0
    for _ in range(6):
        for _ in range(4):
            number += 1
            answering.consider(2, Offer(number, 5, 0, 1, SECOND, 200 * MS, FRAMES), net.now)
        net.run(net.now + 2 * SECOND)
    wasted = Offer(number + 1, 5, 0, 1, SECOND, 500 * MS, FRAMES)
    assert answering.consider(2, wasted, net.now).verdict == ACCEPT
    honest = answering.consider(3, wasted._replace(number=1), net.now)
    assert (honest.verdict, honest.wait_ns) == (ACCEPT, 0)


def test_a_wait_that_was_foreseen_is_not_taken_for_a_slow_link():
    net = Net(nic_bps=NIC)
    net.delivers = True
    net.add(1, Machine({5: 5 * MS}))
    net.add(2, Machine({6: 5 * MS}))
    net.add(3, Machine({6: 5 * MS}))
    net.run(SECOND)
    free = 0

    def way_in(ready: int, takes: int) -> int:
        nonlocal free
        free = max(free, ready - takes) + takes
        return free

    net.into = way_in
    for number in range(1, 11):
        for node in (2, 3):
            group = a_group(number * 10 + node, captured_ns=net.now, deadline_ns=net.now + SECOND)
            net.place(node, group)
        net.run(net.now + 400 * MS)
    assert len(net.of(Deliver)) == 20
    for node in (2, 3):
        assert net.balancers[node].counts()["served"] == 10
        link = net.balancers[node]._links.classes[0]
        assert link.excess_ns < 10 * MS
        assert link.window > Settings().window
