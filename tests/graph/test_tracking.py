"""The tracker: as good as the reference, and what it makes of gaps, classes and returns.

The scenes and what the package ``trackers`` 2.6 makes of them lie in ``tracking/``.
"""

import importlib.util
from pathlib import Path
from types import ModuleType

import motmetrics
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edgesdk.graph import FrameInfo
from edgesdk.graph.operators.bytetrack import ByteTrack
from edgesdk.graph.operators.kalman import BoxFilter
from edgesdk.values import Detections

FOLDER = Path(__file__).parent / "tracking"
SECOND = 1_000_000_000
OPTIONS = {
    "high": 0.5,
    "low": 0.1,
    "start": 0.6,
    "overlap": 0.2,
    "lost_ns": SECOND,
    "confirm": 2,
}


def scenes() -> ModuleType:
    spec = importlib.util.spec_from_file_location("scenes", FOLDER / "scenes.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def frame(t: float, *, incarnation: int = 1) -> FrameInfo:
    nanoseconds = round(t * SECOND)
    return FrameInfo(round(t * 30), incarnation, nanoseconds, nanoseconds, 1280, 720, 30.0)


def detections(*boxes: tuple[float, ...], score: float = 0.9, label: int = 1) -> Detections:
    n = len(boxes)
    return Detections(
        np.array(boxes, np.float32).reshape(n, 4),
        np.full(n, score, np.float32),
        np.full(n, label, np.int32),
        ("person",) * n,
    )


def quality(truth: np.ndarray, tracks: np.ndarray) -> tuple[float, float]:
    """IDF1 and MOTA of tracks (frame, id, x1, y1, x2, y2), at an overlap of one half."""
    accumulator = motmetrics.MOTAccumulator(auto_id=True)
    for t in np.unique(truth[:, 0]):
        real, found = truth[truth[:, 0] == t], tracks[tracks[:, 0] == t]
        low = np.maximum(real[:, None, 2:4], found[None, :, 2:4])
        high = np.minimum(real[:, None, 4:], found[None, :, 4:])
        common = np.prod(np.maximum(high - low, 0), axis=2)
        area = [np.prod(rows[:, 4:] - rows[:, 2:4], axis=1) for rows in (real, found)]
        distance = 1 - common / (area[0][:, None] + area[1][None] - common)
        distance[distance > 0.5] = np.nan
        accumulator.update(real[:, 1].astype(int), found[:, 1].astype(int), distance)
    names = ["idf1", "mota"]
    found = motmetrics.metrics.create().compute(accumulator, metrics=names, name="scene")
    return float(found["idf1"].iloc[0]), float(found["mota"].iloc[0])


def compared(scene: str, rate: str, every: int) -> tuple[tuple[float, float], tuple[float, float]]:
    """Our and the reference's IDF1 and MOTA on a scene, seeing one frame of *every*."""
    truth, seen = scenes().read(FOLDER / f"{scene}.npz")
    with np.load(FOLDER / f"{scene}.reference.npz") as stored:
        ids = stored[rate]
    reference = np.c_[seen[:, 0], ids, seen[:, 2:]][ids >= 0]
    tracker, rows = ByteTrack(**OPTIONS), []
    for t in range(0, int(seen[:, 0].max()) + 1, every):
        here = seen[seen[:, 0] == t]
        made = detections(*here[:, 2:])
        found = tracker.step(
            Detections(made.boxes, here[:, 1].copy(), made.label_ids, made.labels), frame(t / 30)
        )
        rows += [[t, i, *box] for i, box in zip(found.track_ids, found.boxes, strict=True)]
    truth = truth[truth[:, 0] % every == 0]
    return quality(truth, np.array(rows)), quality(truth, reference)


@pytest.mark.parametrize("scene", ["crossing", "crowd", "shaky"])
def test_idf1_and_mota_are_no_worse_than_the_references(scene: str) -> None:
    ours, theirs = compared(scene, "all", 1)
    assert theirs[0] > 0.7, "the fixture holds real tracks"
    assert ours[0] >= theirs[0]
    assert ours[1] >= theirs[1]


def test_at_five_frames_a_second_they_are_no_worse_over_all_scenes() -> None:
    found = [compared(scene, "sixth", 6) for scene in ("crossing", "crowd", "shaky")]
    ours, theirs = np.mean(found, axis=0)
    assert theirs[0] > 0.7
    assert (ours >= theirs).all()


def test_the_filter_is_the_full_kalman_filter() -> None:
    """Against x, P with 8 x 8 matrices, as written in the paper's code."""
    rng = np.random.default_rng(1)
    box = np.array([[100.0, 50.0, 160.0, 210.0]])
    ours = BoxFilter.start(box)
    height = 160.0
    scale = np.array([1 / 20, 1 / 20, 0, 1 / 20, 1 / 160, 1 / 160, 0, 1 / 160]) * height
    deviation = np.array([2, 2, 0, 2, 10, 10, 0, 10]) * scale + [0, 0, 1e-2, 0, 0, 0, 1e-5, 0]
    mean = np.array([130.0, 130.0, 0.375, 160.0, 0, 0, 0, 0])
    covariance = np.diag(deviation**2)
    move = np.eye(8) + np.eye(8, k=4)
    see = np.eye(4, 8)
    for _ in range(20):
        h = mean[3]
        noise = np.array([h / 20, h / 20, 1e-2, h / 20, h / 160, h / 160, 1e-5, h / 160])
        mean, covariance = move @ mean, move @ covariance @ move.T + np.diag(noise**2)
        ours.predict()
        box = box + rng.normal(3, 2, 4)
        x1, y1, x2, y2 = box[0]
        measured = np.array([(x1 + x2) / 2, (y1 + y2) / 2, (x2 - x1) / (y2 - y1), y2 - y1])
        noise = np.array([mean[3] / 20, mean[3] / 20, 1e-1, mean[3] / 20])
        expected = see @ covariance @ see.T + np.diag(noise**2)
        gain = covariance @ see.T @ np.linalg.inv(expected)
        mean = mean + gain @ (measured - see @ mean)
        covariance = covariance - gain @ expected @ gain.T
        ours.update(np.array([0]), box)
        np.testing.assert_allclose(np.r_[ours.place[0], ours.velocity[0]], mean, rtol=1e-9)


def walk(x: float) -> tuple[float, ...]:
    return (x, 100, x + 50, 250)


def test_ids_begin_at_one_and_follow_without_holes() -> None:
    tracker = ByteTrack(**OPTIONS)
    first = tracker.step(detections(walk(0), walk(300)), frame(0))
    assert first.track_ids.tolist() == [1, 2]
    ghost = tracker.step(detections(walk(2), walk(302), walk(900)), frame(0.1))
    assert ghost.track_ids.tolist() == [1, 2]
    tracker.step(detections(walk(4), walk(304), walk(600)), frame(0.2))
    later = tracker.step(detections(walk(6), walk(306), walk(602)), frame(0.3))
    assert later.track_ids.tolist() == [1, 2, 3]


def test_each_stream_counts_from_one() -> None:
    for _ in range(2):
        assert ByteTrack(**OPTIONS).step(detections(walk(0)), frame(0)).track_ids.tolist() == [1]


def test_a_low_score_continues_a_track_and_begins_none() -> None:
    tracker = ByteTrack(**OPTIONS)
    tracker.step(detections(walk(0)), frame(0))
    weak = tracker.step(detections(walk(2), walk(600), score=0.2), frame(0.1))
    assert weak.track_ids.tolist() == [1]
    assert tracker.step(detections(walk(602), score=0.2), frame(0.2)).track_ids.tolist() == []


@pytest.mark.parametrize(("seconds", "same"), [(0.9, True), (1.5, False)])
def test_a_track_is_lost_by_capture_time(seconds: float, same: bool) -> None:
    tracker = ByteTrack(**OPTIONS)
    tracker.step(detections(walk(0)), frame(0))
    tracker.step(detections(), frame(0.1))
    tracker.step(detections(walk(0)), frame(seconds))
    found = tracker.step(detections(walk(0)), frame(seconds + 0.1))
    assert (found.track_ids.tolist() == [1]) is same


def test_frames_that_were_held_do_not_lose_a_track() -> None:
    tracker = ByteTrack(**OPTIONS)
    tracker.step(detections(walk(0)), frame(0))
    assert tracker.step(detections(walk(0)), frame(600)).track_ids.tolist() == [1]


def test_after_the_source_came_back_no_track_continues_and_no_id_repeats() -> None:
    tracker = ByteTrack(**OPTIONS)
    tracker.step(detections(walk(0)), frame(0))
    tracker.step(detections(walk(0)), frame(0.1, incarnation=2))
    found = tracker.step(detections(walk(0)), frame(0.2, incarnation=2))
    assert found.track_ids.tolist() == [2]


def test_who_came_nearer_is_found_again_at_the_size_of_the_last_sight() -> None:
    tracker = ByteTrack(**OPTIONS)
    for k in range(20):
        tracker.step(detections((100, 300 - 6 * k, 150 + 2 * k, 450)), frame(k / 30))
    for k in range(20, 35):
        tracker.step(detections(), frame(k / 30))
    height = 150 + 6 * 19
    _, y1, _, y2 = tracker._filter.boxes()[0]
    assert y2 - y1 == pytest.approx(height, rel=0.05)


def test_a_box_that_is_no_number_is_left_out() -> None:
    tracker = ByteTrack(**OPTIONS)
    assert tracker.step(detections(walk(0), (np.nan,) * 4), frame(0)).track_ids.tolist() == [1]
    assert tracker.step(detections((np.inf,) * 4, walk(2)), frame(0.1)).track_ids.tolist() == [1]


def test_a_car_does_not_continue_a_persons_track() -> None:
    tracker = ByteTrack(**OPTIONS)
    tracker.step(detections(walk(0)), frame(0))
    assert tracker.step(detections(walk(0), label=2), frame(0.1)).track_ids.tolist() == []


def test_rows_keep_their_order_boxes_and_columns() -> None:
    tracker = ByteTrack(**OPTIONS)
    tracker.step(detections(walk(0), walk(300)), frame(0))
    given_ = detections(walk(302), walk(900), walk(2)).with_attribute("hat", ("a", "b", "c"))
    found = tracker.step(given_, frame(0.1))
    assert found.track_ids.tolist() == [2, 1]
    assert found.attributes == {"hat": ("a", "c")}
    np.testing.assert_array_equal(found.boxes, given_.boxes[[0, 2]])


boxes = st.tuples(
    st.floats(-50, 1300), st.floats(-50, 750), st.floats(0, 300), st.floats(0, 300), st.floats(0, 1)
)


@settings(max_examples=60, deadline=None, derandomize=True)
@given(st.lists(st.lists(boxes, max_size=6), min_size=1, max_size=15))
def test_whatever_is_seen_ids_are_one_a_row_and_never_repeat_in_a_frame(shots) -> None:
    tracker, most = ByteTrack(**OPTIONS), 0
    for t, shot in enumerate(shots):
        made = detections(*((x, y, x + w, y + h) for x, y, w, h, _ in shot))
        scores = np.array([row[4] for row in shot], np.float32)
        given_ = Detections(made.boxes, scores, made.label_ids, made.labels)
        found = tracker.step(given_, frame(t / 10))
        ids = found.track_ids.tolist()
        assert len(ids) == len(set(ids)) == len(found)
        assert len(found) <= len(given_)
        assert all(i >= 1 for i in ids)
        new = sorted(i for i in ids if i > most)
        assert new == list(range(most + 1, most + 1 + len(new)))
        most = max([most, *ids])


def test_a_day_of_frames_keeps_no_old_tracks() -> None:
    tracker = ByteTrack(**OPTIONS)
    rng = np.random.default_rng(1)
    for t in range(3000):
        places = rng.uniform(0, 1200, 3)
        tracker.step(detections(*(walk(x) for x in places)), frame(t / 10))
    assert len(tracker._ids) < 100
