"""The pure parts: pace, backoff, the header of a JPEG, the cutter of multipart streams."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgesdk.capture.backoff import Backoff
from edgesdk.capture.clock import ArrivalClock
from edgesdk.capture.jpeg import read_header
from edgesdk.capture.multipart import MultipartCutter, boundary_of
from edgesdk.capture.pace import Pace
from edgesdk.errors import CaptureError

MS = 1_000_000


def test_a_real_pace_waits_until_each_frame_is_due() -> None:
    pace = Pace(real=True)
    assert pace.place(500 * MS, 1000 * MS) == (1000 * MS, 0)
    assert pace.place(540 * MS, 1010 * MS) == (1040 * MS, 30 * MS)


def test_capture_times_do_not_tremble_with_the_clock() -> None:
    pace = Pace(real=True)
    times = [pace.place(i * 40 * MS, i * 40 * MS + jitter)[0] for i, jitter in enumerate([0, 9, 3])]
    assert times == [0, 40 * MS, 80 * MS]


def test_a_decoder_that_is_too_slow_moves_the_present_and_not_the_past() -> None:
    pace = Pace(real=True)
    pace.place(0, 0)
    assert pace.place(40 * MS, 2000 * MS) == (2000 * MS, 0)
    assert pace.place(80 * MS, 2000 * MS) == (2040 * MS, 40 * MS)
    assert pace.slips == 1
    assert pace.origin_ns == 1960 * MS


def test_the_first_frame_moves_with_those_that_follow_it() -> None:
    pace = Pace(real=True)
    assert pace.origin_ns == 0
    assert pace.place(500 * MS, 1000 * MS)[0] == pace.origin_ns == 1000 * MS
    pace.shift(300 * MS)
    captured, _ = pace.place(540 * MS, 1310 * MS)
    assert captured - pace.origin_ns == 40 * MS


@given(st.lists(st.integers(1, 10**9), min_size=1), st.lists(st.integers(0, 10**9), min_size=1))
def test_a_fast_pace_never_waits_and_keeps_distances(steps: list[int], clock: list[int]) -> None:
    pace, media = Pace(real=False), 0
    previous: tuple[int, int] | None = None
    for index, step in enumerate(steps):
        media += step
        capture, wait = pace.place(media, sum(clock[: index + 1]))
        assert wait == 0
        if previous is not None:
            assert capture - previous[0] == media - previous[1]
        previous = (capture, media)


@given(st.lists(st.floats(0, 1, exclude_max=True), min_size=1, max_size=80))
def test_a_backoff_grows_to_its_cap_and_starts_anew_after_success(draws: list[float]) -> None:
    drawn = iter([*draws, 0.0])
    backoff = Backoff(lambda: next(drawn), first=0.25, cap=15.0, jitter=0.3)
    for number, draw in enumerate(draws):
        expected = min(15.0, 0.25 * 2.0 ** min(number, 30)) * (1 - 0.3 * draw)
        assert backoff.next() == pytest.approx(expected)
    backoff.reset()
    assert backoff.next() == 0.25


@given(
    delays=st.lists(st.integers(0, 900 * MS), min_size=2, max_size=60),
    skew=st.integers(-(10**15), 10**15),
)
def test_live_pictures_are_never_taken_in_the_future_nor_out_of_order(
    delays: list[int], skew: int
) -> None:
    clock, last = ArrivalClock(), -1
    now = 10**16
    for index, delay in enumerate(delays):
        now = max(now, 10**16 + index * 40 * MS + delay)
        clock.arrived(index * 40 * MS + skew, now)
        taken = clock.taken(index * 40 * MS + skew, now)
        assert last < taken <= max(now, last + 1)
        last = taken


def test_jitter_of_the_network_leaves_no_mark_on_capture_times() -> None:
    clock, taken = ArrivalClock(), []
    for index, delay in enumerate([5, 0, 30, 7, 100, 2]):
        now = 10**15 + (index * 40 + delay) * MS
        clock.arrived(index * 40 * MS, now)
        taken.append(clock.taken(index * 40 * MS, now))
    assert np.allclose(np.diff(taken[1:]), 40 * MS, atol=0.5 * MS)


def jpeg(width: int, height: int, quality: int = 90) -> bytes:
    image = np.random.default_rng(0).integers(0, 255, (height, width, 3), dtype=np.uint8)
    return bytes(cv2.imencode(".jpg", image, [cv2.IMWRITE_JPEG_QUALITY, quality])[1])


def test_the_size_of_a_jpeg_is_read_without_decoding_it() -> None:
    header = read_header(jpeg(123, 45))
    assert (header.width, header.height) == (123, 45)


def test_a_coarser_jpeg_has_a_higher_qp() -> None:
    fine, middle, coarse = (read_header(jpeg(64, 64, q)).qp for q in (95, 70, 20))
    assert 1 <= fine < middle < coarse <= 255


@given(st.integers(0, 700))
def test_a_jpeg_cut_anywhere_is_an_error_or_whole(at: int) -> None:
    data = jpeg(64, 48)[:at]
    try:
        header = read_header(data)
    except CaptureError:
        return
    assert (header.width, header.height) == (64, 48)


@given(st.binary(max_size=400))
def test_garbage_behind_the_mark_of_a_jpeg_raises_nothing_but_our_error(data: bytes) -> None:
    try:
        header = read_header(b"\xff\xd8" + data)
    except CaptureError:
        return
    assert header.width > 0
    assert header.height > 0


PICTURES = [b"\xff\xd8one\r\n\xff\xd9", b"\xff\xd8two--fra\xff\xd9", b"\xff\xd8\xff\xd9" * 40]


@given(
    cuts=st.lists(st.integers(1, 60), min_size=1),
    lengths=st.booleans(),
    newline=st.sampled_from([b"\r\n", b"\n"]),
)
def test_parts_come_out_whole_however_the_stream_is_cut(
    cuts: list[int], lengths: bool, newline: bytes
) -> None:
    body = b"preamble" + newline
    for picture in PICTURES:
        body += b"--frame" + newline + b"Content-Type: image/jpeg" + newline
        body += (b"Content-Length: %d" % len(picture) + newline) if lengths else b""
        body += newline + picture + newline
    body += b"--frame--" + newline
    cutter, found, at, turn = MultipartCutter(b"frame", part_bytes_max=1000), [], 0, 0
    while at < len(body):
        size = cuts[turn % len(cuts)]
        found += cutter.feed(body[at : at + size])
        at, turn = at + size, turn + 1
    assert found == PICTURES
    assert cutter.ended


@pytest.mark.parametrize(
    "stream",
    [
        b"--frame\r\nContent-Length: 99999\r\n\r\n",
        b"--frame\r\n\r\n" + b"x" * 3000,
        b"--frame\r\n" + b"X: y\r\n" * 3000,
        b"x" * 100_000,
    ],
)
def test_what_would_grow_without_bound_is_refused(stream: bytes) -> None:
    cutter = MultipartCutter(b"frame", part_bytes_max=1000)
    with pytest.raises(CaptureError):
        list(cutter.feed(stream))


@pytest.mark.parametrize(
    ("said", "boundary"),
    [
        ("multipart/x-mixed-replace; boundary=frame", b"frame"),
        ('multipart/x-mixed-replace;boundary="--my frame"', b"my frame"),
        ("multipart/x-mixed-replace; BOUNDARY=--x; charset=y", b"x"),
    ],
)
def test_boundaries_are_read_as_cameras_write_them(said: str, boundary: bytes) -> None:
    assert boundary_of(said) == boundary


def test_a_stream_that_names_no_boundary_is_refused() -> None:
    with pytest.raises(CaptureError, match="no boundary"):
        boundary_of("multipart/x-mixed-replace")
