"""The command as a user runs it: a process with its own home."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

APPLICATION = """
import edgesdk as edge

@edge.app(deadline="2s")
def bright(camera: edge.Camera):
    tracks = camera.detect({cells!r}, score=0.3).track(high=0.3, start=0.3)
    return {{"tracks": tracks, "bright": tracks.count()}}

@edge.app(deadline="2s")
def other(camera: edge.Camera):
    return {{"found": camera.detect({cells!r}, score=0.5)}}
"""

Command = Callable[..., "subprocess.Popen[str]"]


@pytest.fixture
def application(cards: Any, tmp_path: Path) -> Path:
    path = tmp_path / "bright.py"
    path.write_text(APPLICATION.format(cells=cards.cells))
    return path


@pytest.fixture
def edgesdk(tmp_path: Path) -> Iterator[Command]:
    """Starts ``edgesdk`` with arguments; whatever still runs at the end is killed."""
    started: list[subprocess.Popen[str]] = []

    def start(*arguments: object, **options: Any) -> subprocess.Popen[str]:
        environment = {
            **os.environ,
            "XDG_STATE_HOME": str(tmp_path / "state"),
            "XDG_CACHE_HOME": str(tmp_path / "cache"),
            "NO_COLOR": "1",
        }
        process = subprocess.Popen(
            [sys.executable, "-m", "edgesdk.cli.main", *map(str, arguments)],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            stdin=subprocess.DEVNULL,
            text=True,
            env=environment,
            cwd=tmp_path,
            **options,
        )
        started.append(process)
        return process

    yield start
    for process in started:
        if process.poll() is None:
            process.kill()
        process.communicate()


def shared_memory_of(pid: int) -> list[str]:
    return [name for name in os.listdir("/dev/shm") if f"agent-{pid}-" in name]


@pytest.fixture
def in_shared_memory() -> Callable[[int], list[str]]:
    return shared_memory_of
