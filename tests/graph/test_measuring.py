"""Counts, crossings, stays, speeds, windows, filters: what they make of tracks."""

from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import edgesdk as edge
from edgesdk.graph import FrameInfo, FrameView
from edgesdk.graph.operators.columns import Attach, Top
from edgesdk.graph.operators.counting import Count, Dwell, ZoneCount
from edgesdk.graph.operators.filtering import Filter
from edgesdk.graph.operators.geometry import inside
from edgesdk.graph.operators.line import LineCount
from edgesdk.graph.operators.memory import TrackMemory
from edgesdk.graph.operators.motion import Speed
from edgesdk.graph.operators.views import Crop, Zone
from edgesdk.graph.operators.window import Window
from edgesdk.values import Classification, Detections, Embedding, Measurement

LEFT = ((0.0, 0.0), (0.5, 0.0), (0.5, 1.0), (0.0, 1.0))
Tracks = Callable[..., Detections]
At = Callable[..., FrameInfo]


def test_now_is_who_is_here_and_total_who_has_been(tracks: Tracks, at: At) -> None:
    count = Count()
    shots = [{"t1": (0.1, 0.5)}, {"t1": (0.1, 0.5), "t2": (0.2, 0.5)}, {}, {"t2": (0.2, 0.5)}]
    found = [count.step(tracks(**shot), at(k)).fields for k, shot in enumerate(shots)]
    assert [(f["now"], f["total"]) for f in found] == [(1, 1), (2, 2), (0, 2), (1, 2)]


def test_a_zone_counts_those_whose_feet_are_in_it(tracks: Tracks, at: At) -> None:
    count = ZoneCount(polygon=LEFT, anchor="bottom")
    count.step(tracks(t1=(0.6, 0.5), t2=(0.4, 0.5)), at(0))
    found = count.step(tracks(t1=(0.4, 0.5), t2=(0.6, 0.5)), at(1))
    assert found.fields == {"now": 1, "total": 2}


def test_dwell_adds_up_the_time_inside_over_several_visits(tracks: Tracks, at: At) -> None:
    dwell = Dwell(polygon=LEFT, anchor="bottom")
    places = [0.4, 0.4, 0.6, 0.6, 0.4, 0.4]
    found = [dwell.step(tracks(t7=(x, 0.5)), at(2.0 * k)) for k, x in enumerate(places)]
    seconds = [[row["seconds"] for row in f.fields["tracks"]] for f in found]
    assert seconds == [[0.0], [2.0], [], [], [2.0], [4.0]]
    assert found[-1].fields["max"] == found[-1].fields["mean"] == 4.0
    assert found[2].fields["max"] is None


LINE = ((0.5, 0.0), (0.5, 1.0))  # downwards: its right is the left of the picture


def crossings(tracks: Tracks, at: At, places: list[tuple[float, float]], line=LINE) -> tuple:
    counter = LineCount(line=line, margin=0.01, anchor="bottom")
    for place in places:
        found = counter.step(tracks(t1=place), at(0))
    return found.fields["in"], found.fields["out"]


def test_from_the_lines_left_to_its_right_is_in_and_back_is_out(tracks: Tracks, at: At) -> None:
    there = [(0.7, 0.5), (0.4, 0.5)]
    assert crossings(tracks, at, there) == (1, 0)
    assert crossings(tracks, at, there[::-1]) == (0, 1)
    assert crossings(tracks, at, there * 3) == (3, 2)
    assert crossings(tracks, at, there, line=LINE[::-1]) == (0, 1)


def test_trembling_on_the_line_is_no_crossing(tracks: Tracks, at: At) -> None:
    trembling = [(0.5 + 0.004 * (-1) ** k, 0.5) for k in range(50)]
    assert crossings(tracks, at, [(0.7, 0.5), *trembling]) == (0, 0)
    assert crossings(tracks, at, [(0.7, 0.5), *trembling, (0.7, 0.5)]) == (0, 0)
    assert crossings(tracks, at, [(0.7, 0.5), *trembling, (0.4, 0.5)]) == (1, 0)


def test_who_walks_around_the_end_of_the_line_does_not_cross_it(tracks: Tracks, at: At) -> None:
    short = ((0.5, 0.3), (0.5, 0.6))
    assert crossings(tracks, at, [(0.7, 0.9), (0.4, 0.9)], line=short) == (0, 0)
    assert crossings(tracks, at, [(0.7, 0.5), (0.4, 0.5)], line=short) == (1, 0)


def test_who_appears_beyond_the_line_has_not_crossed_it(tracks: Tracks, at: At) -> None:
    assert crossings(tracks, at, [(0.4, 0.5), (0.3, 0.5)]) == (0, 0)


