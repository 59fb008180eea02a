"""The balancer's rules, on real schedulers and a wire in virtual time."""

import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edgesdk.balance import Balancer, CancelDelivery, Deliver, Drop, Reach, Run, Send, Settings
from edgesdk.balance.messages import ACCEPT, LOADING, Answer, Offer, unpack
from edgesdk.errors import MessageError
from tests.balance.nodes import MS, SECOND, Machine, Net, a_group

SLOW, FAST = 300 * MS, 20 * MS
OTHER = 6


def a_net(peers: int = 4, *, own: dict[int, int] | None = None, **options) -> Net:
    """Node 1 with the models *own*, and *peers* nodes of other sites that hold model 5."""
    net = Net(**options)
    net.add(1, Machine(own if own is not None else {OTHER: FAST}), site=1)
    for number in range(2, 2 + peers):
        net.add(number, Machine({5: FAST}), site=2)
    net.run(2 * SECOND)
    return net


def later(net: Net, number: int = 1, **changes):
    """A group captured now."""
    changes.setdefault("deadline_ns", net.now + SECOND)
    return a_group(number, captured_ns=net.now, **changes)


def offers(net: Net, source: int = 1) -> list[tuple[int, Offer]]:
    found = []
    for a, b, data in net.sent:
        message = unpack(data)
        if a == source and isinstance(message, Offer):
            found.append((b, message))
    return found


def test_a_group_that_fits_runs_here_and_nobody_is_asked():
    net = a_net(own={5: FAST})
    net.place(1, later(net))
    assert len(net.of(Run, 1)) == 1
    assert not offers(net)


def test_a_group_that_would_end_within_the_headroom_goes_to_a_peer():
    net = a_net(own={5: 200 * MS})
    net.place(1, later(net))  # 800 of 1000 ms here
    net.run(net.now + 50 * MS)
    assert [d.peer in (2, 3, 4, 5) for d in net.of(Deliver, 1)] == [True]


def test_a_group_that_no_peer_takes_runs_here_without_headroom():
    net = a_net(own={5: 200 * MS}, peers=0)
    net.place(1, later(net))
    net.run(net.now + 300 * MS)
    assert len(net.of(Run, 1)) == 1


def test_a_group_for_a_model_nobody_holds_is_dropped_in_time():
    net = a_net()
    net.place(1, later(net, model=77))
    net.run(net.now + 2 * SECOND)
    assert [d.reason for d in net.of(Drop, 1)] == ["deadline"]


def test_an_accepted_group_is_delivered_with_the_peers_token_and_can_be_claimed_once():
    net = a_net()
    net.place(1, later(net))
    net.run(net.now + 20 * MS)
    (delivery,) = net.of(Deliver, 1)
    peer = net.balancers[delivery.peer]
    assert len(delivery.token) == 16
    assert peer.claimed(99, delivery.token, net.now) is None, "another sender's token"
    assert peer.claimed(1, bytes(16), net.now) is None, "unknown"
    assert peer.claimed(1, delivery.token, net.now) is not None
    assert peer.claimed(1, delivery.token, net.now) is None, "used"


def test_a_reservation_expires_after_the_promised_arrival():
    net = a_net(peers=1)
    net.place(1, later(net))
    net.run(net.now + 20 * MS)
    (delivery,) = net.of(Deliver, 1)
    assert net.machines[2].reserved() == 1
    net.run(delivery.arrive_by_ns + 300 * MS)
    assert net.machines[2].reserved() == 0
    assert net.balancers[2].claimed(1, delivery.token, net.now) is None


def test_of_two_places_the_better_is_kept_and_the_other_given_back():
    net = a_net(peers=2)
    net.machines[2].extra_backlog = net.machines[3].extra_backlog = 500 * MS
    net.place(1, later(net))
    net.run(net.now + 30 * MS)
    assert len({peer for peer, _ in offers(net)}) == 2, "a place behind 500 ms asks for another"
    assert len(net.of(Deliver, 1)) == 1
    assert net.machines[2].reserved() + net.machines[3].reserved() == 1


