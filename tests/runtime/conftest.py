"""Nothing of these tests lands outside their own folders, or stays in shared memory."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest


@pytest.fixture(autouse=True)
def own_state(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing of a test lands in the user's home, and runtimes are small."""
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))


@pytest.fixture(autouse=True)
def shared_memory_is_left_clean() -> Iterator[None]:
    yield
    mine = f"agent-{os.getpid()}-"
    left = [name for name in os.listdir("/dev/shm") if mine in name]
    assert left == []