@settings(deadline=None, derandomize=True)
@given(st.lists(st.floats(0, 1), min_size=2, max_size=30))
def test_crossings_in_and_out_alternate(tracks_of_x) -> None:
    counter = LineCount(line=LINE, margin=0.01, anchor="bottom")
    for k, x in enumerate(tracks_of_x):
        box = np.array([[x * 1000 - 10, 200, x * 1000 + 10, 250]], np.float32)
        row = Detections(box, np.ones(1, np.float32), np.ones(1, np.int32), ("p",), np.array([1]))
        found = counter.step(row, FrameInfo(k, 1, k, k, 1000, 500)).fields
        assert abs(found["in"] - found["out"]) <= 1


def test_speed_is_metres_on_the_ground_over_capture_time(tracks: Tracks, at: At) -> None:
    speed = Speed(scale=0.02, over_ns=10**9, name="speed")
    found = [speed.step(tracks(t1=(0.1 + 0.01 * k, 0.5)), at(k / 10)) for k in range(30)]
    column = [row.attributes["speed"][0] for row in found]
    assert column[0] is None  # nothing to compare with yet
    assert column[-1] == pytest.approx(2.0, abs=0.01)  # 10 pixels of 2 cm every tenth of a second
    assert found[-1].track_ids.tolist() == [1]


def test_speed_through_a_homography_knows_perspective(tracks: Tracks, at: At) -> None:
    plane = edge.ground_plane(
        image=[(0.4, 0.4), (0.6, 0.4), (1, 1), (0, 1)], metres=[(0, 20), (4, 20), (4, 0), (0, 0)]
    )
    speeds = {}
    for y in (0.4, 1.0):
        width = 0.2 if y == 0.4 else 1.0
        speed = Speed(scale=plane, over_ns=10**9, name="v")
        for k in range(11):
            place = (0.5 - width / 2 + width * k / 10, y)
            speeds[y] = speed.step(tracks(t1=place), at(k / 10)).attributes["v"][0]
    assert speeds[0.4] == pytest.approx(4.0, abs=0.01)  # 4 metres in a second, far and near
    assert speeds[1.0] == pytest.approx(4.0, abs=0.01)


def test_a_window_gives_the_last_whole_one_by_capture_time(at: At) -> None:
    window = Window(nanoseconds=10**9, aggregate="mean", field="now")
    found = [
        window.step(Measurement("count", {"now": k, "total": 9}), at(k / 4)).fields
        for k in range(12)
    ]
    assert [f["value"] for f in found] == [None] * 4 + [1.5] * 4 + [5.5] * 4
    assert found[4]["frames"] == 4
    assert found[9]["running"] == 8.5


def test_a_window_in_which_nothing_came_has_no_value(at: At) -> None:
    window = Window(nanoseconds=10**9, aggregate="sum", field=None)
    window.step(Measurement("x", {"n": 3}), at(0.5))
    found = window.step(Measurement("x", {"n": 4}), at(5.5)).fields
    assert (found["value"], found["frames"], found["running"]) == (None, 0, 4.0)


@pytest.mark.parametrize(
    ("aggregate", "value"), [("mean", 3.0), ("max", 6.0), ("min", 1.0), ("sum", 9.0), ("last", 2.0)]
)
def test_aggregates(aggregate: str, value: float, at: At) -> None:
    window = Window(nanoseconds=10**9, aggregate=aggregate, field=None)
    for k, n in enumerate([1, 6, 2]):
        found = window.step(Measurement("x", {"n": n}), at(k / 10)).fields
    assert found["running"] == value


def test_a_window_over_tracks_counts_them_or_reads_a_column(tracks: Tracks, at: At) -> None:
    rows = tracks(t1=(0.1, 0.5), t2=(0.2, 0.5)).with_attribute("speed", (None, 4.0))
    counted = Window(nanoseconds=10**9, aggregate="max", field=None).step(rows, at(0))
    fastest = Window(nanoseconds=10**9, aggregate="max", field="speed").step(rows, at(0))
    assert (counted.fields["running"], fastest.fields["running"]) == (2.0, 4.0)


def filtered(tracks: Detections, info: FrameInfo, **conditions: object) -> list[int]:
    options = {
        "classes": None,
        "score": 0.0,
        "zone": None,
        "anchor": "bottom",
        "min_size": None,
        "max_size": None,
        **conditions,
    }
    return Filter(**options).step(tracks, info).track_ids.tolist()


