"""Files through a worker, a ring and a reader."""

from __future__ import annotations

import shutil
import threading
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from edgesdk.capture.synthetic import read_index, scene
from edgesdk.core.ring import ColourRange, ColourSpace, Frame, PixelFormat

from .conftest import Cameras

FRAMES = 40


def index_of(frame: Frame) -> int:
    return read_index(frame.pixels())


@pytest.mark.parametrize("kind", ["h264", "h265", "mjpeg", "raw264", "raw265"])
def test_every_frame_of_a_file_arrives_once_and_in_order(
    kind: str, videos: dict[str, Path], cameras: Cameras
) -> None:
    name = cameras.add(f"{videos[kind]}?pace=fast")
    assert cameras.read(name, visit=index_of) == list(range(FRAMES))
    status = cameras.wait_state(name, "ended")
    assert (status.reason, status.failed, status.frames) == ("end of file", False, FRAMES)


def test_a_slow_reader_loses_nothing_of_a_fast_file(
    videos: dict[str, Path], cameras: Cameras
) -> None:
    name = cameras.add(f"{videos['h264']}?pace=fast", slots=3)

    def slowly(frame: Frame) -> int:
        threading.Event().wait(0.02)
        return frame.sequence

    assert cameras.read(name, visit=slowly) == list(range(1, FRAMES + 1))


def test_a_file_plays_at_its_own_rate(videos: dict[str, Path], cameras: Cameras) -> None:
    name = cameras.add(str(videos["h264"]))
    seen = cameras.read(
        name,
        visit=lambda frame: (frame.sequence, frame.properties.capture_mono_ns, time.monotonic_ns()),
    )
    first, last = seen[0], seen[-1]
    took = (last[2] - first[2]) / 1e9
    expected = (last[0] - first[0]) / 25
    assert expected - 0.1 <= took <= expected + 1.0
    # The first frame waited for its reader.
    steps = np.diff([captured for _, captured, _ in seen[1:]])
    assert np.allclose(steps[np.diff([n for n, _, _ in seen[1:]]) == 1], 40e6, atol=1e6)


def test_the_capture_times_of_a_fast_file_are_those_of_its_media(
    videos: dict[str, Path], cameras: Cameras
) -> None:
    name = cameras.add(f"{videos['h264']}?pace=fast")
    times = cameras.read(name, visit=lambda frame: frame.properties.capture_mono_ns)
    assert np.allclose(np.diff(times), 40e6, atol=1e6)


def test_a_looped_file_goes_on_in_one_incarnation_and_forwards_in_time(
    videos: dict[str, Path], cameras: Cameras
) -> None:
    name = cameras.add(f"{videos['h264']}?pace=fast&loop=1")
    seen = cameras.read(
        name,
        count=3 * FRAMES,
        visit=lambda f: (index_of(f), f.epoch, f.properties.capture_mono_ns),
    )
    assert [index for index, _, _ in seen] == list(range(FRAMES)) * 3
    assert {epoch for _, epoch, _ in seen} == {1}
    assert np.allclose(np.diff([at for _, _, at in seen]), 40e6, atol=1e6)


def test_the_rate_of_a_raw_stream_is_what_the_user_says(
    videos: dict[str, Path], cameras: Cameras
) -> None:
    name = cameras.add(f"{videos['raw264']}?pace=fast&fps=10")
    seen = cameras.read(
        name, visit=lambda f: (f.properties.capture_mono_ns, f.properties.frame_rate)
    )
    assert np.allclose(np.diff([at for at, _ in seen]), 100e6, atol=1e6)
    assert {rate for _, rate in seen} == {10.0}


def test_frames_say_what_they_are(
    videos: dict[str, Path], cameras: Cameras, make_video: Callable[..., Path], tmp_path: Path
) -> None:
    name = cameras.add(f"{videos['h264']}?pace=fast")
    before = time.time_ns(), time.monotonic_ns()
    first = cameras.read(name, visit=lambda frame: (frame.properties, frame.pixels().shape))[0]
    properties, shape = first
    assert shape == (240, 320, 3)
    assert (properties.width, properties.height) == (320, 240)
    assert properties.format is PixelFormat.BGR
    assert properties.colour_space is ColourSpace.BT601
    assert properties.colour_range is ColourRange.LIMITED
    assert properties.frame_rate == 25.0
    assert 0 <= properties.capture_mono_ns - before[1] < 5e9
    assert (
        abs((properties.capture_utc_ns - before[0]) - (properties.capture_mono_ns - before[1]))
        < 1e9
    )


