"""``edgesdk profile`` on real frames: it measures, fits, predicts, remembers."""

import json
import subprocess
import sys

import jsonschema
import pytest

from edgesdk.errors import ConfigError, UsageError
from edgesdk.profiling import load_profile
from edgesdk.profiling.document import Profile, ResolutionProfile, Run
from edgesdk.schemas import schema

APPLICATION = """
import time
import edgesdk as edge


@edge.operator(version=1)
def work(frame):
    end = time.thread_time() + 0.01
    while time.thread_time() < end:
        pass
    return 1


@edge.app
def busy(camera: edge.Camera):
    return camera.sample(fps=10).apply(work)


@edge.app
def also(camera: edge.Camera):
    return camera.sample(fps=10).apply(work)
"""


def edgesdk(*words, folder):
    return subprocess.run(
        [sys.executable, "-c", "from edgesdk.cli.entry import main; main()", "profile", *words],
        cwd=folder,
        env={"PATH": "/usr/bin:/bin", "HOME": str(folder)},
        capture_output=True,
        text=True,
        timeout=110,
    )


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("profile")
    (folder / "work.py").write_text(APPLICATION)
    return folder


CAMERAS = (
    *("--camera", "small=synthetic:?width=320&height=180&fps=25"),
    *("--seconds", "2", "--most", "2", "--fps", "4", "--fps", "16", "--json"),
)


@pytest.fixture(scope="module")
def profile(folder):
    words = ("work.py:busy", "work.py:also", *CAMERAS, "--at", "8@320x180", "--out", "p.json")
    done = edgesdk(*words, folder=folder)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def test_ten_milliseconds_a_frame_are_measured_as_such(profile):
    fit = profile["resolutions"][0]["fit"]
    assert 0.009 < fit["cpu_per_frame"] < 0.016


def test_what_two_applications_share_is_counted_once(profile):
    assert sorted(name.split()[0] for name in profile["shared"]) == ["sample", "work"]


def test_a_rate_between_the_measured_ones_is_predicted(profile):
    (guess,) = profile["predictions"]
    fit = profile["resolutions"][0]["fit"]
    assert guess["cpu"] == pytest.approx(fit["cpu_fixed"] + 8 * fit["cpu_per_frame"])
    assert guess["basis"] == "measured"


def test_the_document_obeys_its_schema_and_can_be_read_again(profile, folder):
    jsonschema.validate(profile, schema("profile"))
    assert load_profile(folder / "p.json").applications == ("work.py:busy", "work.py:also")


def test_the_same_operators_are_not_measured_again(profile, folder):
    again = edgesdk("work.py:busy", "work.py:also", *CAMERAS, folder=folder)
    (one,) = json.loads(again.stdout)["resolutions"]
    assert one["cached"]
    assert one["fit"] == profile["resolutions"][0]["fit"]


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("--at", "8"), "--at '8': expected FPS@WIDTHxHEIGHT"),
        (("--fps", "0"), "--fps is 0; expected a rate above 0"),
        (("--seconds", "1"), "--seconds is 1; expected 2 or more"),
    ],
)
def test_a_mistake_is_one_line(folder, words, said):
    done = edgesdk("work.py:busy", "--camera", "a=synthetic:", *words, folder=folder)
    assert (done.returncode, done.stdout) == (2, "")
    assert said in done.stderr
    assert "Traceback" not in done.stderr


def test_a_camera_without_frames_is_named(folder):
    done = edgesdk("work.py:busy", "--camera", "gone=none.mp4", folder=folder)
    assert done.returncode != 0
    assert "none.mp4" in done.stderr
    assert "Traceback" not in done.stderr


def profile_of(*sizes):
    runs = tuple(
        Run(streams=n, fps=fps, cpu=n * fps * 0.01, memory=n * 10**7, accelerator=0, eta=1)
        for n, fps in ((1, 10), (2, 10), (2, 5))
    )
    return Profile(
        applications=("a",),
        operators=(),
        device_class="this",
        edgesdk="0",
        resolutions=tuple(ResolutionProfile.of(size, 25, runs) for size in sizes),
    )


def test_a_resolution_that_was_not_measured_needs_two_that_were():
    assert profile_of((640, 360), (1280, 720)).predict(10, 960, 540).basis == "interpolated"
    with pytest.raises(UsageError, match=r"960x540 was not measured \(640x360 was\).*--camera"):
        profile_of((640, 360)).predict(10, 960, 540)


def test_a_file_that_is_no_profile_is_told(tmp_path):
    (tmp_path / "p.json").write_text('{"schema": 1, "applications": 3}')
    with pytest.raises(ConfigError, match=r"p\.json.*expected a profile"):
        load_profile(tmp_path / "p.json")
