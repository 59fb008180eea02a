"""The live table, as terminals of different widths show it."""

from __future__ import annotations

import re

import pytest
from rich.console import Console

from edgesdk.cli.tables import Rates, render
from edgesdk.records import ApplicationSummary, CameraFrames, FrameCounts, LatencyMs
from edgesdk.snapshot import CameraView, NodeSnapshot

CAMERAS = ("front-door", "loading-dock", "yard")


def frames(passed: int) -> CameraFrames:
    counts = FrameCounts(
        captured=passed + 1234567,
        skipped_sample=0,
        held=1234567,
        passed=passed,
        ok=passed - 60006,
        late=10001,
        dropped=20002,
        failed=30003,
    )
    return CameraFrames(
        frames=counts,
        dropped_by_reason={"queue": 20002},
        outputs={"people": {"type": "count", "now": 12, "total": 3456}},
        latency_ms=LatencyMs(p50=71.0, p99=634.0),
    )


def snapshot(cameras: tuple[str, ...]) -> NodeSnapshot:
    return NodeSnapshot(
        name="node-1",
        version="1",
        seconds=60.0,
        ready=True,
        cameras={name: CameraView(state="reconnecting", uri="x", frames=9) for name in cameras},
        applications={"people": ApplicationSummary(cameras=dict.fromkeys(cameras, frames(98765)))},
        inferences={"person-ssdlite": 98765},
    )


@pytest.mark.parametrize("cameras", [CAMERAS[:1], CAMERAS], ids=["one", "three"])
@pytest.mark.parametrize("width", [60, 80, 160])
def test_no_figure_is_cut_off_however_narrow_the_terminal(
    cameras: tuple[str, ...], width: int
) -> None:
    console = Console(width=width, no_color=True)
    with console.capture() as shown:
        console.print(render(snapshot(cameras), Rates()))
    text = shown.get()
    assert "…" not in text
    assert max(map(len, text.splitlines())) <= width
    for camera in cameras:
        assert camera in text
    for figure in ("1234567", "98765", "38759", "10001", "20002", "30003", "634", "3456"):
        assert len(re.findall(rf"\b{figure}\b", text)) >= len(cameras), figure
