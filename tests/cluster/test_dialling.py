"""Which addresses are tried, and when: in virtual time."""

import random
from itertools import pairwise

from edgesdk.cluster.dialing import Dialling

SECOND = 1_000_000_000
HERE, THERE = ("10.0.0.1", 7440), ("10.0.0.2", 7440)


def tries(dialling, seconds, start=0):
    """(second, address) of each try, looked for every 50 ms."""
    found = []
    for step in range(int(seconds * 20)):
        now = start + step * SECOND // 20
        found += [(now / SECOND, address) for address in dialling.due(now)]
    return found


def test_a_seed_is_tried_for_ever_and_ever_more_seldom():
    dialling = Dialling(random.Random(1))
    dialling.want(HERE, 0, forever=True)
    moments = [moment for moment, _ in tries(dialling, 3600)]
    assert moments[0] == 0
    assert len([m for m in moments if m < 5]) >= 4
    gaps = [b - a for a, b in pairwise(moments[10:])]
    assert 6 < min(gaps) <= max(gaps) < 10
    assert moments[-1] > 3580


def test_a_hint_is_given_up_after_a_quarter_of_an_hour():
    dialling = Dialling(random.Random(1))
    dialling.want(HERE, 0)
    moments = [moment for moment, _ in tries(dialling, 3600)]
    assert 890 < moments[-1] <= 900
    assert dialling.next_ns() is None


def test_a_stranger_is_not_tried_again_unless_it_is_a_seed_and_then_late():
    dialling = Dialling(random.Random(1))
    dialling.want(HERE, 0)
    dialling.want(THERE, 0, forever=True)
    assert set(dialling.due(0)) == {HERE, THERE}
    for address in (HERE, THERE):
        dialling.failed(address, "another cluster", 0)
    assert tries(dialling, 29) == []
    assert tries(dialling, 32)[0][1] == THERE


def test_when_one_answers_after_a_long_time_all_are_tried_at_once():
    dialling = Dialling(random.Random(1))
    for address in (HERE, THERE):
        dialling.want(address, 0)
    tries(dialling, 60)
    dialling.reached(HERE, 60 * SECOND)
    assert dialling.due(60 * SECOND) == [THERE]


def test_hints_are_bounded_and_never_push_a_seed_out():
    dialling = Dialling(random.Random(1))
    dialling.want(HERE, 0, forever=True)
    for port in range(5000):
        dialling.want(("10.1.0.1", port), 0)
    ready = dialling.due(0)
    assert len(ready) <= 1024
    assert HERE in ready
