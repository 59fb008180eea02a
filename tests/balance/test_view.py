"""Whom a node watches, who watches it, and how members are learnt of."""

import random

from edgesdk.balance import Balancer, Deliver, Meet, Send, Settings
from edgesdk.balance.digest import Digest
from edgesdk.balance.messages import Exchange, Member, State, Unwatch, Watch, unpack
from tests.balance.nodes import MS, SECOND, Machine, Net, a_group


def alone(models: dict[int, int] | None = None, *, site: int = 1) -> Balancer:
    machine = Machine(models or {6: MS})
    return Balancer(
        Settings(), node=1, site=site, service_class=0, local=machine, rng=random.Random(3)
    )


def told(balancer: Balancer, kind: type) -> list[tuple[int, object]]:
    sends = [a for a in balancer.actions() if isinstance(a, Send)]
    return [(a.peer, m) for a in sends if isinstance(m := unpack(a.data), kind)]


def a_state(number: int, keys: tuple[int, ...]) -> bytes:
    return State(Digest(number, 1, 0, 2, 1, len(keys), 0.2, 0, 0.0, 1.0, 0, 0, keys)).pack()


def test_a_node_watches_24_of_many_a_third_of_them_of_its_site():
    balancer = alone()
    for number in range(2, 202):
        balancer.member(number, site=1 + number % 10, now_ns=0)
    balancer.member(500, site=1, now_ns=0)
    balancer.advance(10 * SECOND)
    watched = balancer._view.watched
    assert len(watched) == 24
    assert 6 <= sum(peer.site == 1 for peer in watched.values()) <= 10


def test_a_node_is_watched_by_36_at_most_and_says_so_to_the_next():
    balancer = alone()
    for number in range(2, 60):
        balancer.member(number, site=2, now_ns=0)
    balancer.actions()
    for number in range(2, 60):
        balancer.received(number, Watch().pack(), SECOND)
    answers = {peer for peer, _ in told(balancer, Unwatch)}
    assert balancer._view.watchers == 36
    assert answers == set(range(38, 60))


def test_a_watcher_is_told_the_state_at_once_and_then_each_period():
    net = Net()
    net.add(1, Machine({5: MS}))
    net.add(2, Machine({5: MS}))
    net.run(60 * SECOND)
    states = [a for a, b, data in net.sent if b == 1 and isinstance(unpack(data), State)]
    assert 6 <= len(states) <= 10


def test_one_who_does_not_watch_any_more_is_told_nothing():
    balancer = alone()
    balancer.member(2, site=2, now_ns=0)
    balancer.received(2, Watch().pack(), SECOND)
    balancer.received(2, Unwatch().pack(), SECOND)
    balancer.actions()
    for second in range(2, 60):
        balancer.advance(second * SECOND)
    assert not told(balancer, State)


def test_holders_of_needed_models_are_sought_until_there_are_six():
    balancer = alone()
    balancer.member(2, site=2, now_ns=0)
    balancer.received(2, a_state(2, (9,)), MS)
    balancer.place(a_group(1, model=77, deadline_ns=SECOND), MS)
    found: list[tuple[int, Exchange]] = []
    for tenth in range(1, 100):
        balancer.advance(tenth * 100 * MS)
        found += told(balancer, Exchange)
    assert found
    assert all(peer == 2 and message.wanted == (77,) for peer, message in found[1:])


def test_a_named_holder_is_met_and_watched_once_it_has_authenticated_itself():
    balancer = alone()
    balancer.member(2, site=2, now_ns=0)
    balancer.place(a_group(1, model=77, deadline_ns=SECOND), MS)
    balancer.actions()
    named = Exchange(True, (), (Member(40, 3, b"10.0.0.40:7440", (77,)),))
    balancer.received(2, named.pack(), 2 * MS)
    meets = [a for a in balancer.actions() if isinstance(a, Meet)]
    assert [(m.number, m.address) for m in meets] == [(40, b"10.0.0.40:7440")]
    balancer.member(40, site=3, now_ns=3 * MS)
    assert 40 in [peer for peer, _ in told(balancer, Watch)]