def test_a_silent_peer_is_given_up_and_another_asked():
    net = a_net(peers=2)
    net.frozen.add(2)
    for number in range(8):
        net.place(1, later(net, number))
        net.run(net.now + 40 * MS)
    assert {d.peer for d in net.of(Deliver, 1)} == {3}
    assert len([peer for peer, _ in offers(net) if peer == 2]) == 1, "a suspect is not asked again"


def test_a_node_that_was_held_up_itself_suspects_nobody():
    net = a_net(peers=1)
    net.place(1, later(net))
    balancer = net.balancers[1]
    start = net.now
    # This process does not run for 300 ms; the answer is in its socket when it wakes.
    answers = []
    net.pass_on = lambda source, target, data: source != 2 or bool(answers.append(data))
    net.now = start + 2 * MS
    while net._events and net._events[0][0] <= net.now:
        net._events.pop(0)[2]()
        net.drain()
    net.now = start + 300 * MS
    balancer.advance(net.now)
    net.drain()
    assert not net.of(Drop, 1)
    for data in answers:
        balancer.received(2, data, net.now)
    net.drain()
    assert [d.peer for d in net.of(Deliver, 1)] == [2]


def test_groups_of_a_peer_that_is_gone_are_planned_again_at_once():
    net = a_net(peers=3)
    net.place(1, later(net))
    net.run(net.now + 20 * MS)
    (first,) = net.of(Deliver, 1)
    net.balancers[1].gone(first.peer, net.now)
    net.drain()
    net.run(net.now + 20 * MS)
    assert [a.peer for a in net.of(CancelDelivery, 1)] == [first.peer]
    assert len(net.of(Deliver, 1)) == 2
    assert net.of(Deliver, 1)[1].peer != first.peer


def test_a_failed_delivery_is_planned_again_at_once():
    net = a_net(peers=3)
    net.place(1, later(net))
    net.run(net.now + 20 * MS)
    net.balancers[1].failed(1, net.now, why="token")
    net.drain()
    net.run(net.now + 20 * MS)
    assert len(net.of(Deliver, 1)) == 2


def test_a_frozen_executor_is_given_up_at_its_promised_end_and_20_ms():
    net = a_net(peers=3)
    net.place(1, later(net))
    net.run(net.now + 20 * MS)
    (first,) = net.of(Deliver, 1)
    net.run(first.ends_ns + 15 * MS)
    assert len(net.of(Deliver, 1)) == 1
    net.run(first.ends_ns + 30 * MS)
    assert [a.peer for a in net.of(CancelDelivery, 1)] == [first.peer]
    assert len(net.of(Deliver, 1)) == 2


def test_promises_leave_time_to_plan_again_when_they_are_broken():
    net = a_net(peers=1)
    group = later(net)
    net.place(1, group)
    net.run(net.now + 20 * MS)
    (delivery,) = net.of(Deliver, 1)
    assert delivery.ends_ns < group.deadline_ns - 300 * MS


def test_a_second_result_and_one_after_a_cancel_change_nothing():
    net = a_net(peers=2)
    net.place(1, later(net))
    net.run(net.now + 20 * MS)
    balancer = net.balancers[1]
    balancer.finished(1, net.now, wire_ns=None)
    balancer.finished(1, net.now, wire_ns=None)
    balancer.failed(1, net.now, why="late")
    balancer.finished(404, net.now, wire_ns=5)
    assert balancer.actions() == []


