"""A node's memory does not grow with the frames it has seen."""

from __future__ import annotations

import json
import subprocess
import sys
from typing import Any

MEASURED = """
import json
import sys

import psutil

import edgesdk as edge
from edgesdk.runtime import Node


@edge.app(deadline="2s")
def full(camera):
    found = camera.gate(threshold=0.0).detect(sys.argv[1], score=0.3)
    tracks = found.track(high=0.3, start=0.3)
    return {"tracks": tracks, "n": tracks.count(), "mean": tracks.window(seconds=1)}


process = psutil.Process()
samples = {}


def sample(camera, info, view, results):
    if info.sequence % 100 == 0:
        samples[info.sequence] = process.memory_info().rss


node = Node([full], {"cam": "synthetic:?width=64&height=64&fps=100&frames=3000&pace=fast"})
node.observe(sample)
with node:
    assert node.wait(120)
print(json.dumps(samples))
"""


def test_memory_is_flat_after_warm_up(cards: Any) -> None:
    command = [sys.executable, "-c", MEASURED, cards.cells]
    ran = subprocess.run(command, capture_output=True, text=True, timeout=180)
    assert ran.returncode == 0, ran.stderr
    samples = {int(frame): rss for frame, rss in json.loads(ran.stdout).items()}
    warm = max(rss for frame, rss in samples.items() if frame <= 1500)
    late = min(rss for frame, rss in samples.items() if frame > 2500)
    frame_bytes = 64 * 64 * 3
    assert late - warm < 1000 * frame_bytes / 4, "as if a quarter of the frames had been kept"
