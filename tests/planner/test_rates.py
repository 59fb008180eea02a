"""Eta, and whose fault it is that it is small."""

import pytest

from edgesdk.planner.rates import Rate, Seen, hidden_need, judge


def seen(*, captured=100, analysed=100, missed=0, streaming=True):
    return Seen(
        seconds=10, captured=captured, analysed=analysed, missed=missed, streaming=streaming
    )


def test_a_camera_analysed_at_its_rate_has_an_eta_of_one():
    assert judge(seen(), 10) == Rate(1.0, "none")


def test_more_frames_than_desired_are_no_more_than_one():
    assert judge(seen(captured=300, analysed=300), 10).eta == 1.0


def test_frames_that_came_and_were_not_analysed_are_for_want_of_machine():
    assert judge(seen(analysed=60, missed=40), 10) == Rate(0.6, "machine")


def test_a_camera_that_gives_fewer_frames_is_not_for_want_of_machine():
    assert judge(seen(captured=50, analysed=50), 10) == Rate(0.5, "outside")


def test_nor_is_one_that_is_away():
    assert judge(seen(captured=0, analysed=0, streaming=False), 10) == Rate(0.0, "outside")


def test_a_machine_that_loses_frames_does_not_hide_behind_a_slow_camera():
    assert judge(seen(captured=80, analysed=40, missed=40), 10).cause == "machine"


def test_what_falls_short_for_want_of_machine_needs_more_than_it_uses():
    assert hidden_need(0.3, Rate(0.6, "machine")) == pytest.approx(0.5)
    assert hidden_need(0.3, Rate(0.6, "outside")) == 0.3
    assert hidden_need(0.3, Rate(0.0, "machine")) == pytest.approx(1.5)
