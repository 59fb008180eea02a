"""Operators of applications: offered like models, and otherwise left alone."""

import random

import pytest

from edgesdk.balance import Balancer, Deliver, Evict, Load, Reach, Settings
from tests.balance.nodes import MS, SECOND, Machine, Net
from tests.balance.test_balancer import later
from tests.balance.test_captives import verdict
from tests.balance.test_placement import a_state, misses

MODEL, OPERATOR = 5, 6


def a_machine(cost: int = 40 * MS) -> Machine:
    machine = Machine({MODEL: cost, OPERATOR: cost})
    machine.operators = {OPERATOR}
    return machine


def a_balancer(machine: Machine) -> Balancer:
    balancer = Balancer(
        Settings(), node=1, site=1, service_class=0, local=machine, rng=random.Random(1)
    )
    balancer.member(2, site=2, now_ns=0)
    return balancer


def test_a_digest_names_operators_after_models():
    assert a_balancer(a_machine())._digest(SECOND).keys == (MODEL, OPERATOR)


def test_an_operator_that_is_swamped_is_no_model_that_is_missed():
    balancer = a_balancer(a_machine(cost=200 * MS))
    assert misses(balancer, OPERATOR, 10) == []
    assert balancer._digest(12 * SECOND).missed == 0


def test_an_operator_takes_no_models_place_and_is_not_put_out():
    machine = a_machine()
    machine.catalogue |= {7: 20 * MS, 8: 20 * MS}
    machine.room = 2
    balancer = a_balancer(machine)
    balancer.received(2, a_state((MODEL, OPERATOR)), MS)
    assert misses(balancer, 7, 20) == [Load(7)]
    machine.load(7)
    actions = misses(balancer, 8, 20)
    assert Evict(OPERATOR) not in actions


def test_an_operator_goes_to_who_has_it_only():
    net = Net()
    net.add(1, a_machine(cost=90 * MS))
    net.add(2, Machine({MODEL: 90 * MS}))
    net.add(3, a_machine(cost=90 * MS))
    net.run(2 * SECOND)
    for number in range(8):
        deadline = net.now + 200 * MS
        net.place(1, later(net, number, model=OPERATOR, items=1, deadline_ns=deadline))
    net.run(net.now + SECOND)
    assert {action.peer for action in net.of(Deliver, 1)} == {3}


@pytest.mark.parametrize(("captive", "left"), [(MODEL, False), (OPERATOR, True)])
def test_captives_keep_room_on_what_they_run_on(captive: int, left: bool):
    net = Net()
    net.add(1, a_machine())
    net.add(2, a_machine())
    net.run(2 * SECOND)
    group = later(net, 1, model=captive, items=1, reach=Reach.NODE)
    net.place(1, group)
    assert (verdict(net, 1, 100 * MS) == 0) is left
