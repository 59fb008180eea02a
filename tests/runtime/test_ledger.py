from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from edgesdk.runtime.ledger import Channel, End, Entry, Ledger, State

OK = End(State.OK)


class FakeJournal:
    """Not a mock of ours: it is the protocol's smallest implementation, to look into."""

    def __init__(self) -> None:
        self.live: dict[int, Entry] = {}
        self.next = 0

    def opened(self, channel: int, entry: Entry) -> int:
        self.next += 1
        self.live[self.next] = entry
        return self.next

    def closed(self, token: int) -> None:
        del self.live[token]


ends = st.one_of(
    st.just(OK),
    st.just(End(State.LATE)),
    st.sampled_from(["deadline", "queue", "shutdown"]).map(lambda r: End(State.DROPPED, r)),
    st.text(min_size=1, max_size=5).map(lambda r: End(State.FAILED, r)),
)


class Books(RuleBasedStateMachine):
    """Any interleaving of what dispatcher and executors may report, late and double ones too."""

    def __init__(self) -> None:
        super().__init__()
        self.journal = FakeJournal()
        self.channel = Channel("app", "cam", journal=self.journal)
        self.key = (1, 0)
        self.open: set[tuple[int, int]] = set()
        self.closed: set[tuple[int, int]] = set()
        self.ended = 0

    def _next(self, gap: int, restart: bool) -> tuple[int, int]:
        incarnation, sequence = self.key
        self.key = (incarnation + 1, 0) if restart else (incarnation, sequence + gap)
        return self.key

    @rule(
        gap=st.integers(1, 3), restart=st.booleans(), how=st.sampled_from(["skip", "hold", "open"])
    )
    def frame(self, gap: int, restart: bool, how: str) -> None:
        key = self._next(gap, restart)
        if how == "open":
            self.channel.open(Entry(*key))
            self.open.add(key)
        else:
            getattr(self.channel, how)(*key)

    @rule(frames=st.integers(1, 5))
    def lose(self, frames: int) -> None:
        self.channel.lose(frames, "overrun")
        self.ended += frames

    @rule(data=st.data(), end=ends)
    def close(self, data: st.DataObject, end: End) -> None:
        known = sorted(self.open | self.closed) or [(9, 9)]
        key = data.draw(st.sampled_from(known))
        assert self.channel.close(*key, end) == (key in self.open)
        if key in self.open:
            self.open.remove(key)
            self.closed.add(key)
            self.ended += 1

    @rule(data=st.data())
    def deliver(self, data: st.DataObject) -> None:
        if self.closed:
            key = data.draw(st.sampled_from(sorted(self.closed)))
            self.channel.delivered(*key)
            self.closed.remove(key)

    @invariant()
    def sums_hold_at_every_moment(self) -> None:
        counts = self.channel.counts
        assert counts.balanced()
        assert counts.open == len(self.open)
        assert counts.ok + counts.late + counts.dropped + counts.failed == self.ended
        assert counts.dropped == sum(self.channel.dropped_by_reason.values())
        assert counts.failed == sum(self.channel.failed_by_reason.values())

    @invariant()
    def the_journal_has_what_is_open_or_undelivered(self) -> None:
        keys = {(e.incarnation, e.sequence) for e in self.journal.live.values()}
        assert keys == self.open | self.closed


TestBooks = Books.TestCase


def test_second_end_is_a_duplicate_and_changes_nothing() -> None:
    channel = Channel("app", "cam")
    channel.open(Entry(1, 7))
    assert channel.close(1, 7, End(State.LATE))
    assert not channel.close(1, 7, OK)
    assert (channel.counts.late, channel.counts.ok, channel.counts.duplicate) == (1, 0, 1)


def test_frame_is_booked_once() -> None:
    channel = Channel("app", "cam")
    channel.open(Entry(1, 7))
    for again in (channel.skip, channel.hold):
        with pytest.raises(ValueError, match="1:7"):
            again(1, 7)


@given(st.sampled_from(State), st.one_of(st.none(), st.text()))
def test_only_drops_and_failures_have_reasons(state: State, reason: str | None) -> None:
    legal = (state in (State.DROPPED, State.FAILED)) == (reason is not None)
    if legal:
        End(state, reason)
    else:
        with pytest.raises(ValueError, match=state.value):
            End(state, reason)


def test_kinds_of_failure_are_bounded() -> None:
    channel = Channel("app", "cam")
    for i in range(200):
        channel.open(Entry(1, i + 1))
        channel.close(1, i + 1, End(State.FAILED, f"address {i:#x}"))
    assert len(channel.failed_by_reason) <= 33
    assert sum(channel.failed_by_reason.values()) == 200


def test_ledger_totals_its_channels() -> None:
    ledger = Ledger()
    ledger.channel("a", "x").skip(1, 1)
    ledger.channel("a", "y").hold(1, 1)
    ledger.channel("b", "x").open(Entry(1, 1))
    total = ledger.total()
    assert (total.captured, total.skipped_sample, total.held, total.open) == (3, 1, 1, 1)
    assert total.balanced()
