"""Applications from text, cards for them to find, and frames to step through."""

import sys
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pytest

from edgesdk.errors import ModelNotFound
from edgesdk.graph import Application, FrameInfo, Plan, compile_applications, load_application
from edgesdk.values import Detections

SECOND = 1_000_000_000


@dataclass(frozen=True)
class Card:
    name: str
    task: str
    digest: str
    labels: dict[int, str] = field(default_factory=dict)


CARDS = {
    "people": Card("people", "detect", "a1" * 32, {1: "person", 2: "bicycle"}),
    "hats": Card("hats", "classify", "b2" * 32, {0: "hat", 1: "none"}),
    "faces": Card("faces", "embed", "c3" * 32),
    "tensors": Card("tensors", "raw", "d4" * 32),
}


def resolve(reference: str) -> Card:
    if reference not in CARDS:
        raise ModelNotFound(f"no model is called {reference!r}")
    return CARDS[reference]


@pytest.fixture
def write(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., str]:
    """Writes a Python file into the working directory and returns its name."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", list(sys.path))

    def written(text: str, name: str = "app.py") -> str:
        (tmp_path / name).write_text(text)
        return name

    return written


@pytest.fixture
def compiled() -> Callable[..., Plan]:
    """Compiles applications, each on camera ``door`` unless it is a pair with another."""

    def compile_all(*applications: Application | tuple[Application, str]) -> Plan:
        pairs = [a if isinstance(a, tuple) else (a, "door") for a in applications]
        return compile_applications(pairs, resolve)

    return compile_all


@pytest.fixture
def built(write: Callable[..., str]) -> Callable[[str], Plan]:
    """Compiles ``app.py``, whose function ``main`` returns the expression given, on line 6."""

    def compile_expression(expression: str) -> Plan:
        file = write(
            "import edgesdk as edge\n\n\n@edge.app\ndef main(camera):\n    return " + expression
        )
        return compile_applications([(load_application(f"{file}:main"), "door")], resolve)

    return compile_expression


@pytest.fixture
def at() -> Callable[..., FrameInfo]:
    """The frame at a time in seconds; its sequence number counts calls unless given."""
    count = 0

    def frame(seconds: float, *, incarnation: int = 1, rate: float = 0.0) -> FrameInfo:
        nonlocal count
        count += 1
        nanoseconds = round(seconds * SECOND)
        return FrameInfo(count, incarnation, nanoseconds, nanoseconds, 1000, 500, rate)

    return frame


@pytest.fixture
def tracks() -> Callable[..., Detections]:
    """Tracks 20 pixels wide and 40 high that stand at (x, y) in [0, 1] of 1000 x 500 pixels."""

    def made(**places: tuple[float, float]) -> Detections:
        boxes = [[x * 1000 - 10, y * 500 - 40, x * 1000 + 10, y * 500] for x, y in places.values()]
        n = len(boxes)
        return Detections(
            np.array(boxes, np.float32).reshape(n, 4),
            np.ones(n, np.float32),
            np.ones(n, np.int32),
            ("person",) * n,
            np.array([int(name[1:]) for name in places], np.int64),
        )

    return made
