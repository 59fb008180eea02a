"""A day's worth of frames through one node: does its memory stay where it was?

usage: python benchmarks/day.py [--frames N] [--cameras C]

2,160,000 frames (25 a second for a day) unless told otherwise, as fast as they go: drawn scene,
ring, gate, classifier, window, JSON lines. Prints memory (RSS, MB), file descriptors and threads of
agent and workers as it goes, and exits with 1 if one of them grew after the first tenth: memory by
more than 5 % and 4 MB, the others at all.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from pathlib import Path

import psutil

import edgesdk as edge
from edgesdk.runtime import Node

CARD = Path(__file__).parents[1] / "examples" / "models" / "colour.toml"
SECONDS_BETWEEN_LOOKS = 5


@edge.app(deadline="10s")
def colours(camera: edge.Camera):  # type: ignore[no-untyped-def]
    return {"colour": camera.gate().classify(str(CARD), top=1)}


def look() -> tuple[float, float, int, int]:
    me = psutil.Process()
    workers = me.children(recursive=True)
    largest = max((worker.memory_info().rss for worker in workers), default=0)
    return me.memory_info().rss / 1e6, largest / 1e6, me.num_fds(), me.num_threads()


def grew(first: tuple[float, float, int, int], last: tuple[float, float, int, int]) -> bool:
    memory = any(b > 1.05 * a + 4 for a, b in zip(first[:2], last[:2], strict=True))
    return memory or any(b > a for a, b in zip(first[2:], last[2:], strict=True))


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--frames", type=int, default=2_160_000)
    parser.add_argument("--cameras", type=int, default=1)
    options = parser.parse_args()
    each = options.frames // options.cameras
    cameras = {
        f"camera{i}": f"synthetic:?pace=fast&frames={each}&seed={i}" for i in range(options.cameras)
    }
    first = last = None
    with (
        tempfile.TemporaryDirectory() as folder,
        Node([colours], cameras, out=Path(folder, "results.jsonl")) as node,
    ):
        done = False
        while not done:
            done = node.wait(SECONDS_BETWEEN_LOOKS)
            taken = sum(feed.frames for feed in node.feeds.values())
            if done:
                break
            last = look()
            if first is None and taken > options.frames / 10:
                first = last
            print(
                f"{time.strftime('%H:%M:%S')}  {taken:>9} frames  agent {last[0]:.1f} MB  "
                f"largest worker {last[1]:.1f} MB  {last[2]} descriptors  {last[3]} threads",
                flush=True,
            )
    counts = [
        node.summary().applications["colours"].cameras[name].frames.captured for name in cameras
    ]
    print(f"captured {sum(counts)} of {each * options.cameras}")
    if first is None or last is None:
        print("too few frames to tell")
        return 1
    return 1 if grew(first, last) or sum(counts) != each * options.cameras else 0


if __name__ == "__main__":
    sys.exit(main())
