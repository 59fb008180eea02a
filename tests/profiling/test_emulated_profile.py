"""``edgesdk profile --config`` with an accelerator that is not there."""

import json
import subprocess
import sys
from typing import Any

import jsonschema
import pytest

from edgesdk.schemas import schema

APPLICATION = """
import edgesdk as edge

@edge.app(deadline="2s")
def bright(camera: edge.Camera):
    return camera.sample(fps=10).detect({card!r}, score=0.1)
"""
NODE = """
schema = 1
[node]
cache = "cache"
[emulated]
name = "npu-x"
[emulated.models.{model}]
base = "20ms"
"""


def profile(folder: Any, *words: str) -> "subprocess.CompletedProcess[str]":
    start = "from edgesdk.cli.entry import main; main()"
    camera = "a=synthetic:?width=128&height=96&fps=20"
    short = ("--seconds", "2", "--most", "1", "--fps", "5", "--fps", "10", "--json")
    return subprocess.run(
        [
            sys.executable,
            "-c",
            start,
            "profile",
            "app.py:bright",
            "--camera",
            camera,
            *short,
            *words,
        ],
        cwd=folder,
        env={"PATH": "/usr/bin:/bin", "HOME": str(folder)},
        capture_output=True,
        text=True,
        timeout=100,
    )


@pytest.mark.timeout(110)
def test_a_stand_in_is_profiled_with_its_stated_times_and_says_what_it_is(
    tmp_path: Any, cards: Any
) -> None:
    (tmp_path / "app.py").write_text(APPLICATION.format(card=cards.cells))
    (tmp_path / "node.toml").write_text(NODE.format(model="cells"))
    done = profile(tmp_path, "--config", "node.toml", "--at", "8@128x96")
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    jsonschema.validate(found, schema("profile"))
    assert found["evidence"] == "stand-in"
    assert found["device_class"].startswith("emulated:npu-x on ")
    (one,) = found["resolutions"]
    # Real time that passes in a process: never less than stated, more on a busy machine.
    assert 0.0199 <= one["fit"]["accelerator_per_frame"] < 0.04
    (guess,) = found["predictions"]
    assert guess["accelerator"] == pytest.approx(8 * one["fit"]["accelerator_per_frame"])
    # The model's own arithmetic takes a tiny part of the time that is stated for it.
    assert one["fit"]["cpu_per_frame"] < 0.02


def test_a_model_for_which_nothing_is_stated_is_named(tmp_path: Any, cards: Any) -> None:
    (tmp_path / "app.py").write_text(APPLICATION.format(card=cards.cells))
    (tmp_path / "node.toml").write_text(NODE.format(model="another"))
    done = profile(tmp_path, "--config", "node.toml")
    assert done.returncode != 0
    assert "[emulated.models.cells]" in json.loads(done.stdout)["error"]["message"]
    assert "Traceback" not in done.stderr
