"""An application over another frame rate than it was written for."""

import pytest

import edgesdk as edge
from edgesdk.errors import GraphError
from edgesdk.graph import compile_applications
from edgesdk.models import ModelRegistry


@edge.operator(version=1)
def size(frame):
    return int(frame.size)


@edge.app
def every_frame(camera: edge.Camera):
    return camera.apply(size)


@edge.app
def two_rates(camera: edge.Camera):
    return {
        "often": camera.sample(fps=10).gate().apply(size),
        "seldom": camera.sample(fps=1).apply(size),
    }


def rates_of(application):
    plan = compile_applications([(application, "door")], ModelRegistry().resolve)
    return [dict(p.params)["fps"] for p in plan.operators if p.kind == "sample"]


def test_an_application_without_samples_gets_one():
    assert rates_of(every_frame) == []
    assert rates_of(every_frame.at_rate(3)) == [3.0]


def test_the_fastest_sample_gets_the_rate_and_the_others_keep_their_ratio():
    assert rates_of(two_rates.at_rate(5)) == [5.0, 0.5]


def test_the_application_itself_stays_as_it_was():
    two_rates.at_rate(5)
    assert rates_of(two_rates) == [10.0, 1.0]


def test_the_rate_it_was_written_for_changes_no_id():
    def ids(application):
        plan = compile_applications([(application, "door")], ModelRegistry().resolve)
        return [p.id for p in plan.operators]

    assert ids(two_rates.at_rate(10)) == ids(two_rates)


def test_a_rate_that_is_none_is_refused():
    with pytest.raises(GraphError, match="fps"):
        every_frame.at_rate(0)
