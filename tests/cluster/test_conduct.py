"""What becomes of members that send what nobody could mean, or far too much."""

from __future__ import annotations

import logging

import pytest

from edgesdk.cluster.conduct import Conduct

SECOND = 1_000_000_000


class Watched:
    """A conduct whose decisions are noted, and a clock for it."""

    def __init__(self) -> None:
        self.now = 5 * SECOND
        self.out: list[int] = []
        self.conduct = Conduct(self.now, who=lambda n: f"node-{n}", leave_out=self.out.append)

    def offend(self, number: int, times: int = 1) -> None:
        for _ in range(times):
            self.conduct.offence(number, "a datagram that cannot be read", self.now)

    def hears(self, number: int, times: int, kind: int = 1) -> int:
        message = bytes([kind])
        return sum(self.conduct.hears(number, message, self.now) for _ in range(times))


def test_twenty_offences_in_ten_seconds_are_too_many() -> None:
    watched = Watched()
    for _ in range(60):  # two a second apart would do; these are not
        watched.offend(1)
        watched.now += SECOND
    assert watched.out == []
    watched.offend(2, 20)
    assert watched.out == [2]
    assert watched.conduct.is_out(2)
    assert not watched.conduct.is_out(1)
    assert (watched.conduct.count(1), watched.conduct.count(2)) == (60, 20)


def test_who_was_left_out_comes_back_and_is_out_longer_the_next_time() -> None:
    watched = Watched()
    for seconds in (30, 60, 120):
        watched.offend(1, 50)
        watched.now += seconds * SECOND - 1
        assert watched.conduct.pardoned(watched.now) == []
        watched.now += 1
        assert watched.conduct.pardoned(watched.now) == [1]
        assert not watched.conduct.is_out(1)
        assert watched.conduct.pardoned(watched.now) == []
    assert watched.out == [1, 1, 1]


def test_a_flood_is_not_listened_to_and_then_left_out() -> None:
    watched = Watched()
    heard = 0
    for _ in range(300):  # 10,000 a second
        watched.now += SECOND // 100
        heard += watched.hears(1, 100)
    assert watched.out == [1]
    assert heard <= 160
    assert watched.hears(2, 10) == 10


def test_a_busy_node_is_heard_whatever_it_has_to_say() -> None:
    watched = Watched()
    for _ in range(1000):
        watched.now += SECOND // 100
        assert watched.hears(1, 2, kind=1) == 2
        assert watched.hears(1, 2, kind=2) == 2
    assert watched.out == []


def test_the_log_hears_of_it_now_and_then(caplog: pytest.LogCaptureFixture) -> None:
    watched = Watched()
    with caplog.at_level(logging.WARNING):
        for _ in range(100):
            watched.offend(3, 10)
            watched.now += SECOND // 10
    assert [record.getMessage() for record in caplog.records] == [
        "node-3: a datagram that cannot be read",
        "node-3: a datagram that cannot be read (19 times); it is left out for a while",
    ]