def test_a_peer_that_lies_about_its_load_loses_its_weight():
    net = a_net(peers=5)
    liar = 2
    asked = []
    for number in range(60):
        net.place(1, later(net, number))
        net.run(net.now + 20 * MS)
        delivery = net.of(Deliver, 1)[-1]
        asked.append(delivery.peer)
        if delivery.peer == liar:
            net.balancers[1].failed(number, net.now, why="late")
            net.drain()
            net.run(net.now + 20 * MS)
            net.balancers[1].finished(number, net.now, wire_ns=None)
        else:
            assert net.balancers[delivery.peer].claimed(1, delivery.token, net.now) is not None
            net.balancers[1].finished(number, net.now, wire_ns=None)
        net.drain()
    assert asked[30:].count(liar) <= 2, "a fair share is 6"


def test_a_restarted_peer_whose_sequence_goes_back_is_believed():
    net = a_net(peers=1)
    for number in range(5):
        net.place(1, later(net, number))
        net.run(net.now + 20 * MS)
    before = net.balancers[1]._view.members[2]
    assert before.sequence > 3
    net.balancers[2] = Balancer(
        net.settings,
        node=2,
        site=2,
        service_class=1,
        local=net.machines[2],
        rng=random.Random(99),
    )
    net.balancers[2].member(1, site=1, now_ns=net.now)
    net.machines[2].extra_backlog = 111 * MS
    net.place(1, later(net, 70))
    net.run(net.now + 20 * MS)
    assert before.backlog_ns == 111 * MS
    assert before.sequence < 4


def test_a_model_that_is_being_loaded_is_refused_with_the_time_it_will_be_ready():
    net = a_net(peers=1)
    net.machines[2].loading[9] = net.now + 3 * SECOND
    net.balancers[2].received(1, Offer(8, 9, 0, 4, SECOND, 30 * MS, 1000).pack(), net.now)
    (answer,) = [unpack(a.data) for a in net.balancers[2].actions() if isinstance(a, Send)]
    assert answer.verdict == LOADING
    assert answer.ends_ns == 3 * SECOND


def test_a_collision_of_16_bit_keys_costs_a_reject_never_the_wrong_model():
    net = a_net(peers=1)
    twin = 5 + (1 << 16)
    net.place(1, later(net, model=twin))
    net.run(net.now + 2 * SECOND)
    assert offers(net), "the key says that the peer holds it"
    assert all(offer.model == twin for _, offer in offers(net))
    assert not net.of(Deliver, 1)
    assert len(net.of(Drop, 1)) == 1


def test_an_exact_group_goes_only_to_a_peer_with_the_same_variant():
    net = a_net(peers=2)
    net.place(1, later(net, 1, variant=50))
    net.run(net.now + 20 * MS)
    assert len(net.of(Deliver, 1)) == 1
    net.balancers[1].finished(1, net.now, wire_ns=None)
    net.place(1, later(net, 2, variant=51))
    net.run(net.now + 2 * SECOND)
    assert len(net.of(Deliver, 1)) == 1
    assert len(net.of(Drop, 1)) == 1


def test_one_peer_cannot_hold_all_places():
    net = a_net(peers=1)
    executor = net.balancers[2]
    limit = net.settings.reservations_a_peer
    accepted = 0
    for number in range(limit + 50):
        offer = Offer(number, 5, 0, 1, 60 * SECOND, 30 * MS, 100)
        executor.received(1, offer.pack(), net.now)
        for action in executor.actions():
            message = unpack(action.data) if isinstance(action, Send) else None
            accepted += isinstance(message, Answer) and message.verdict == ACCEPT
    assert accepted == limit


def test_an_unexpected_acceptance_is_given_back():
    net = a_net(peers=1)
    digest = net.balancers[2]._digest(net.now)
    stray = Answer(12345, ACCEPT, 100 * MS, 10 * MS, bytes(16), digest)
    net.balancers[1].received(2, stray.pack(), net.now)
    (action,) = net.balancers[1].actions()
    assert action.peer == 2
    assert unpack(action.data).number == 12345


def test_a_stranger_is_not_answered():
    net = a_net(peers=1)
    net.balancers[1].received(999, Offer(1, OTHER, 0, 1, SECOND, 0, 10).pack(), net.now)
    assert net.balancers[1].actions() == []


