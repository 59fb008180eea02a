from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgesdk.runtime.sequencer import Released, Sequencer


def test_results_come_out_in_order_whatever_order_they_came_in() -> None:
    sequencer: Sequencer[str] = Sequencer()
    for key in (1, 2, 3):
        sequencer.expect(key, deadline_ns=100)
    sequencer.settle(3, "c")
    sequencer.settle(2, "b")
    assert sequencer.ready(0) == []
    sequencer.settle(1, "a")
    assert sequencer.ready(0) == [Released(1, "a"), Released(2, "b"), Released(3, "c")]


def test_missing_one_is_a_gap_at_its_deadline_and_then_too_late() -> None:
    sequencer: Sequencer[str] = Sequencer()
    sequencer.expect(1, deadline_ns=100)
    sequencer.expect(2, deadline_ns=150)
    sequencer.settle(2, "b")
    assert sequencer.ready(99) == []
    assert sequencer.ready(100) == [Released(1, None), Released(2, "b")]
    assert not sequencer.settle(1, "a")


def test_nothing_is_given_up_while_nobody_waits_for_it() -> None:
    sequencer: Sequencer[str] = Sequencer()
    sequencer.expect(1, deadline_ns=100)
    sequencer.expect(2, deadline_ns=100)
    assert sequencer.ready(10_000) == []
    assert sequencer.settle(1, "late")
    assert sequencer.ready(10_000) == [Released(1, "late")]


def test_keys_only_grow() -> None:
    sequencer: Sequencer[str] = Sequencer()
    sequencer.expect(5, 0)
    with pytest.raises(ValueError, match="key 5 after 5"):
        sequencer.expect(5, 0)


@given(st.permutations(range(12)), st.sets(st.integers(0, 11)), st.integers(0, 11))
def test_every_key_comes_out_once_and_in_order(
    order: list[int], missing: set[int], split: int
) -> None:
    sequencer: Sequencer[int] = Sequencer()
    for key in range(12):
        sequencer.expect(key, deadline_ns=1_000)
    released: list[Released[int]] = []
    for at, key in enumerate(order):
        if key not in missing:
            sequencer.settle(key, key)
        if at >= split:
            released += sequencer.ready(now_ns=at)
    released += sequencer.ready(now_ns=1_000)
    newest = max(set(range(12)) - missing, default=-1)
    assert [r.key for r in released] == list(range(newest + 1))
    assert all(r.value == (None if r.key in missing else r.key) for r in released)
    assert len(sequencer) == 12 - len(released)
