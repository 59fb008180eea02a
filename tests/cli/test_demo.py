"""The README's first command, with its real detector and video, from the user's own cache."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import psutil
import pytest

NO_NETWORK = 6


def demo(folder: Path, *arguments: str, **options: Any) -> subprocess.Popen[str]:
    environment = {**os.environ, "XDG_STATE_HOME": str(folder / "state"), "NO_COLOR": "1"}
    return subprocess.Popen(
        [sys.executable, "-m", "edgesdk.cli.main", "demo", *arguments],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=environment,
        cwd=folder,
        **options,
    )


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("demo")


@pytest.fixture(scope="module")
def finished(folder: Path) -> dict[str, Any]:
    """One short demo; skipped where neither the cache nor the registry has its files."""
    process = demo(folder, "--duration", "6", "--json")
    out, errors = process.communicate(timeout=100)
    if process.returncode == NO_NETWORK:
        pytest.skip("package registry out of reach")
    assert process.returncode == 0, errors
    document: dict[str, Any] = json.loads(out)
    return document


def test_demo_leaves_a_summary_results_and_a_picture(
    finished: dict[str, Any], folder: Path, records: Any
) -> None:
    assert finished["command"] == "demo"
    cameras = finished["applications"]["people"]["cameras"]
    assert cameras.keys() == {"street", "crossing", "hall", "garden"}
    passed = overrun = 0
    for one in cameras.values():
        frames = one["frames"]
        assert frames["captured"] > 100
        assert frames["captured"] == frames["skipped_sample"] + frames["held"] + frames["passed"]
        ended = frames["ok"] + frames["late"] + frames["dropped"] + frames["failed"]
        assert frames["passed"] == ended
        passed += frames["passed"]
        overrun += one["dropped_by_reason"].get("overrun", 0)
    assert finished["accounted"] is True
    people = sum(one["outputs"]["people"]["total"] for one in cameras.values() if one["outputs"])
    assert people >= 1
    found = records(folder / finished["results"])
    assert len(found) == passed - overrun
    assert len({record["id"] for record in found}) == len(found)
    picture = (folder / finished["picture"]).read_bytes()
    assert picture.startswith(b"\xff\xd8")

    again = demo(folder, "--duration", "1")
    out, errors = again.communicate(timeout=100)
    assert again.returncode == 0, errors
    assert "people on street" in out
    assert "emulated accelerators" in out
    assert "every frame is accounted for" in out
    assert "\x1b" not in out + errors  # no terminal, no colours or cursor movements
    assert len(records(folder / "results.jsonl")) < len(found)


def test_demo_shows_its_halves_side_by_side(finished: dict[str, Any]) -> None:
    together, alone = finished["with_cluster"], finished["without_cluster"]
    for half in (together, alone):
        ended = half["ok"] + half["late"] + half["dropped"] + half["failed"]
        assert half["passed"] == ended > 30
        assert half["goodput"] == pytest.approx(half["ok"] / half["passed"])
        assert half["by_camera"].keys() >= {"street", "crossing"}
    assert together["ok"] > 0.8 * together["passed"]
    assert together["goodput"] > alone["goodput"]
    assert together["elsewhere"] > 0
    assert alone["elsewhere"] == 0  # from there on no frame left its node
    assert finished["accelerators"] == "emulated"
    nodes = finished["nodes"].values()
    assert sum(node["offloaded"] for node in nodes) > 0
    assert sum(node["received"] for node in nodes) > 0


def test_ctrl_c_is_the_demos_normal_end(
    finished: dict[str, Any], tmp_path: Path, wait_for: Any
) -> None:
    process = demo(tmp_path, "--json")
    results = tmp_path / "results.jsonl"
    wait_for(lambda: results.exists() and results.stat().st_size > 0, "the first result", 60)
    process.send_signal(signal.SIGINT)
    asked = time.monotonic()
    out, errors = process.communicate(timeout=10)
    assert process.returncode == 0, errors
    assert time.monotonic() - asked < 2.0
    document = json.loads(out)
    cameras = document["applications"]["people"]["cameras"].values()
    assert sum(one["frames"]["ok"] for one in cameras) > 0
    assert document["accounted"] is True


def test_a_node_killed_from_elsewhere_is_survived_and_comes_back(
    finished: dict[str, Any], tmp_path: Path, wait_for: Any
) -> None:
    process = demo(tmp_path, "--duration", "12", "--json")

    def agent() -> list[psutil.Process]:
        found = []
        for child in psutil.Process(process.pid).children():
            with contextlib.suppress(psutil.Error):  # it has just died
                if "hall" in " ".join(child.cmdline()):
                    found.append(child)
        return found

    def working() -> bool:
        results = tmp_path / "results.jsonl"
        return results.exists() and b'"camera":"street","incarnation":2' in results.read_bytes()

    wait_for(working, "the scenes to be played", 60)
    (victim,) = agent()
    victim.kill()
    wait_for(lambda: agent() and agent()[0].pid != victim.pid, "its restart", 20)
    out, errors = process.communicate(timeout=60)
    assert process.returncode == 0, errors
    document = json.loads(out)
    assert document["nodes"]["hall"]["deaths"] == ["killed by SIGKILL"]
    assert [node["deaths"] for name, node in document["nodes"].items() if name != "hall"] == [
        []
    ] * 3
    assert document["accounted"] is True
    assert document["with_cluster"]["goodput"] > 0.75


def test_demo_overwrites_nothing_that_is_not_its_own(tmp_path: Path) -> None:
    (tmp_path / "results.jsonl").write_text('{"mine": true}\n')
    process = demo(tmp_path)
    _, errors = process.communicate(timeout=60)
    assert process.returncode == 2
    assert "not an earlier demo's" in errors
    assert (tmp_path / "results.jsonl").read_text() == '{"mine": true}\n'
