"""What operators take along to another node: there they go on as if nothing had happened."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from edgesdk.graph import FrameInfo
from edgesdk.graph.operators.bytetrack import ByteTrack
from edgesdk.graph.operators.counting import Count, Dwell, ZoneCount
from edgesdk.graph.operators.line import LineCount
from edgesdk.graph.operators.motion import Speed
from edgesdk.graph.operators.window import Window
from edgesdk.runtime.handover import MAX_STATE_BYTES
from edgesdk.values import Detections

SECOND = 1_000_000_000
AHEAD = 7_654_321_987_654  # of the other node's clock
LEFT = ((0.0, 0.0), (0.5, 0.0), (0.5, 1.0), (0.0, 1.0))
LINE = ((0.5, 0.0), (0.5, 1.0))


def track() -> ByteTrack:
    return ByteTrack(high=0.5, low=0.1, start=0.6, overlap=0.2, lost_ns=SECOND, confirm=2)


class Chain:
    """A tracker and one of everything behind it."""

    def __init__(self) -> None:
        self.track = track()
        self.behind = {
            "count": Count(),
            "zone": ZoneCount(polygon=LEFT, anchor="bottom"),
            "dwell": Dwell(polygon=LEFT, anchor="bottom"),
            "line": LineCount(line=LINE, margin=0.01, anchor="bottom"),
            "window": Window(nanoseconds=SECOND, aggregate="mean", field="count"),
        }
        self.speed = Speed(scale=0.01, over_ns=SECOND // 2, name="speed")

    def step(self, found: Detections, info: FrameInfo) -> dict[str, Any]:
        tracks = self.track.step(found, info)
        said = {name: op.step(tracks, info).fields for name, op in self.behind.items()}
        said["ids"] = tracks.track_ids.tolist()
        said["speed"] = self.speed.step(tracks, info).attributes["speed"]
        return said

    def operators(self) -> dict[str, Any]:
        return {"track": self.track, "speed": self.speed, **self.behind}

    def moved(self, ahead_ns: int) -> "Chain":
        found = Chain()
        for name, operator in self.operators().items():
            packed = msgspec.msgpack.encode(operator.export_state())
            assert len(packed) <= MAX_STATE_BYTES
            found.operators()[name].import_state(msgspec.msgpack.decode(packed), ahead_ns)
        return found


def crowd(frames: int) -> Iterator[tuple[int, Detections]]:
    with np.load(Path(__file__).parent / "tracking" / "crowd.npz") as stored:
        seen = stored["detections"].astype(np.float32)
    for t in range(frames):
        here = seen[seen[:, 0] == t]
        n = len(here)
        yield (
            t,
            Detections(here[:, 2:] / 4, here[:, 1] / 1000, np.ones(n, np.int32), ("person",) * n),
        )


def info(t: float, *, incarnation: int = 1, ahead_ns: int = 0) -> FrameInfo:
    now = round(t * SECOND) + ahead_ns
    return FrameInfo(round(t * 30), incarnation, now, now, 1280, 720, 30.0)


@pytest.mark.parametrize("at", [1, 2, 37, 90])
def test_who_moves_between_two_frames_says_what_he_would_have_said(at: int) -> None:
    stays, moves, ahead = Chain(), Chain(), 0
    ids = set()
    for t, found in crowd(120):
        if t == at:
            moves, ahead = moves.moved(AHEAD), AHEAD
        expected = stays.step(found, info(t / 30))
        said = moves.step(found, info(t / 30, incarnation=1 + 4 * (ahead > 0), ahead_ns=ahead))
        assert said == expected, t
        ids.update(said["ids"])
    assert len(ids) > 5, "the scene has people"


def test_a_track_unseen_for_longer_than_it_is_remembered_gets_another_id() -> None:
    one = np.ones(1, np.float32)
    box = Detections(np.array([[9, 9, 60, 200]], np.float32), one, np.ones(1, np.int32), ("p",))
    nobody = box.select(np.zeros(0, np.intp))
    for gap, same in ((0.5, True), (1.5, False)):
        here = track()
        for t in range(5):
            before = here.step(box, info(t / 10))
        here.step(nobody, info(0.45))
        there = track()
        there.import_state(here.export_state(), AHEAD)
        there.step(box, info(0.4 + gap, ahead_ns=AHEAD))
        after = there.step(box, info(0.5 + gap, ahead_ns=AHEAD))
        assert (after.track_ids.tolist() == before.track_ids.tolist()) is same
        assert after.track_ids[0] > 0


def test_the_source_coming_back_after_the_move_still_ends_all_tracks() -> None:
    found = [d for _, d in crowd(40)]
    here = track()
    for t in range(30):
        before = here.step(found[t], info(t / 30))
    there = track()
    there.import_state(here.export_state())
    there.step(found[30], info(1.0, incarnation=5))
    for t in (31, 32, 33):
        after = there.step(found[t], info(t / 30, incarnation=6))
    assert not set(after.track_ids) & set(before.track_ids)


def test_a_window_that_is_open_keeps_its_bounds_and_its_content(tracks: Any) -> None:
    here = Window(nanoseconds=10 * SECOND, aggregate="sum", field="count")
    for t in range(8):
        said = here.step(tracks(t1=(0.5, 0.5)), info(t))
    assert (said.fields["value"], said.fields["running"]) == (None, 8)
    there = Window(nanoseconds=10 * SECOND, aggregate="sum", field="count")
    there.import_state(here.export_state(), AHEAD)
    said = there.step(tracks(t1=(0.5, 0.5)), info(9, ahead_ns=AHEAD))
    assert (said.fields["value"], said.fields["running"]) == (None, 9)
    said = there.step(tracks(t1=(0.5, 0.5)), info(10, ahead_ns=AHEAD))
    assert (said.fields["value"], said.fields["frames"], said.fields["running"]) == (9, 9, 1)


def test_thousands_of_tracks_are_still_small_enough_and_the_latest_are_kept(at: Callable) -> None:
    chain = Chain()
    for k in range(20):
        n = 300
        ids = np.arange(n) + k * 250 + (1 << 40)
        boxes = np.tile(np.array([[0, 0, 20, 40]], np.float32), (n, 1)) + np.arange(n)[:, None] * 50
        rows = Detections(
            boxes, np.ones(n, np.float32), np.ones(n, np.int32), ("p",) * n, ids.astype(np.int64)
        )
        chain.track.step(rows, at(k / 10))
        chain.speed.step(rows, at(k / 10))
        for operator in chain.behind.values():
            operator.step(rows, at(k / 10))
    moved = chain.moved(AHEAD)
    assert moved.behind["count"].step(rows, at(2.0)).fields == {"now": 300, "total": 5050}


WELL_FORMED = {
    "track": {
        "v": 1, "last_id": 3, "frames": 9, "seen_ns": 0,
        "tracks": [[3, 2, 1, 0, False, [1.0] * 20]],
    },
    "count": {"v": 1, "total": 3, "tracks": [[1, 0, 0]]},
    "line": {"v": 1, "came_in": 1, "went_out": 0, "walks": [[1, 0, 0, 1, 0.5, 0.5]]},
    "dwell": {"v": 1, "tracks": [[1, 0, 0, 5, None]], "before": [1]},
    "speed": {"v": 1, "ways": [[1, 0, 0, [[0, 1.0, 2.0]]]]},
    "window": {
        "v": 1, "begin_ns": 0, "length_ns": SECOND,
        "open": [1, 1, 1.0, 1.0, 1.0, 1.0], "closed": [0, 0, 0.0, 0.0, 0.0, 0.0],
    },
}  # fmt: skip


@pytest.mark.parametrize(
    ("name", "change"),
    [
        ("track", {"v": 2}),
        ("track", {"tracks": [[4, 2, 1, 0, False, [1.0] * 20]]}),
        ("track", {"tracks": [[3, 2, 1, 0, False, [1.0] * 20]] * 2}),
        ("track", {"tracks": [[3, 2, 1, 0, False, [1.0] * 19]]}),
        ("track", {"tracks": [[3, 2, 1, 0, False, [float("nan")] * 20]]}),
        ("track", {"tracks": [[3, 2, 1, 0, False, [-1.0] * 20]]}),
        ("track", {"tracks": [[0, 2, 1, 0, False, [1.0] * 20]] * 257}),
        ("count", {"total": -1}),
        ("count", {"total": 1 << 62}),
        ("count", {"tracks": [[1, 0, 0]] * 1201}),
        ("line", {"walks": [[1, 0, 0, 2, 0.5, 0.5]]}),
        ("line", {"walks": [[1, 0, 0, 1, float("nan"), 0.5]]}),
        ("speed", {"ways": [[1, 0, 0, [[0, float("inf"), 2.0]]]]}),
        ("dwell", {"before": "all"}),
        ("window", {"length_ns": 2 * SECOND}),
        ("window", {"open": [1, 1, float("inf"), 1.0, 1.0, 1.0]}),
        ("window", {"more": 1}),
    ],
)
def test_a_state_that_cannot_be_is_refused(name: str, change: dict[str, Any]) -> None:
    Chain().operators()[name].import_state(WELL_FORMED[name])
    with pytest.raises(ValueError, match="a state"):
        Chain().operators()[name].import_state({**WELL_FORMED[name], **change})


PLAIN = st.recursive(
    st.none() | st.booleans() | st.integers(-(1 << 63), (1 << 64) - 1) | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=12,
)


@settings(max_examples=150, deadline=None)
@example(name="track", field="tracks", value=[[0, 1, 0, 1 << 62, True, [1e9 - 1] * 20]])
@given(name=st.sampled_from(sorted(WELL_FORMED)), field=st.text(), value=PLAIN)
def test_whatever_comes_is_refused_or_used_and_the_next_frame_is_measured(
    name: str, field: str, value: Any
) -> None:
    chain = Chain()
    known = sorted(WELL_FORMED[name])
    state = {**WELL_FORMED[name], known[len(field) % len(known)]: value}
    try:
        chain.operators()[name].import_state(state, AHEAD)
    except ValueError:
        chain = Chain()
    for t, found in crowd(3):
        said = chain.step(found, info(t / 30, ahead_ns=AHEAD))
    msgspec.json.encode({key: v for key, v in said.items() if key != "speed"})
