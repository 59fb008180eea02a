"""Real nodes in network namespaces against the simulator, on one trace.

usage: python benchmarks/cluster_real.py [--nodes 8] [--seconds 30] [--seed 104] [--load 0.9]
                                         [--runs 3] [--draws 12] [--dilate K] [--json]

Every node is a process of its own with what ships: node, member, DTLS, zenoh, the C scheduler. What
is emulated is the accelerator (it returns the results of a tiny model, padded to the service times
of the trace) and the camera (groups are asked for when the trace says so). Links have the trace's
rate, by tc tbf. Needs root, ip and tc.

The policy draws peers at random, and eight nodes are few: on one trace its goodput differs by half
a point to two from draw to draw. So the simulator runs the trace with several seeds of the policy,
the nodes run it several times, and the means are compared; their standard errors are printed, for
a difference that is smaller says nothing.

A run counts only if the accelerators ended within 5 ms of their instants (p99; K times that where
times are stretched): this machine has to keep up with what it imitates. Where it cannot, --dilate K
stretches all times of the trace by K, and rates by 1/K; deadlines too, so that the comparison
stands, and the output says so.
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path
from typing import Any

from edgesdk.cluster.authority import Authority
from edgesdk.testing.lan import Lan
from edgesdk.testing.models import onnx_file

START_S = 12.0
LIMIT_MS = 5.0
NODE = Path(__file__).with_name("trace_node.py")
SIMULATE = [sys.executable, "-m", "edgesdk.cli.main", "sim", "--json"]

CARD = """
schema = 1
name = "model-{number}"
task = "classify"
licence = "MIT"
labels = ["red", "green", "blue"]
[[variants]]
file = "model-{number}.onnx"
backend = "onnxruntime"
[[inputs]]
name = "image"
layout = "NHWC"
dtype = "uint8"
shape = [-1, {height}, {width}, 3]
colour = "RGB"
[outputs]
scores = "scores"
[decode]
kind = "classify"
activation = "none"
"""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--nodes", type=int, default=8)
    parser.add_argument("--seconds", type=float, default=30)
    parser.add_argument("--seed", type=int, default=104)
    parser.add_argument("--load", type=float, default=0.9)
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--draws", type=int, default=12)
    parser.add_argument("--dilate", type=float, default=1.0)
    parser.add_argument("--json", action="store_true")
    words = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="edgesdk-real-") as folder:
        found = compare(Path(folder), words)
    if words.json:
        print(json.dumps(found))
    else:
        for name, value in found.items():
            print(f"{name:<32}{value}")


def compare(folder: Path, words: argparse.Namespace) -> dict[str, Any]:
    """Simulates, then runs, one trace."""
    trace = folder / "trace.jsonl"
    shape = ["--nodes", str(words.nodes), "--seed", str(words.seed), "--load", str(words.load)]
    shape += ["--duration", str(words.seconds), "--write-trace", str(trace)]
    subprocess.run([*SIMULATE, *shape], check=True, capture_output=True)
    simulated = [simulate(folder, trace, draw) for draw in range(words.draws)]
    make_models(folder, trace)
    runs = [run_nodes(folder, trace, words) for _ in range(words.runs)]
    limit = LIMIT_MS * words.dilate
    counting = [run for run in runs if run["overshoot_ms"] <= limit]
    real = [run["goodput"] for run in counting or runs]
    control = [run["control_bytes"] for run in counting or runs]
    expected = [goodput for goodput, _ in simulated]
    expected_control = statistics.mean(sent for _, sent in simulated)
    error = (error_of(real) ** 2 + error_of(expected) ** 2) ** 0.5
    frames = sum((run["frames"] for run in runs), Counter[str]())
    return {
        "accelerators": "emulated accelerators",
        "nodes": words.nodes,
        "seed": words.seed,
        "load": words.load,
        "dilated by": words.dilate,
        "goodput real": [round(run["goodput"], 4) for run in runs],
        "goodput simulated": round(statistics.mean(expected), 4),
        "from draw to draw": f"{min(expected):.4f} to {max(expected):.4f}",
        "difference of means, points": round(
            100 * (statistics.mean(real) - statistics.mean(expected)), 2
        ),
        "its standard error, points": round(100 * error, 2),
        "control B/s real": [round(run["control_bytes"]) for run in runs],
        "control B/s simulated": round(expected_control),
        "control real/simulated": round(statistics.mean(control) / expected_control, 3),
        "frames": dict(frames),
        "offloaded groups": sum(run["offloaded"] for run in runs),
        "sleep overshoot p99 ms": [round(run["overshoot_ms"], 2) for run in runs],
        "verdict": "counts"
        if len(counting) == len(runs)
        else f"{len(runs) - len(counting)} of {len(runs)} runs are void: this machine was late",
    }


def error_of(values: list[float]) -> float:
    """The standard error of their mean."""
    return statistics.stdev(values) / len(values) ** 0.5 if len(values) > 1 else 0.0


def simulate(folder: Path, trace: Path, draw: int) -> tuple[float, float]:
    """Goodput and control bytes a second and node of *trace* with another seed of the policy."""
    header, _, rows = trace.read_text(encoding="utf-8").partition("\n")
    document = json.loads(header)
    document["parameters"]["seed"] = 1000 + draw
    other = folder / "draw.jsonl"
    other.write_text(json.dumps(document) + "\n" + rows, encoding="utf-8")
    command = [*SIMULATE, "--trace", str(other), "--no-oracle"]
    found = json.loads(subprocess.run(command, check=True, capture_output=True).stdout)
    return float(found["goodput"]), float(found["control_bytes_mean"])


def run_nodes(folder: Path, trace: Path, words: argparse.Namespace) -> dict[str, Any]:
    """Starts a process for each node, and sums up what they say at the end."""
    with trace.open(encoding="utf-8") as file:
        rate = float(json.loads(file.readline())["parameters"]["nic_mbps"])
    with (
        tempfile.TemporaryDirectory(dir=folder) as name,
        Lan(words.nodes, rate=rate / words.dilate) as lan,
    ):
        home = Path(name)
        authority = Authority.create(home / "operator", "real")
        for file_ in folder.glob("*.*"):
            (home / file_.name).symlink_to(file_)
        for node in range(words.nodes):
            authority.add(f"node-{node}", out=home / f"node-{node}.bundle")
            (home / f"node-{node}.address").write_text(lan.address(node + 1))
        start = time.monotonic_ns() + int((START_S + words.nodes) * 1e9)
        command = [sys.executable, str(NODE), str(home)]
        processes = [
            subprocess.Popen(
                lan.inside(node + 1, [*command, str(node), str(start), str(words.dilate)]),
                stdout=subprocess.PIPE,
                cwd=home,
            )
            for node in range(words.nodes)
        ]
        said = [json.loads(process.communicate()[0].splitlines()[-1]) for process in processes]
    frames = sum((Counter(node["frames"]) for node in said), Counter[str]())
    return {
        "frames": frames,
        "goodput": frames["ok"] / max(1, frames.total()),
        "control_bytes": sum(node["control_bytes"] for node in said) / len(said) * words.dilate,
        "offloaded": sum(node["offloaded"] for node in said),
        "overshoot_ms": max(node["overshoot_p99_ms"] or 0.0 for node in said),
    }


def make_models(folder: Path, trace: Path) -> None:
    """Six models whose answers cost nothing, and whose pictures weigh what the trace says."""
    import numpy as np
    from onnx import helper

    with trace.open(encoding="utf-8") as file:
        header = json.loads(file.readline())
    height, width = sized(int(header["parameters"]["frame_bytes"]))
    np.save(folder / "picture.npy", noise(height, width))
    for number in range(len(header["models"])):
        nodes = [
            helper.make_node("Cast", ["image"], ["real"], to=1),
            helper.make_node("ReduceMean", ["real"], ["mean"], axes=[1, 2], keepdims=0),
            helper.make_node("Div", ["mean", "full"], ["scores"]),
        ]
        model = onnx_file(
            nodes,
            {"image": ("uint8", ["n", "h", "w", 3])},
            {"scores": ("float32", ["n", 3])},
            {"full": np.array(255 + number, np.float32)},
        )
        (folder / f"model-{number}.onnx").write_bytes(model)
        card = CARD.format(number=number, height=height, width=width)
        (folder / f"model-{number}.toml").write_text(card)


def noise(height: int, width: int) -> Any:
    import numpy as np

    return np.random.default_rng(7).integers(0, 256, (height, width, 3), np.uint8)


def sized(wanted: int) -> tuple[int, int]:
    """Height and width of a picture of noise that weighs *wanted* bytes on the wire."""
    from edgesdk.cluster import frame_codec

    width = 64
    while True:
        height = width * 3 // 4
        _, parts = frame_codec.encode_pictures([noise(height, width)], frame_codec.DEFAULT_CODEC)
        if len(parts[0]) >= wanted:
            return height, width
        width += 4


if __name__ == "__main__":
    main()
