"""Real nodes in network namespaces against the simulator, on one trace.

usage: python benchmarks/cluster_real.py [--nodes 8] [--seconds 30] [--seed 101] [--load 0.9]
                                         [--dilate K] [--json]

Every node is a process of its own with what ships: node, member, DTLS, zenoh, the C scheduler. What
is emulated is the accelerator (it returns the results of a tiny model, padded to the service times
of the trace) and the camera (groups are asked for when the trace says so). Links have the trace's
rate, by tc tbf. Needs root, ip and tc.

A run counts only if the accelerators ended within 5 ms of their instants (p99; K times that where
times are stretched): this machine has to keep up with what it imitates. Where it cannot, --dilate K
stretches all times of the trace by K, and rates by 1/K; deadlines too, so that the comparison
stands, and the output says so.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[1]
WARM_UP_S = 4.0
START_S = 12.0
LIMIT_MS = 5.0

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


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--nodes", type=int, default=8)
    parser.add_argument("--seconds", type=float, default=30)
    parser.add_argument("--seed", type=int, default=101)
    parser.add_argument("--load", type=float, default=0.9)
    parser.add_argument("--dilate", type=float, default=1.0)
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--node", type=int, help=argparse.SUPPRESS)
    parser.add_argument("--folder", type=Path, help=argparse.SUPPRESS)
    parser.add_argument("--start-ns", type=int, help=argparse.SUPPRESS)
    words = parser.parse_args()
    if words.node is not None:
        return run_node(words.folder, words.node, words.start_ns, words.dilate)
    with tempfile.TemporaryDirectory(prefix="edgesdk-real-") as folder:
        found = compare(Path(folder), words)
    if words.json:
        print(json.dumps(found))
    else:
        for name, value in found.items():
            print(f"{name:<28}{value}")
    return 0


def compare(folder: Path, words: argparse.Namespace) -> dict[str, Any]:
    """Simulates, then runs, one trace."""
    trace = folder / "trace.jsonl"
    simulate = [sys.executable, "-m", "edgesdk.cli.main", "sim", "--json"]
    shape = ["--nodes", str(words.nodes), "--seed", str(words.seed), "--load", str(words.load)]
    shape += ["--duration", str(words.seconds)]
    subprocess.run(
        [*simulate, *shape, "--write-trace", str(trace)], check=True, capture_output=True
    )
    done = subprocess.run(
        [*simulate, "--trace", str(trace), "--no-oracle"], check=True, capture_output=True
    )
    simulated = json.loads(done.stdout)
    real = run_nodes(folder, words)
    control = sum(node["control_bytes"] for node in real) / len(real) * words.dilate
    frames = Counter[str]()
    for node in real:
        frames.update(node["frames"])
    goodput = frames["ok"] / max(1, sum(frames.values()))
    overshoot = max(node["overshoot_p99_ms"] or 0.0 for node in real)
    expected, expected_bytes = _figures(simulated)
    return {
        "accelerators": "emulated accelerators",
        "nodes": words.nodes,
        "seed": words.seed,
        "load": words.load,
        "dilated by": words.dilate,
        "goodput real": round(goodput, 4),
        "goodput simulated": round(expected, 4),
        "difference, points": round(100 * (goodput - expected), 2),
        "control B/s real": round(control),
        "control B/s simulated": round(expected_bytes),
        "control real/simulated": round(control / expected_bytes, 3),
        "frames": dict(frames),
        "offloaded groups": sum(node["offloaded"] for node in real),
        "sleep overshoot p99 ms": round(overshoot, 2),
        "verdict": "void: this machine was late"
        if overshoot > LIMIT_MS * words.dilate
        else "counts",
    }


def _figures(document: dict[str, Any]) -> tuple[float, float]:
    rows = document.get("policies") or document.get("runs") or [document]
    ours = rows[0] if isinstance(rows, list) else rows["ours"]
    return float(ours["goodput"]), float(ours["control_bytes_mean"])


def run_nodes(folder: Path, words: argparse.Namespace) -> list[dict[str, Any]]:
    """Starts a process for each node, and gathers what they say at the end."""
    sys.path.insert(0, str(ROOT))
    from edgesdk.cluster.authority import Authority
    from edgesdk.testing.lan import Lan

    make_models(folder)
    authority = Authority.create(folder / "operator", "real")
    header = json.loads((folder / "trace.jsonl").open().readline())
    rate = header["parameters"].get("nic_mbps") or header["parameters"].get("nic", 100)
    rate = float(rate) / 1e6 if float(rate) > 1e6 else float(rate)
    with Lan(words.nodes, rate=rate / words.dilate) as lan:
        for node in range(words.nodes):
            authority.add(f"node-{node}", out=folder / f"node-{node}.bundle")
            (folder / f"node-{node}.address").write_text(lan.address(node + 1))
        start = time.monotonic_ns() + int((START_S + words.nodes) * 1e9)
        processes = []
        for node in range(words.nodes):
            command = [sys.executable, __file__, "--node", str(node), "--folder", str(folder)]
            command += ["--start-ns", str(start), "--dilate", str(words.dilate)]
            processes.append(
                subprocess.Popen(lan.inside(node + 1, command), stdout=subprocess.PIPE, cwd=folder)
            )
        return [json.loads(process.communicate()[0].splitlines()[-1]) for process in processes]


def make_models(folder: Path) -> None:
    """Six models whose answers cost nothing, and whose pictures weigh what the trace says."""
    import numpy as np

    sys.path.insert(0, str(ROOT))
    from tests.conftest import colours_model

    header = json.loads((folder / "trace.jsonl").open().readline())
    wanted = int(header["parameters"]["frame_bytes"])
    height, width = sized(wanted)
    (folder / "picture.npy").write_bytes(b"")
    np.save(folder / "picture.npy", noise(height, width))
    for number in range(len(header["models"])):
        data = colours_model().replace(b"tiny", b"t%03d" % number)
        (folder / f"model-{number}.onnx").write_bytes(any_size(data))
        card = CARD.format(number=number, height=height, width=width)
        (folder / f"model-{number}.toml").write_text(card)


def any_size(model: bytes) -> bytes:
    """*model* with an input of any height and width."""
    import onnx

    loaded = onnx.load_from_string(model)
    shape = loaded.graph.input[0].type.tensor_type.shape
    for axis, name in ((1, "h"), (2, "w")):
        shape.dim[axis].ClearField("dim_value")
        shape.dim[axis].dim_param = name
    return bytes(loaded.SerializeToString())


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


def run_node(folder: Path, number: int, start_ns: int, dilate: float) -> int:
    """One node of the trace, in this process."""
    import numpy as np

    from edgesdk.balance import Settings
    from edgesdk.cluster.identity import Identity
    from edgesdk.cluster.member import Member
    from edgesdk.config import (
        ClusterConfig,
        Config,
        EmulatedConfig,
        EmulatedModel,
        MemberAddress,
        NodeConfig,
    )
    from edgesdk.models import ModelRegistry
    from edgesdk.runtime import Node
    from edgesdk.runtime.request import Outcome, Request, Terms
    from edgesdk.runtime.sessions import KnownModel, Picture
    from edgesdk.sim.hardware import MODELS

    with (folder / "trace.jsonl").open() as file:
        header = json.loads(file.readline())
        rows = [row for row in map(json.loads, file) if row.get("node") == number]
    mine = header["nodes"][number]
    services = header["services_ms"][mine["device"]]
    home = folder / f"home-{number}"
    registry = ModelRegistry(home / "cache")
    cards = [registry.add(folder / f"model-{m}.toml") for m in range(len(header["models"]))]
    address = (folder / f"node-{number}.address").read_text()
    others = [
        (folder / f"node-{other}.address").read_text()
        for other in range(len(header["nodes"]))
        if other != number
    ]
    stated, loads = {}, {}
    for m, batch in enumerate(services):
        base = batch[0] * dilate
        overlap = min(0.99, max(0.0, 2 - batch[1] / batch[0]))
        load = MODELS[m].load_ns / 1e6 * dilate
        at_once = EmulatedModel(base=_duration(base), overlap=overlap)
        stated[f"model-{m}"] = at_once
        loads[f"model-{m}"] = EmulatedModel(
            base=at_once.base, overlap=overlap, load=_duration(load)
        )
    slots = {"orin-nano": 4, "n100": 3, "coral": 1, "pi5": 2}[mine["device"]]
    config = Config(
        node=NodeConfig(
            name=f"node-{number}", threads=1, state=str(home / "s"), cache=str(home / "cache")
        ),
        emulated=EmulatedConfig(name=mine["device"], residents=slots, models=stated),
    )
    cluster = ClusterConfig(
        bundle="",
        listen=MemberAddress(f"{address}:7440"),
        seeds=tuple(MemberAddress(f"{other}:7440") for other in others),
        site=f"region-{mine['region']}",
        discovery=False,
    )
    classes = {"orin-nano": 1, "n100": 2, "coral": 3, "pi5": 4}
    member = Member(
        cluster,
        Identity.load(folder / f"node-{number}.bundle"),
        settings=stretched(Settings(), dilate),
        slots=slots,
        service_class=classes[mine["device"]],
    )
    node = Node(config=config, placer=member, standing=True)
    node.start()
    for m in mine["residents"]:
        node.wiring.add_model(node.residency.load(cards[m]))
    stated.update(loads)  # from here on a load takes what the trace says
    member.local.refresh()
    picture = Picture(np.load(folder / "picture.npy"), "RGB")
    frames: Counter[str] = Counter()
    lock = threading.Lock()
    known = {m: KnownModel.of(card) for m, card in enumerate(cards)}
    deadline_ns = int(header["parameters"]["deadline_ms"] * 1e6 * dilate)
    warm_ns = start_ns + int(WARM_UP_S * dilate * 1e9)
    control_before = [0]

    def ask(row: dict[str, Any]) -> None:
        captured = start_ns + int(row["captures"][0] * dilate)
        due = captured + deadline_ns
        count = len(row["captures"])

        def done(outcome: Outcome) -> None:
            if captured >= warm_ns:
                good = outcome.values is not None and time.monotonic_ns() <= due
                with lock:
                    frames["ok" if good else outcome.dropped or "late"] += count

        app = f"app-{row['app']}"
        terms = Terms(f"camera-{number}", app, frozenset({app}), 1.0, f"op-{row['model']}")
        request = Request(
            stream=-1,
            model=node.residency.models.get(cards[row["model"]].digest) or known[row["model"]],
            pictures=[picture] * count,
            deadline_ns=due,
            done=done,
            captured_ns=captured,
            terms=terms,
        )
        member._place([request])  # a group as it is in the trace, gathered by its camera

    _await(start_ns)
    counted = False
    for row in rows:
        at = start_ns + int(row["at_ns"] * dilate)
        if not counted and at >= warm_ns:
            control_before[0] = member.control.counters()["bytes_sent"]
            counted = True
        _await(at)
        ask(row)
    end = start_ns + int((header["parameters"]["duration_s"]) * dilate * 1e9)
    _await(end)
    sent = member.control.counters()["bytes_sent"] - control_before[0]
    _await(end + deadline_ns + int(0.3e9))
    view = node.snapshot().emulated
    found = {
        "node": number,
        "frames": dict(frames),
        "offloaded": member.asking.counts.offloaded,
        "control_bytes": sent / ((end - warm_ns) / 1e9),
        "overshoot_p99_ms": None if view is None else view.overshoot_p99_ms,
    }
    print(json.dumps(found), flush=True)
    node.stop()
    os._exit(0)


def stretched(settings: Any, by: float) -> Any:
    """*settings* for a world that is *by* times slower."""
    for name in vars_of(settings):
        value = getattr(settings, name)
        if name.endswith("_ns"):
            setattr(settings, name, int(value * by))
        elif name.endswith("_bps"):
            setattr(settings, name, value / by)
    return settings


def vars_of(settings: Any) -> list[str]:
    from dataclasses import fields

    return [field.name for field in fields(settings)]


def _duration(ms: float) -> Any:
    """As the configuration has it: nanoseconds."""
    from edgesdk.config import Duration

    return Duration(int(ms * 1e6))


def _await(at_ns: int) -> None:
    while (left := at_ns - time.monotonic_ns()) > 0:
        time.sleep(left / 1e9)


if __name__ == "__main__":
    sys.exit(main())
