"""Memory and start-up of a node.

usage: python benchmarks/footprint.py [--json]

PSS is a process's memory with what it shares divided among those who share it, in MB. "Without
models" is an agent whose application has a gate and no inference, with one 640x360 camera.
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
import tempfile
import time
from typing import Any

AGENT = """
import json, sys, threading, time
began = float(sys.argv[1])
import edgesdk as edge
from edgesdk.runtime import Node
import psutil

@edge.app
def looking(camera: edge.Camera):
    return {looking}

first = threading.Event()
heard = []
def on_result(record):
    if not heard:
        heard.append(time.monotonic())
        first.set()

with Node([looking], {{"a": "synthetic:?fps=25"}}, on_result=on_result) as node:
    assert first.wait(60)
    time.sleep(2)
    me = psutil.Process()
    pss = lambda process: process.memory_full_info().pss / 1e6
    workers = [round(pss(child), 1) for child in me.children()]
    found = {{"first_result_s": heard[0] - began, "agent_mb": pss(me), "workers_mb": workers}}
    print(json.dumps(found))
"""
LOOKING = {
    "without models": "camera.gate().apply(size)",
    "person-ssdlite": "camera.detect('person-ssdlite', score=0.5)",
}
OPERATOR = """
import edgesdk as edge
@edge.operator(version=1)
def size(frame):
    return int(frame.size)
"""


def import_seconds() -> float:
    code = "import time; t = time.perf_counter(); import edgesdk; print(time.perf_counter() - t)"
    times = []
    for _ in range(7):
        done = subprocess.run(
            [sys.executable, "-c", code], capture_output=True, text=True, check=True
        )
        times.append(float(done.stdout))
    return statistics.median(times)


def agent(looking: str, folder: str) -> dict[str, Any]:
    # In a file: an operator's source is part of its id.
    path = f"{folder}/agent.py"
    with open(path, "w", encoding="utf-8") as file:
        file.write(OPERATOR + AGENT.format(looking=looking))
    done = subprocess.run(
        [sys.executable, path, str(time.monotonic())], capture_output=True, text=True, check=False
    )
    if done.returncode:
        raise SystemExit(done.stderr)
    return json.loads(done.stdout)  # type: ignore[no-any-return]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    rows = []
    with tempfile.TemporaryDirectory() as folder:
        for name, looking in LOOKING.items():
            found = agent(looking, folder)
            rows.append(
                {
                    "agent": name,
                    "agent_mb": round(found["agent_mb"], 1),
                    "worker_mb": max(found["workers_mb"]),
                    "first_result_s": round(found["first_result_s"], 2),
                    "import_s": round(import_seconds(), 3),
                }
            )
    if options.json:
        print(json.dumps({"schema": 1, "benchmark": "footprint", "rows": rows}))
    else:
        for row in rows:
            print("  ".join(f"{key} {value}" for key, value in row.items()))


if __name__ == "__main__":
    main()
