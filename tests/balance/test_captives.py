"""Frames that may not leave their node keep room on it, whatever it does for others."""

import pytest

from edgesdk.balance import Reach, Run
from edgesdk.balance.messages import ACCEPT, BUSY, Offer
from tests.balance.nodes import MS, SECOND, Machine, Net
from tests.balance.test_balancer import later

COST = 40 * MS


def verdict(net: Net, number: int, left_ns: int) -> int:
    """What node 1 says to an offer of node 2 that it could end just in time."""
    offer = Offer(number, 5, 0, 1, left_ns, 5 * MS, 1000)
    return net.balancers[1]._answering.consider(2, offer, net.now)[0]


@pytest.mark.parametrize("reach", [Reach.NODE, Reach.SITE])
def test_others_leave_room_for_frames_that_may_not_leave(reach):
    net = Net()
    net.add(1, Machine({5: COST}), site=1)
    net.add(2, Machine({5: COST}), site=2)
    net.run(2 * SECOND)
    assert verdict(net, 1, 100 * MS) == ACCEPT
    net.run(net.now + SECOND)
    ran = len(net.of(Run, 1))
    net.place(1, later(net, 1, items=1, reach=reach))
    assert len(net.of(Run, 1)) == ran + 1
    net.machines[1].cancel(net.of(Run, 1)[-1].promise)  # as if it had run
    assert verdict(net, 2, 100 * MS) == BUSY
    assert verdict(net, 3, 300 * MS) == ACCEPT


def test_room_is_kept_no_longer_than_it_is_needed():
    net = Net()
    net.add(1, Machine({5: COST}))
    net.add(2, Machine({5: COST}))
    net.run(2 * SECOND)
    net.place(1, later(net, 1, items=1, reach=Reach.NODE))
    net.machines[1].cancel(net.of(Run, 1)[-1].promise)
    net.run(net.now + 11 * SECOND)
    assert verdict(net, 2, 100 * MS) == ACCEPT


def test_frames_that_may_go_anywhere_have_no_such_claim():
    net = Net()
    net.add(1, Machine({5: COST}))
    net.add(2, Machine({5: COST}))
    net.run(2 * SECOND)
    net.place(1, later(net, 1, items=1))
    net.machines[1].cancel(net.of(Run, 1)[-1].promise)
    assert verdict(net, 2, 100 * MS) == ACCEPT
