from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from edgesdk.runtime.latency import Durations


@given(st.lists(st.integers(0, 10**12), min_size=1, max_size=200), st.floats(0.01, 1.0))
def test_quantiles_are_within_one_sixteenth_above_the_true_ones(
    values: list[int], q: float
) -> None:
    durations = Durations()
    for value in values:
        durations.add(value)
    true = sorted(values)[max(1, round(q * len(values))) - 1]
    found = durations.quantile(q)
    assert found is not None
    assert true <= found <= true + true // 16 + 1


def test_nothing_measured_has_no_quantile() -> None:
    assert Durations().quantile(0.5) is None
    assert Durations().ms(0.5) is None


def test_clock_that_steps_back_and_absurd_values_do_not_break_it() -> None:
    durations = Durations()
    durations.add(-5)
    durations.add(1 << 80)
    assert durations.count == 2
    assert durations.quantile(0.1) == 0