def test_a_filter_keeps_what_answers_every_condition(tracks: Tracks, at: At) -> None:
    rows = tracks(t1=(0.1, 0.5), t2=(0.6, 0.5), t3=(0.3, 0.9))
    info = at(0)
    assert filtered(rows, info) == [1, 2, 3]
    assert filtered(rows, info, zone=LEFT) == [1, 3]
    assert filtered(rows, info, classes=("dog",)) == []
    assert filtered(rows, info, zone=LEFT, classes=("dog", "person")) == [1, 3]
    # 20 x 40 pixels of 1000 x 500: 0.02 wide and 0.08 high
    assert filtered(rows, info, min_size=(0.02, 0.079)) == [1, 2, 3]
    assert filtered(rows, info, min_size=(0.0, 0.081)) == []
    assert filtered(rows, info, max_size=(0.0, 0.081)) == [1, 2, 3]
    assert filtered(rows, info, max_size=(0.019, 0.081)) == []


def test_a_filter_by_score_keeps_the_threshold_itself(tracks: Tracks, at: At) -> None:
    rows = tracks(t1=(0.1, 0.5), t2=(0.2, 0.5))
    scored = Detections(
        rows.boxes, np.array([0.3, 0.299], np.float32), rows.label_ids, rows.labels, rows.track_ids
    )
    assert filtered(scored, at(0), score=0.3) == [1]


@settings(deadline=None, derandomize=True)
@given(st.floats(0, 1), st.floats(0, 1))
def test_a_point_is_inside_a_triangle_exactly_if_it_is_below_its_edge(x: float, y: float) -> None:
    if abs(x - y) < 1e-9 or y in (0, 1) or x in (0, 1):
        return
    found = inside(np.array([[x, y]]), ((0.0, 0.0), (1.0, 1.0), (0.0, 1.0)))
    assert bool(found[0]) is (y > x)


def test_a_crop_is_a_view_in_whole_pixels_within_what_was_looked_at(at: At) -> None:
    image = np.arange(100 * 200 * 3, dtype=np.uint8).reshape(100, 200, 3)
    half = Crop(box=(0.25, 0.0, 0.75, 1.0)).step(FrameView(image), at(0))
    assert half.box == (50, 0, 150, 100)
    assert np.shares_memory(half.pixels(), image)
    assert Crop(box=(0.5, 0.5, 1.0, 1.0)).step(half, at(0)).box == (100, 50, 150, 100)
    assert Crop(box=(0.5, 0.5, 0.5001, 0.5001)).step(FrameView(image), at(0)).box == (
        100,
        50,
        101,
        51,
    )


def test_a_zone_is_grey_outside_its_polygon_and_leaves_the_frame_alone(at: At) -> None:
    image = np.full((100, 200, 3), 255, np.uint8)
    zone = Zone(polygon=((0.0, 0.0), (0.5, 0.0), (0.0, 1.0)))
    view = zone.step(FrameView(image), at(0))
    assert view.box == (0, 0, 100, 100)
    assert view.pixels()[10, 10].tolist() == [255, 255, 255]
    assert view.pixels()[95, 95].tolist() == [114, 114, 114]
    assert (image == 255).all()
    small = zone.step(FrameView(np.full((50, 100, 3), 255, np.uint8)), at(0))
    assert small.pixels().shape == (50, 50, 3)


def test_a_second_models_findings_become_a_column(tracks: Tracks, at: At) -> None:
    rows = tracks(t1=(0.1, 0.5), t2=(0.2, 0.5))
    hats = [Classification((3, 1), ("hat", "cap"), (0.9, 0.1)), Classification((), (), ())]
    best = Attach(name="hat", top=1).step(rows, hats, at(0))
    assert best.attributes["hat"] == ({"label_id": 3, "label": "hat", "score": 0.9}, None)
    both = Attach(name="hat", top=2).step(rows, hats, at(0))
    assert [len(entry) for entry in both.attributes["hat"]] == [2, 0]
    vectors = [Embedding(np.array([1, 0], np.float32))] * 2
    assert Attach(name="e", top=None).step(rows, vectors, at(0)).attributes["e"][0] == [1.0, 0.0]


def test_the_top_of_a_classification(at: At) -> None:
    found = Top(top=1).step(Classification((3, 1), ("a", "b"), (0.9, 0.1)), at(0))
    assert (found.label_ids, found.labels, found.scores) == ((3,), ("a",), (0.9,))


def test_tracks_long_gone_are_forgotten_and_those_held_still_are_not() -> None:
    memory: TrackMemory[None] = TrackMemory(lambda: None)
    minute = 60 * 10**9
    memory.see([1, 2], 0)
    memory.see([2], 90 * minute)  # a gate held everything in between
    assert 1 in memory
    for k in range(400):
        memory.see([2], 90 * minute + k * 10**9)
    assert 1 not in memory
    assert 2 in memory


def test_detections_go_to_supervision_and_back(tracks: Tracks) -> None:
    pytest.importorskip("supervision")
    rows = tracks(t1=(0.1, 0.5), t2=(0.2, 0.5)).with_attribute("hat", ({"label": "cap"}, None))
    assert Detections.from_supervision(rows.to_supervision()).to_json() == rows.to_json()