@pytest.mark.parametrize(
    ("kind", "low", "high"), [("h264", 1, 51), ("mjpeg", 1, 255), ("h265", -1, -1)]
)
def test_the_quantisation_parameter_is_told_where_the_codec_does(
    kind: str, low: int, high: int, videos: dict[str, Path], cameras: Cameras
) -> None:
    name = cameras.add(f"{videos[kind]}?pace=fast")
    qps = cameras.read(name, visit=lambda frame: frame.properties.qp)
    assert low <= min(qps) <= max(qps) <= high


def test_a_coarser_encoding_has_a_higher_quantisation_parameter(
    cameras: Cameras, make_video: Callable[..., Path], tmp_path: Path
) -> None:
    means = []
    for crf in ("18", "38"):
        path = make_video(tmp_path / f"{crf}.mp4", "libx264", frames=10, options={"crf": crf})
        name = cameras.add(f"{path}?pace=fast")
        means.append(np.mean(cameras.read(name, visit=lambda frame: frame.properties.qp)))
    assert means[1] > means[0] + 8


def test_the_pixels_of_the_scene_survive_coding_and_conversion(
    videos: dict[str, Path], cameras: Cameras
) -> None:
    name = cameras.add(f"{videos['h264']}?pace=fast")
    image = cameras.read(name, visit=lambda frame: frame.pixels().astype(int).copy())[5]
    drawn = np.empty((240, 320, 3), np.uint8)
    scene(1, 320, 240).draw(5, drawn)
    assert np.median(np.abs(image - drawn)) <= 3


def test_a_stream_that_changes_its_size_goes_on_without_losing_a_frame(
    cameras: Cameras, make_video: Callable[..., Path], tmp_path: Path
) -> None:
    small = make_video(tmp_path / "small.264", "libx264", form="h264", frames=12)
    large = make_video(
        tmp_path / "large.264", "libx264", form="h264", frames=12, width=640, height=480
    )
    both = tmp_path / "both.264"
    both.write_bytes(small.read_bytes() + large.read_bytes() + small.read_bytes())
    name = cameras.add(f"{both}?pace=fast")
    seen = cameras.read(name, visit=lambda f: (f.pixels().shape[:2], index_of(f), f.sequence))
    assert [index for _, index, _ in seen] == [*range(12), *range(12), *range(12)]
    assert [shape for shape, _, _ in seen] == [(240, 320)] * 12 + [(480, 640)] * 12 + [
        (240, 320)
    ] * 12
    assert [sequence for _, _, sequence in seen] == list(range(1, 37))


