"""Sampling and the motion gate: which frames are looked at."""

import random
from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edgesdk.graph import FrameInfo, FrameView
from edgesdk.graph.operators.gate import Gate
from edgesdk.graph.operators.sample import Sample

SECOND = 1_000_000_000


def frame(seconds: float, *, incarnation: int = 1, rate: float = 0.0) -> FrameInfo:
    nanoseconds = round(seconds * SECOND)
    return FrameInfo(1, incarnation, nanoseconds, nanoseconds, 640, 360, rate)


def picked(sample: Sample, times: list[float], **facts: float) -> list[float]:
    return [t for t in times if sample.step(None, frame(t, **facts))]


@settings(deadline=None, derandomize=True)
@given(st.integers(1, 10**15), st.floats(1, 20))
def test_a_recording_is_sampled_alike_whenever_it_is_played(began, fps) -> None:
    def played(origin: int) -> list[int]:
        sample = Sample(fps=fps)
        infos = [
            FrameInfo(k, 1, origin + k * SECOND // 25, 0, 8, 8, 0.0, origin) for k in range(100)
        ]
        return [info.sequence for info in infos if sample.step(None, info)]

    assert played(began) == played(0)


def test_the_first_frame_at_or_after_each_multiple_of_the_period_is_picked() -> None:
    times = [k / 30 + 0.011 for k in range(60)]
    found = picked(Sample(fps=10), times)
    assert found == [next(t for t in times if t >= k / 10) for k in range(20)]


@settings(deadline=None, derandomize=True)
@given(st.floats(0, 1), st.floats(1, 20), st.integers(0, 90))
def test_equal_rates_pick_equal_frames_whenever_they_began(phase, fps, begun) -> None:
    times = [phase + k / 25 for k in range(150)]
    from_start = picked(Sample(fps=fps), times)
    later = picked(Sample(fps=fps), times[begun:])
    # The first frame that a sampler sees passes; from the next period on it is in step.
    step = times[begun] + 1 / fps
    assert [t for t in later if t > step] == [t for t in from_start if t > step]


@settings(deadline=None, derandomize=True)
@given(st.floats(0, 1), st.integers(0, 1000))
def test_a_camera_no_faster_than_the_rate_is_passed_whole_however_it_trembles(phase, seed) -> None:
    trembling = random.Random(seed)
    times = [phase + k / 10 + trembling.uniform(-0.03, 0.03) + 1 for k in range(50)]
    assert picked(Sample(fps=10), times, rate=10.0) == times


@settings(deadline=None, derandomize=True)
@given(st.floats(0, 1), st.integers(0, 1000))
def test_trembling_time_stamps_of_a_fast_camera_lose_no_period(phase, seed) -> None:
    trembling = random.Random(seed)
    times = [phase + k / 30 + trembling.uniform(-0.008, 0.008) + 1 for k in range(150)]
    assert abs(len(picked(Sample(fps=10), times)) - 50) <= 1


def test_a_frame_that_is_early_by_a_rounding_error_is_on_time() -> None:
    times = [k / 10 + (-1) ** k * 1e-6 for k in range(1, 30)]
    assert picked(Sample(fps=10), times) == times


def test_a_long_gap_is_no_reason_to_pick_several() -> None:
    assert picked(Sample(fps=10), [1.0, 9.0, 9.01, 9.02, 9.11]) == [1.0, 9.0, 9.11]


def test_a_clock_that_went_back_does_not_stop_the_sampling() -> None:
    assert picked(Sample(fps=10), [100.0, 5.0, 5.11]) == [100.0, 5.0, 5.11]


OPTIONS = {
    "threshold": 0.004,
    "hold_ns": SECOND // 2,
    "sensitivity": 12.0,
    "adapt_ns": 5 * SECOND,
    "every_ns": None,
    "zone": None,
}


def street(noise: int = 3, seed: int = 1, size: tuple[int, int] = (360, 640)) -> Callable:
    """Frames of a still, noisy scene, with a bright square at (x, y) where one is given."""
    rng = np.random.default_rng(seed)
    scene = np.repeat(rng.integers(40, 200, (size[0] // 8, size[1] // 8, 3)), 8, axis=0)
    scene = np.repeat(scene, 8, axis=1)

    def shot(square: tuple[int, int] | None = None, light: int = 0) -> FrameView:
        image = scene + rng.integers(-noise, noise + 1, scene.shape) + light
        if square is not None:
            x, y = square
            image[y : y + 60, x : x + 40] = 255
        return FrameView(np.clip(image, 0, 255).astype(np.uint8))

    return shot


def passes(
    gate: Gate, shots: list[FrameView], *, start: float = 1.0, fps: float = 10
) -> list[bool]:
    return [gate.step(shot, frame(start + k / fps)) for k, shot in enumerate(shots)]


def test_the_first_frame_passes_and_a_still_scene_is_held() -> None:
    shot = street()
    assert passes(Gate(**OPTIONS), [shot() for _ in range(30)]) == [True] + [False] * 29


def test_motion_passes_and_goes_on_passing_for_the_hold_time() -> None:
    shot = street()
    shots = [shot() for _ in range(20)] + [shot((100 + 15 * k, 100)) for k in range(10)]
    found = passes(Gate(**OPTIONS), shots)
    assert found == [True] + [False] * 19 + [True] * 10
    gate = Gate(**OPTIONS)
    gate.step(shot(), frame(1.0))
    assert gate.step(shot((100, 100)), frame(1.1))
    later = [gate.step(shot(), frame(1.1 + t)) for t in (0.2, 0.4, 0.9, 1.5)]
    assert later == [True, True, False, False]


def test_a_light_that_changes_everywhere_is_no_motion() -> None:
    shot = street()
    shots = [shot() for _ in range(10)] + [shot(light=25) for _ in range(20)]
    assert not any(passes(Gate(**OPTIONS), shots)[1:])


def test_the_background_takes_in_what_stays() -> None:
    shot = street()
    parked = [shot() for _ in range(5)] + [shot((300, 200)) for _ in range(100)]
    found = passes(Gate(**{**OPTIONS, "adapt_ns": SECOND}), parked)
    assert found[5]
    assert not any(found[-50:])


def test_another_resolution_begins_anew() -> None:
    gate = Gate(**OPTIONS)
    passes(gate, [street()() for _ in range(5)])
    taller = street(size=(480, 640))
    assert passes(gate, [taller() for _ in range(5)], start=3) == [True] + [False] * 4


@pytest.mark.parametrize(
    "there", [frame(2.0, incarnation=2), frame(0.5)], ids=["source came back", "clock went back"]
)
def test_the_first_frame_passes_again_when(there: FrameInfo) -> None:
    shot, gate = street(), Gate(**OPTIONS)
    assert passes(gate, [shot() for _ in range(5)])[1:] == [False] * 4
    assert gate.step(shot(), there)


def test_a_gap_of_lost_frames_is_no_motion() -> None:
    shot, gate = street(), Gate(**OPTIONS)
    passes(gate, [shot() for _ in range(5)])
    assert not gate.step(shot(), frame(500.0))


def test_who_appears_after_a_gap_is_not_background_at_once() -> None:
    shot, gate = street(), Gate(**{**OPTIONS, "hold_ns": 0})
    passes(gate, [shot() for _ in range(5)])
    assert gate.step(shot((100, 100)), frame(500.0))
    assert gate.step(shot((100, 100)), frame(500.1))


def test_a_frame_passes_at_least_as_often_as_asked() -> None:
    shot = street()
    gate = Gate(**{**OPTIONS, "every_ns": SECOND})
    assert passes(gate, [shot() for _ in range(31)]).count(True) == 4


def test_motion_outside_the_zone_does_not_count() -> None:
    shot = street()
    left = {**OPTIONS, "zone": ((0.0, 0.0), (0.5, 0.0), (0.5, 1.0), (0.0, 1.0))}
    still = [shot() for _ in range(5)]
    assert not any(passes(Gate(**left), [*still, shot((500, 100))])[1:])
    assert passes(Gate(**left), [*still, shot((100, 100))])[-1]


def test_a_grey_picture_and_a_part_of_one_will_do() -> None:
    shot = street()
    for see in (
        lambda view: FrameView(view.image[..., 0], "GRAY"),
        lambda view: FrameView(view.image, "BGR", (64, 36, 400, 300)),
        lambda view: FrameView(view.image, "RGB"),
    ):
        shots = [see(shot()) for _ in range(5)] + [see(shot((100, 100)))]
        assert passes(Gate(**OPTIONS), shots) == [True] + [False] * 4 + [True]


@pytest.mark.parametrize("shape", [(1, 1, 3), (3000, 1, 3), (1, 3000, 3), (3000, 700, 3), (5, 4)])
def test_a_picture_of_any_shape_is_taken_and_none_grows(shape: tuple[int, ...]) -> None:
    gate, image = Gate(**OPTIONS), np.zeros(shape, np.uint8)
    assert [gate.step(FrameView(image), frame(k / 10)) for k in range(3)] == [True, False, False]
    assert max(gate._background.shape) <= 160


def test_the_gate_is_deterministic() -> None:
    def run() -> list[bool]:
        shot = street(noise=20)
        return passes(
            Gate(**OPTIONS), [shot((10 * k, 100) if k % 7 < 3 else None) for k in range(60)]
        )

    assert run() == run()
