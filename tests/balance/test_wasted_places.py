"""A member that asks for places and never sends anything."""

from edgesdk.balance.messages import ACCEPT, Offer
from tests.balance.nodes import MS, SECOND, Machine, Net

LIAR = 9


def ask(net: Net, numbers: range) -> int:
    """Offers of the liar, and how many were accepted."""
    before = net.balancers[1].counts()["accepted"]
    for number in numbers:
        offer = Offer(number, 5, 0, 1, SECOND, 10 * MS, 1000)
        net.balancers[1].received(LIAR, offer.pack(), net.now)
    net.drain()
    return net.balancers[1].counts()["accepted"] - before


def test_who_lets_places_go_to_waste_gets_ever_fewer_at_once():
    net = Net()
    net.add(1, Machine({5: 10 * MS}))
    net.balancers[1].member(LIAR, site=0, now_ns=0)
    given = []
    for turn in range(8):
        given.append(ask(net, range(turn * 100, turn * 100 + 60)))
        net.run(net.now + SECOND)
    assert given[0] > 30
    assert given[-3:] == [1, 1, 1]
    assert not net.machines[1].reserved()


def test_who_uses_its_places_gets_them_back():
    net = Net()
    net.add(1, Machine({5: 10 * MS}))
    net.add(2, Machine({6: 10 * MS}))
    net.balancers[1].member(LIAR, site=0, now_ns=0)
    for turn in range(4):
        ask(net, range(turn * 100, turn * 100 + 60))
        net.run(net.now + SECOND)
    assert ask(net, range(1000, 1010)) == 1
    net.run(net.now + SECOND)
    answering = net.balancers[1]._answering
    for number in range(2000, 2030):
        offer = Offer(number, 5, 0, 1, SECOND, 10 * MS, 1000)
        given = answering.consider(LIAR, offer, net.now)
        assert given.verdict == ACCEPT
        assert answering.claim(LIAR, given.token, net.now) is not None
        net.run(net.now + 20 * MS)
    assert ask(net, range(3000, 3060)) > 25
