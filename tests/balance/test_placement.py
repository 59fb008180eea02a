"""Which models a node loads, which it gives up, and who goes first when not all can be served."""

import random

from edgesdk.balance import Balancer, Evict, Load, Settings
from edgesdk.balance.demand import Demand
from edgesdk.balance.digest import Digest
from edgesdk.balance.fairness import Fairness
from edgesdk.balance.links import Links
from edgesdk.balance.messages import Offer, State, unpack
from edgesdk.balance.seat import Seat
from tests.balance.nodes import MS, SECOND, Machine, a_group

CATALOGUE = {5: 20 * MS, 6: 20 * MS, 7: 20 * MS, 8: 20 * MS, 9: 20 * MS}


def a_node(held: list[int], *, seed: int = 1, room: int = 4) -> tuple[Balancer, Machine]:
    machine = Machine({m: CATALOGUE[m] for m in held}, catalogue=CATALOGUE)
    machine.room = room
    balancer = Balancer(
        Settings(), node=1, site=1, service_class=0, local=machine, rng=random.Random(seed)
    )
    balancer.member(2, site=2, now_ns=0)
    return balancer, machine


def misses(balancer: Balancer, model: int, seconds: int) -> list[object]:
    """15 groups of *model* a second, that nobody can serve; what the node then does."""
    actions: list[object] = []
    for step in range(seconds * 15):
        now = SECOND + step * SECOND // 15
        balancer.advance(now)
        balancer.place(a_group(step, model=model, captured_ns=now, deadline_ns=now + 90 * MS), now)
        actions += [a for a in balancer.actions() if isinstance(a, Load | Evict)]
        balancer._seat.local.loading = {a.model: 1 << 60 for a in actions if isinstance(a, Load)}
    return actions


def a_state(keys: tuple[int, ...], **changes) -> bytes:
    digest = Digest(7, 1, 0, 2, 1, len(keys), 0.2, 0, 0.0, 1.0, 0, 0, keys)
    return State(digest._replace(**changes)).pack()


def test_a_node_loads_what_its_cameras_miss():
    balancer, _ = a_node([6])
    assert misses(balancer, 5, 20) == [Load(5)]


def test_a_busy_node_loads_nothing():
    balancer, machine = a_node([6])
    machine.busy = 0.8
    assert misses(balancer, 5, 20) == []


def test_a_node_loads_what_its_peers_miss():
    balancer, _ = a_node([6])
    loads = []
    for second in range(1, 30):
        state = a_state((6,), sequence=second, missed=5, missed_rate=60.0, served=0.1)
        balancer.received(2, state, second * SECOND)
        balancer.advance(second * SECOND)
        loads += [a for a in balancer.actions() if isinstance(a, Load)]
    assert loads[0] == Load(5)


def loads_while_a_peer_misses_and_another(**is_like: object) -> list[Load]:
    balancer, _ = a_node([6])
    balancer.member(3, site=2, now_ns=0)
    loads = []
    for second in range(1, 30):
        now = second * SECOND
        missed = a_state((6,), sequence=second, missed=5, missed_rate=15.0, served=0.1)
        balancer.received(2, missed, now)
        keys = (5, 6) if is_like.get("utilisation") is not None else (6,)
        balancer.received(3, a_state(keys, sequence=second, **is_like), now)
        balancer.advance(now)
        loads += [a for a in balancer.actions() if isinstance(a, Load)]
    return loads


def test_what_a_peer_is_loading_is_not_loaded_a_second_time():
    assert loads_while_a_peer_misses_and_another(loading=5, ready_ns=4 * SECOND) == []


def test_what_an_idle_peer_holds_is_not_loaded_but_what_busy_ones_hold_is():
    assert loads_while_a_peer_misses_and_another(utilisation=0.0) == []
    assert loads_while_a_peer_misses_and_another(utilisation=0.95)[0] == Load(5)


def test_of_many_idle_nodes_a_few_load_what_one_of_them_misses():
    loaded = 0
    for seed in range(60):
        balancer, _ = a_node([6], seed=seed)
        for number in range(2, 25):
            balancer.member(number, site=2, now_ns=0)
        for second in range(1, 4):
            for number in range(2, 25):
                missed = {"missed": 5, "missed_rate": 40.0} if number == 2 else {}
                balancer.received(number, a_state((6,), sequence=second, **missed), second * SECOND)
            balancer.advance(second * SECOND)
            loaded += any(isinstance(a, Load) for a in balancer.actions())
    assert 0 < loaded < 20


def test_only_a_model_used_little_that_others_hold_makes_room():
    balancer, _ = a_node([6, 7], room=2)
    balancer.received(2, a_state((6,)), MS)
    assert misses(balancer, 5, 20) == [Evict(6), Load(5)]


def test_the_last_holder_of_a_model_keeps_it():
    balancer, _ = a_node([6, 7], room=2)
    balancer.received(2, a_state((8,)), MS)
    assert misses(balancer, 5, 20) == []


def test_a_load_under_way_is_told_in_the_digest():
    balancer, machine = a_node([6])
    assert misses(balancer, 5, 20) == [Load(5)]
    now = 22 * SECOND
    machine.loading[5] = now + 4 * SECOND
    digest = balancer._digest(now)
    assert (digest.loading, digest.ready_ns) == (5, 4 * SECOND)


def test_what_is_missed_is_told_with_its_rate_and_share():
    demand = Demand()
    for step in range(300):
        demand.ended(5, 4, step % 4 == 0, step * 100 * MS)
        demand.ended(6, 4, True, step * 100 * MS)
    model, rate, share = demand.worst(30 * SECOND)
    assert model == 5
    assert 25 < rate < 32  # three quarters of 40 items a second
    assert 0.2 < share < 0.3


def test_an_offer_tells_how_much_of_its_model_its_origin_gets():
    balancer, _ = a_node([6])
    misses(balancer, 5, 5)
    now = 7 * SECOND
    balancer.received(2, a_state((5,), sequence=9), now)
    balancer.place(a_group(1000, model=5, captured_ns=now, deadline_ns=now + SECOND), now)
    offers = [m for a in balancer.actions() if isinstance(m := unpack(a.data), Offer)]
    assert offers
    assert all(offer.served < 0.1 for offer in offers)


def a_fairness(held: list[int]) -> Fairness:
    machine = Machine({m: CATALOGUE[m] for m in held}, catalogue=CATALOGUE)
    seat = Seat(Settings(), node=1, site=1, service_class=0, local=machine, rng=random.Random(1))
    return Fairness(seat, Links(seat.settings))


def test_groups_that_fare_well_leave_room_for_a_model_that_does_not():
    fairness = a_fairness([5, 6])
    fairness.heard(5, 0.9, 4, 0)
    fairness.heard(6, 0.2, 4, 0)
    assert fairness.gap_ns(5, 0) > 0
    assert fairness.gap_ns(6, 0) == 0


def test_while_everything_is_served_nothing_is_held_back():
    fairness = a_fairness([5, 6])
    fairness.heard(5, 1.0, 4, 0)
    fairness.heard(6, 0.8, 4, 0)
    assert fairness.gap_ns(5, 0) == 0


def test_old_complaints_and_models_not_held_hold_nothing_back():
    fairness = a_fairness([5, 6])
    fairness.heard(6, 0.1, 4, 0)
    fairness.heard(7, 0.1, 4, 60 * SECOND)
    fairness.heard(5, 1.0, 4, 60 * SECOND)
    assert fairness.gap_ns(5, 60 * SECOND) == 0
