"""When frames of one camera wait for each other, and when they do not."""

from __future__ import annotations

from typing import Any, cast

import pytest

from edgesdk.cluster.gathering import Gathering
from edgesdk.runtime.request import Request, Terms

MS = 1_000_000


def frame(at_ms: int, *, camera: str = "door", left_ms: int = 1000, pictures: int = 1) -> Request:
    terms = Terms(camera, "people", frozenset({"people"}), 1.0, "detect")
    return Request(
        stream=0,
        model=cast(Any, None),
        pictures=cast(Any, [None] * pictures),
        deadline_ns=(at_ms + left_ms) * MS,
        done=lambda outcome: None,
        captured_ns=at_ms * MS,
        terms=terms,
    )


def batches(request: Request, items: int) -> int:
    """40 ms, of which 24 are the start's."""
    return (24 + 16 * items) * MS


def feed(gathering: Gathering, times: range, **options: Any) -> list[int]:
    """Sizes of the groups that frames at these ms made."""
    busy = {"idle": False} | {k: v for k, v in options.items() if k == "idle"}
    rest = {k: v for k, v in options.items() if k != "idle"}
    return [
        len(group) for at in times for group in gathering.add(frame(at, **rest), at * MS, **busy)
    ]


def test_a_busy_node_gathers_frames_that_have_time() -> None:
    sizes = feed(Gathering(batches), range(0, 4000, 50))
    assert max(sizes) > 3
    assert all(size <= 8 for size in sizes)
    assert sum(sizes) > 70


def test_an_idle_node_gathers_nothing() -> None:
    assert set(feed(Gathering(batches), range(0, 1000, 50), idle=True)) == {1}


def test_what_gains_nothing_by_batches_is_not_gathered() -> None:
    gathering = Gathering(lambda request, items: 40 * MS * items)
    assert set(feed(gathering, range(0, 1000, 50))) == {1}


@pytest.mark.parametrize("left_ms", [100, 150])
def test_a_short_deadline_leaves_no_time_to_wait(left_ms: int) -> None:
    assert set(feed(Gathering(batches), range(0, 1000, 50), left_ms=left_ms)) == {1}


def test_a_group_whose_next_frame_does_not_come_goes_without_it() -> None:
    gathering = Gathering(batches)
    feed(gathering, range(0, 400, 50))
    while not gathering.next_ns:
        feed(gathering, range(400, 450, 50))
    due = gathering.next_ns
    assert gathering.due(due - 1) == []
    (group,) = gathering.due(due)
    assert group
    assert gathering.next_ns is None


def test_cameras_are_gathered_apart_and_nothing_is_lost() -> None:
    gathering = Gathering(batches)
    given: list[Request] = []
    taken: list[Request] = []
    for at in range(0, 2000, 40):
        for camera in ("door", "yard"):
            request = frame(at, camera=camera)
            given.append(request)
            for group in gathering.add(request, at * MS, idle=False):
                assert len({r.terms.camera for r in group if r.terms}) == 1
                taken += group
    taken += gathering.take_all()
    assert set(map(id, taken)) == set(map(id, given))
    assert len(taken) == len(given)
