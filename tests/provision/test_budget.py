"""A budget is never exceeded."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgesdk.errors import UsageError
from edgesdk.provision.budget import Budget


def test_a_machine_is_rented_only_if_its_first_hour_is_covered():
    budget = Budget(0.5)
    assert budget.may_rent(0.4, 0.0)
    budget.rented("a", 0.4, 0.0)
    assert not budget.may_rent(0.2, 10.0)
    assert budget.may_rent(0.1, 10.0)


def test_what_is_given_back_was_paid_for_by_hours_begun():
    budget = Budget(10)
    budget.rented("a", 1.0, 0.0)
    budget.returned("a", 3700.0)
    assert budget.committed(1e6) == pytest.approx(2.0)


def test_before_an_hour_begins_that_is_not_covered_machines_must_stop_the_dearest_first():
    budget = Budget(3.0)
    budget.rented("cheap", 0.5, 0.0)
    budget.rented("dear", 1.0, 0.0)
    assert budget.must_stop(3500.0, 60.0) == []
    assert budget.must_stop(3550.0, 60.0) == []
    assert budget.must_stop(7150.0, 60.0) == ["dear", "cheap"]


@pytest.mark.parametrize("usd", [-1.0, float("nan"), float("inf")])
def test_a_budget_that_means_nothing_is_refused(usd):
    with pytest.raises(UsageError, match="a budget of"):
        Budget(usd)


@given(
    usd=st.floats(0, 20),
    billed=st.sampled_from([1.0, 60.0, 3600.0]),
    wanted=st.lists(st.tuples(st.floats(0.01, 3), st.integers(0, 300)), max_size=20),
)
def test_whatever_is_wanted_and_when_the_budget_holds(usd, billed, wanted):
    budget = Budget(usd, billed_s=billed)
    step = 60.0
    for minute in range(320):
        now = minute * step
        for machine in budget.must_stop(now, step):
            budget.returned(machine, now)
        for number, (price, when) in enumerate(wanted):
            if when == minute and budget.may_rent(price, now):
                budget.rented(str(number), price, now)
                for machine in budget.must_stop(now, step):
                    budget.returned(machine, now)
        assert budget.committed(now) <= usd + 1e-6
    assert budget.committed(320 * step) <= usd + 1e-6