def test_nonsense_is_refused_and_changes_nothing():
    net = a_net(peers=1)
    with pytest.raises(MessageError):
        net.balancers[1].received(2, b"\x02\x10nonsense", net.now)
    assert net.balancers[1].actions() == []


def test_deadlines_cross_the_wire_as_time_left():
    net = a_net(peers=1)
    net.run(1000 * SECOND)
    net.place(1, later(net))
    ((_, offer),) = offers(net)
    assert 900 * MS < offer.left_ns <= SECOND


def test_equal_histories_give_equal_decisions():
    def history() -> list:
        net = a_net(peers=6)
        for number in range(30):
            net.place(1, later(net, number))
            net.run(net.now + 30 * MS)
        return net.sent

    assert history() == history()


@given(
    reach=st.sampled_from([Reach.NODE, Reach.SITE]),
    sites=st.lists(st.integers(1, 3), min_size=1, max_size=6),
    held=st.booleans(),
    numbers=st.lists(st.integers(20, 900), min_size=1, max_size=6),
    seed=st.integers(0, 1000),
)
@settings(max_examples=60, deadline=None)
def test_frames_that_must_stay_are_never_offered_outside(reach, sites, held, numbers, seed):
    net = Net()
    net.add(1, Machine({5: SLOW} if held else {OTHER: FAST}), site=1, seed=seed)
    for number, site in enumerate(sites, 2):
        net.add(number, Machine({5: FAST}), site=site)
    net.run(2 * SECOND)
    for number, left in enumerate(numbers):
        net.place(1, later(net, number, reach=reach, deadline_ns=net.now + left * MS))
        net.run(net.now + 100 * MS)
    net.run(net.now + 3 * SECOND)
    allowed = set() if reach == Reach.NODE else {n for n, s in enumerate(sites, 2) if s == 1}
    assert {peer for peer, _ in offers(net)} <= allowed
    assert {d.peer for d in net.of(Deliver)} <= allowed
    assert sum(offer.model == 5 for _, offer in offers(net)) == len(offers(net))


def test_the_settings_are_of_one_node_only():
    assert Settings() == Settings()
    assert Settings() is not Settings()


def test_counts_add_up_and_peers_are_shown_as_they_are_seen():
    net = a_net(peers=3)
    net.delivers = True
    for number in range(10):
        net.place(1, later(net, number))
        net.run(net.now + 200 * MS)
    counts = net.balancers[1].counts()
    others = [net.balancers[n].counts() for n in (2, 3, 4)]
    assert counts["delivered"] == counts["served"] == 10
    assert sum(c["claimed"] for c in others) == 10
    seen = net.balancers[1].members()
    assert set(seen) == set(net.balancers[1].watched()) == {2, 3, 4}
    assert all(peer.keys == (5,) and peer.srtt_ns == 2 * MS for peer in seen.values())


def test_a_peer_that_answers_nothing_does_not_shut_the_way_to_the_others():
    """Its groups end overdue, which looks like a slow link; the link to the others is not."""
    net = a_net(peers=4)
    liar = 2
    number = 0

    def spike(groups: int) -> list[int]:
        nonlocal number
        asked = []
        for _ in range(groups):
            number += 1
            before = len(net.of(Deliver, 1))
            net.place(1, later(net, number, deadline_ns=net.now + 600 * MS))
            net.run(net.now + 20 * MS)
            for delivery in net.of(Deliver, 1)[before:]:
                asked.append(delivery.peer)
                if delivery.peer != liar:
                    net.balancers[delivery.peer].claimed(1, delivery.token, net.now)
                    net.balancers[1].finished(delivery.group.id, net.now, wire_ns=None)
                    net.drain()
        return asked

    honest = {3, 4, 5}
    net.frozen |= honest  # only the liar answers
    spike(40)
    net.frozen -= honest
    net.run(net.now + 8 * SECOND)
    assert honest & set(spike(20))