def test_an_exchange_names_holders_of_what_is_wanted_first_and_never_the_asker():
    balancer = alone()
    for number in range(2, 22):
        balancer.member(number, site=2, now_ns=0, address=b"a%d" % number)
        balancer.received(number, a_state(number, (7,) if number in (4, 9) else (8,)), MS)
    balancer.actions()
    balancer.received(4, Exchange(False, (7,), ()).pack(), 2 * MS)
    ((peer, reply),) = told(balancer, Exchange)
    assert peer == 4
    assert reply.reply
    assert reply.members[0].number == 9
    assert 4 not in [member.number for member in reply.members]
    balancer.received(4, reply.pack(), 3 * MS)
    assert not told(balancer, Exchange), "a reply is not answered"


def test_hearsay_is_bounded_whatever_is_named():
    balancer = alone()
    balancer.member(2, site=2, now_ns=0)
    for first in range(0, 8000, 8):
        members = tuple(Member(100 + n, 1, b"x" * 64, (n,)) for n in range(first, first + 8))
        balancer.received(2, Exchange(True, (), members).pack(), MS)
        balancer.actions()
    assert len(balancer._view._hearsay) <= 256
    assert len(balancer._view.members) == 1, "hearsay is no member"


def test_a_peer_that_left_is_replaced():
    balancer = alone()
    for number in range(2, 40):
        balancer.member(number, site=2, now_ns=0)
    balancer.advance(SECOND)
    first = next(iter(balancer._view.watched))
    balancer.gone(first, 2 * SECOND)
    assert first not in balancer._view.watched
    assert len(balancer._view.watched) == 24


def test_a_catalogue_of_1000_models_is_found_where_it_is_held():
    catalogue = {1_000_003 * n + 17: MS for n in range(1, 1001)}
    models = list(catalogue)
    net = Net()
    net.delivers = True
    net.add(1, Machine({6: MS}))
    for number in range(2, 22):
        held = {m: catalogue[m] for m in models[(number - 2) * 4 : (number - 1) * 4]}
        net.add(number, Machine(held, catalogue=catalogue))
    net.run(2 * SECOND)
    for index in range(80):
        deadline = net.now + SECOND
        net.place(1, a_group(index, model=models[index], captured_ns=net.now, deadline_ns=deadline))
        net.run(net.now + 30 * MS)
    right = {d.group.id: 2 + d.group.id // 4 for d in net.of(Deliver, 1)}
    assert len(right) == 80
    assert all(d.peer == right[d.group.id] for d in net.of(Deliver, 1))


def test_a_model_among_sixty_of_a_peer_is_known_to_be_there():
    net = Net()
    net.add(1, Machine({5: 10_000 * MS}))
    net.add(2, Machine(dict.fromkeys((*range(100, 159), 5), 20 * MS)))
    net.run(2 * SECOND)
    net.place(1, a_group(model=5, deadline_ns=3 * SECOND))
    net.run(2 * SECOND + 100 * MS)
    assert [action.peer for action in net.of(Deliver, 1)] == [2]


def test_what_an_answer_does_not_name_is_still_held():
    balancer = alone()
    balancer.member(7, site=2, now_ns=0)
    many = tuple(range(100, 160))
    balancer.received(7, a_state(7, many), SECOND)
    peer = balancer.members()[7]
    brief = Digest(7, 2, 0, 2, 1, 60, 0.2, 0, 0.0, 1.0, 0, 0, many[:8])
    balancer.received(7, State(brief).pack(), 2 * SECOND)
    assert set(peer.keys) == set(many)
    fewer = brief._replace(sequence=3, residents=10)
    balancer.received(7, State(fewer).pack(), 3 * SECOND)
    assert len(peer.keys) == 10
    assert set(many[:8]) < set(peer.keys)


def test_a_peer_that_restarts_holds_nothing_of_before():
    balancer = alone()
    balancer.member(7, site=2, now_ns=0)
    balancer.received(7, a_state(7, tuple(range(100, 160))), SECOND)
    again = Digest(8, 1, 0, 2, 1, 60, 0.2, 0, 0.0, 1.0, 0, 0, tuple(range(200, 208)))
    balancer.received(7, State(again).pack(), 2 * SECOND)
    assert set(balancer.members()[7].keys) == set(range(200, 208))


def test_holders_of_what_is_wanted_are_named_with_it_however_much_they_hold():
    balancer = alone()
    balancer.member(7, site=2, now_ns=0)
    balancer.member(9, site=2, now_ns=0)
    balancer.received(7, a_state(7, tuple(range(100, 160))), SECOND)
    balancer.actions()
    balancer.received(9, Exchange(False, (155,), ()).pack(), SECOND)
    ((_, reply),) = told(balancer, Exchange)
    (named,) = [member for member in reply.members if member.number == 7]
    assert 155 in named.keys
