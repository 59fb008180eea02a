"""The demo's pipeline against a bare decode + infer loop: same runtime, model and thread count.

usage: python benchmarks/pipeline.py [--seconds S] [--rounds N] [--threads T] [--json]

Rounds alternate between the two, so that a noisy machine troubles both. Each plays the demo's video
in a loop as fast as it goes: ours in a node (capture worker, ring, scheduler, detector, tracker,
count, result), the other in benchmarks/bare.py. Start-up is not counted.
"""

from __future__ import annotations

import argparse
import json
import statistics
import threading
import time
from pathlib import Path
from typing import Any

from bare import SsdliteLoop

import edgesdk as edge
from edgesdk.config import Config, NodeConfig
from edgesdk.models import ModelRegistry, default_cache
from edgesdk.runtime import Node

WARM_UP = 30


@edge.app(deadline="60s")
def people(camera: edge.Camera):  # type: ignore[no-untyped-def]
    tracks = camera.detect("person-ssdlite", classes=["person"], score=0.5).track()
    return {"tracks": tracks, "people": tracks.count()}


def ours(video: Path, frames: int, threads: int) -> float:
    """Frames a second from the WARM_UPth result on."""
    times: list[int] = []
    enough = threading.Event()

    def on_result(record: dict[str, Any]) -> None:
        if record["state"] == "ok":
            times.append(time.perf_counter_ns())
            if len(times) >= frames + WARM_UP:
                enough.set()

    config = Config(node=NodeConfig(threads=threads))
    camera = {"street": f"file:{video}?pace=fast&loop=1"}
    with Node([people], camera, config=config, on_result=on_result):
        enough.wait(120)
    counted = times[WARM_UP : frames + WARM_UP]
    return (len(counted) - 1) / (counted[-1] - counted[0]) * 1e9


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--frames", type=int, default=250)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    registry = ModelRegistry(default_cache())
    card = registry.resolve("person-ssdlite")
    registry.pull([card])
    video = registry.asset("bikes.mp4")
    loop = SsdliteLoop(card.file_of(card.variants[0]), options.threads)
    pairs = []
    for _ in range(options.rounds):
        frames, seconds, _ = loop.run(video, options.frames, WARM_UP)
        pairs.append((frames / seconds, ours(video, options.frames, options.threads)))
    ratios = [mine / bare for bare, mine in pairs]
    row = {
        "threads": options.threads,
        "bare_fps": round(statistics.median(bare for bare, _ in pairs), 1),
        "edgesdk_fps": round(statistics.median(mine for _, mine in pairs), 1),
        "ratio_min": round(min(ratios), 3),
        "ratio_median": round(statistics.median(ratios), 3),
    }
    if options.json:
        print(json.dumps({"schema": 1, "benchmark": "pipeline", "rows": [row]}))
    else:
        print("  ".join(f"{key} {value}" for key, value in row.items()))


if __name__ == "__main__":
    main()
