"""What a refusal tells: a peer that had no room is left alone for a while."""

import random

from edgesdk.balance import Balancer, Send, Settings
from edgesdk.balance.digest import Digest
from edgesdk.balance.messages import BUSY, Answer, Offer, State, unpack
from tests.balance.nodes import MS, SECOND, Machine, a_group

DIGEST = Digest(7, 1, 0, 2, 1, 2, 0.2, 0, 0.0, 1.0, 0, 0, (5, 6))


def offers(balancer: Balancer) -> list[Offer]:
    sent = [unpack(a.data) for a in balancer.actions() if isinstance(a, Send)]
    return [message for message in sent if isinstance(message, Offer)]


def refused_by_its_only_peer(budget: float) -> Balancer:
    """A node without models, whose group of model 5 was just refused."""
    balancer = Balancer(
        Settings(budget=budget),
        node=1,
        site=1,
        service_class=0,
        local=Machine({}),
        rng=random.Random(1),
    )
    balancer.member(2, site=2, now_ns=0)
    balancer.received(2, State(DIGEST).pack(), MS)
    balancer.place(a_group(1, model=5, captured_ns=MS, deadline_ns=SECOND), MS)
    [offer] = offers(balancer)
    busy = Answer(offer.number, BUSY, 0, 20 * MS, b"", DIGEST._replace(sequence=2))
    balancer.received(2, busy.pack(), 2 * MS)
    balancer.actions()
    return balancer


def asks(balancer: Balancer, number: int, model: int, now_ns: int) -> bool:
    group = a_group(number, model=model, captured_ns=now_ns, deadline_ns=now_ns + SECOND)
    balancer.place(group, now_ns)
    return any(offer.model == model for offer in offers(balancer))


def test_with_bytes_to_spare_a_refusal_keeps_no_other_group_from_asking():
    assert asks(refused_by_its_only_peer(1e9), 2, 5, 10 * MS)


def test_once_the_budget_is_used_up_whoever_refused_is_left_alone_for_a_while():
    balancer = refused_by_its_only_peer(1.0)
    assert not asks(balancer, 2, 5, 10 * MS)
    assert asks(balancer, 3, 5, 10 * MS + Settings().backoff_ns)


def test_what_was_refused_of_one_model_says_nothing_of_another():
    balancer = refused_by_its_only_peer(1.0)
    assert asks(balancer, 2, 6, 10 * MS)