def test_a_file_cut_off_in_the_middle_gives_what_it_has_and_says_so(
    videos: dict[str, Path], cameras: Cameras, tmp_path: Path
) -> None:
    data = videos["mjpeg"].read_bytes()
    cut = tmp_path / "cut.avi"
    cut.write_bytes(data[: len(data) // 2])
    name = cameras.add(f"{cut}?pace=fast")
    seen = cameras.read(name, visit=index_of)
    assert 5 < len(seen) < FRAMES
    assert seen == list(range(len(seen)))
    status = cameras.wait_state(name, "ended")
    assert f"cut off: {len(seen)} of {FRAMES}" in (status.reason or "")


def test_damage_in_the_middle_is_counted_and_passed_over(
    videos: dict[str, Path], cameras: Cameras, tmp_path: Path
) -> None:
    data = bytearray(videos["raw264"].read_bytes())
    random = np.random.default_rng(3)
    data[len(data) // 3 : len(data) // 2] = random.bytes(len(data) // 2 - len(data) // 3)
    path = tmp_path / "damaged.264"
    path.write_bytes(data)
    name = cameras.add(f"{path}?pace=fast")
    assert len(cameras.read(name)) >= 5
    assert cameras.wait_state(name, "ended").failed is False


@pytest.mark.parametrize(
    ("name", "content", "said"),
    [
        ("garbage.mp4", np.random.default_rng(0).bytes(200_000), "not a video|no video|no picture"),
        ("garbage.264", np.random.default_rng(0).bytes(200_000), "not a video|no picture"),
        ("text.mp4", b"This is no video.\n" * 50, "not a video|no video|no picture"),
        ("empty.mp4", b"", "not a video|no picture"),
        ("list.m3u8", b"#EXTM3U\n#EXTINF:1,\nhttp://127.0.0.1:9/x.ts\n", "not a video|no video|:"),
    ],
)
def test_what_is_no_video_ends_with_a_reason(
    name: str, content: bytes, said: str, cameras: Cameras, tmp_path: Path
) -> None:
    path = tmp_path / name
    path.write_bytes(content)
    status = cameras.wait_state(cameras.add(str(path)), "ended")
    assert status.failed
    assert status.restarts == 0
    assert str(path) in (status.reason or "")
    assert any(word in (status.reason or "") for word in said.split("|"))


def test_a_video_without_its_index_ends_with_a_reason(
    videos: dict[str, Path], cameras: Cameras, tmp_path: Path
) -> None:
    path = tmp_path / "half.mp4"
    path.write_bytes(videos["h264"].read_bytes()[:3000])
    status = cameras.wait_state(cameras.add(str(path)), "ended")
    assert status.failed
    assert "damaged" in (status.reason or "")


def test_a_file_that_is_not_there_ends_with_a_reason(cameras: Cameras, tmp_path: Path) -> None:
    status = cameras.wait_state(cameras.add(str(tmp_path / "none.mp4")), "ended")
    assert status.failed
    assert "No such file" in (status.reason or "")


@pytest.mark.parametrize("form", ["h264", "mp4"])
def test_an_image_bomb_is_refused_before_it_is_decoded(
    form: str, cameras: Cameras, make_video: Callable[..., Path], tmp_path: Path
) -> None:
    path = make_video(
        tmp_path / ("bomb.264" if form == "h264" else "bomb.mp4"),
        "libx264",
        form=form,
        width=1024,
        height=768,
        frames=2,
    )
    status = cameras.wait_state(cameras.add(f"{path}?max_pixels=500000"), "ended")
    assert status.failed
    assert status.frames == 0
    assert "1024x768 is over the limit of 500000" in (status.reason or "")


def test_a_picture_that_grows_into_a_bomb_in_mid_stream_is_not_decoded(
    cameras: Cameras, make_video: Callable[..., Path], tmp_path: Path
) -> None:
    small = make_video(tmp_path / "small.264", "libx264", form="h264", frames=12)
    large = make_video(
        tmp_path / "large.264", "libx264", form="h264", frames=12, width=1024, height=768
    )
    path = tmp_path / "both.264"
    path.write_bytes(small.read_bytes() + large.read_bytes())
    name = cameras.add(f"{path}?pace=fast&max_pixels=500000")
    shapes = cameras.read(name, visit=lambda frame: frame.pixels().shape[:2])
    assert set(shapes) == {(240, 320)}
    assert cameras.wait_state(name, "ended").decode_errors > 0


@pytest.mark.parametrize("file", ["what?.mp4", "12:30.mp4", "concat:a b%20c.mp4", "über.mp4"])
def test_a_file_may_have_any_name(
    file: str, videos: dict[str, Path], cameras: Cameras, tmp_path: Path
) -> None:
    path = tmp_path / file
    shutil.copy(videos["h264"], path)
    assert len(cameras.read(cameras.add(f"{path}?pace=fast"))) == FRAMES


def test_no_frame_is_missed_at_the_start_of_a_file_however_late_its_reader_comes(
    videos: dict[str, Path], cameras: Cameras
) -> None:
    name = cameras.add(f"{videos['h264']}?fps=50")
    cameras.wait_state(name, "streaming")
    threading.Event().wait(0.3)
    assert cameras.read(name, count=10, visit=index_of) == list(range(10))


def test_samples_are_counted_from_the_first_frame_whatever_the_source_waited_for(
    videos: dict[str, Path], cameras: Cameras
) -> None:
    name = cameras.add(str(videos["h264"]))
    cameras.wait_state(name, "streaming")
    threading.Event().wait(0.15)

    def age(frame: Frame) -> tuple[int, int]:
        told = cameras.supervisor.status(name).origin_ns
        return frame.sequence - 1, frame.properties.capture_mono_ns - told

    seen = cameras.read(name, count=12, visit=age)
    # While its order to go on is on its way, a frame may be measured by the older origin.
    for index, age_ns in seen[3:]:
        assert age_ns == pytest.approx(index * 40e6, abs=1e6)
