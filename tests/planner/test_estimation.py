"""What one stream needs, from measurements of several: the pure part of the test run."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgesdk.errors import UsageError
from edgesdk.planner.estimation import (
    Measurement,
    Needs,
    fit,
    fit_together,
    further_runs,
    has_settled,
    interpolate,
    per_stream,
)


def measured(streams, fps, *, shared=0.1, fixed=0.05, frame=0.02, eta=1.0):
    return Measurement(
        streams=streams,
        fps=fps,
        cpu=shared + streams * (fixed + frame * fps),
        memory=int(200e6 + streams * 50e6),
        accelerator=streams * fps * 0.01,
        eta=eta,
        cpu_seconds=(0.9, 1.0, 1.1),
    )


RUNS = [measured(1, 10), measured(2, 10), measured(3, 10), measured(3, 5), measured(3, 2)]


def test_cpu_is_linear_in_the_rate_and_what_a_machine_pays_once_is_told_apart():
    found = fit(RUNS)
    assert found.cpu_shared == pytest.approx(0.1)
    assert found.cpu_fixed == pytest.approx(0.05)
    assert found.cpu_per_frame == pytest.approx(0.02)
    assert (found.memory_shared, found.memory) == (pytest.approx(200e6), pytest.approx(50e6))
    assert found.cpu_error < 1e-9
    assert found.content_variation == pytest.approx(0.16)


def test_needs_at_a_rate_that_was_not_measured_lie_on_the_line():
    needs = fit(RUNS).needs(7)
    assert needs.cpu == pytest.approx(0.05 + 7 * 0.02)
    assert needs.memory == pytest.approx(50e6)
    assert needs.accelerator == pytest.approx(0.07)


def test_the_error_of_the_fit_is_its_largest_deviation():
    bent = [*RUNS[:-1], measured(3, 2, frame=0.06)]
    assert fit(bent).cpu_error > 0.05


def test_a_run_that_the_machine_could_not_keep_up_with_is_left_out():
    overloaded = measured(4, 10, frame=0.5, eta=0.6)
    assert fit([*RUNS, overloaded]) == fit(RUNS)


def test_a_machine_that_keeps_up_with_no_rate_says_so():
    with pytest.raises(UsageError, match=r"60% of the desired rate.*--fps"):
        fit([measured(1, 30, eta=0.6)])


def test_the_estimate_settles_when_one_more_camera_changes_it_by_little():
    assert not has_settled(RUNS[:2])
    assert has_settled(RUNS[:3])
    assert not has_settled([*RUNS[:2], measured(3, 10, frame=0.05)])


def test_a_machine_that_cannot_keep_up_settles_it():
    assert has_settled([measured(1, 10), measured(2, 10, eta=0.8)])


def test_one_stream_is_the_slope_over_the_number_of_them():
    assert per_stream(RUNS[:3]) == pytest.approx(0.25)


def test_a_resolution_between_two_lies_on_the_line_through_them():
    low, high = Needs(cpu=1, memory=10, accelerator=0.1), Needs(cpu=3, memory=30, accelerator=0.1)
    between = interpolate((100, low), (300, high), 200)
    assert (between.cpu, between.memory, between.accelerator) == (2, 20, pytest.approx(0.1))


@given(
    st.lists(
        st.tuples(st.integers(1, 8), st.floats(0.1, 30), st.floats(0, 8)), min_size=1, max_size=8
    )
)
def test_no_measurement_gives_a_negative_need(rows):
    runs = [
        Measurement(streams=n, fps=r, cpu=cpu, memory=10**8, accelerator=0.1, eta=1)
        for n, r, cpu in rows
    ]
    found = fit(runs)
    assert min(found.cpu_shared, found.cpu_fixed, found.cpu_per_frame, found.memory) >= 0


def test_one_stream_and_several_are_run_at_each_lower_rate():
    assert further_runs([2, 5], 3, 4) == [(1, 2), (1, 5), (3, 2), (3, 5)]


def test_where_one_stream_filled_the_machine_two_are_run_at_the_lowest_rate():
    assert further_runs([2, 5], 1, 4) == [(1, 2), (1, 5), (2, 2)]
    assert further_runs([2, 5], 1, 1) == [(1, 2), (1, 5)]
    assert further_runs([], 1, 4) == []


def test_accelerator_time_is_that_of_frames_that_wait_for_no_other():
    alone = [measured(1, 10), measured(1, 5)]
    batched = Measurement(streams=2, fps=10, cpu=0.6, memory=2 * 10**8, accelerator=5.0, eta=1.0)
    assert fit([*alone, batched]).accelerator_per_frame == fit(alone).accelerator_per_frame


def test_what_a_machine_pays_once_is_told_by_all_resolutions_together():
    small = [measured(n, fps) for n, fps in ((1, 10), (2, 10), (1, 2), (2, 2))]
    large = [measured(1, fps, fixed=0.09, frame=0.03) for fps in (10, 2)]
    found = fit_together([small, large])
    assert [one.cpu_shared for one in found] == pytest.approx([0.1, 0.1])
    assert found[1].needs(5).cpu == pytest.approx(0.09 + 0.15)
    # By itself it could not know.
    assert fit(large).needs(5).cpu != pytest.approx(0.09 + 0.15)


def test_where_one_rate_was_reached_those_that_fell_short_tell_what_a_frame_costs():
    reached = measured(1, 4, shared=0.0)
    short = Measurement(
        streams=1, fps=16, cpu=0.05 + 12 * 0.02, memory=reached.memory, accelerator=0.1, eta=0.75
    )
    assert fit([reached, short]).cpu_per_frame == pytest.approx(0.02)
