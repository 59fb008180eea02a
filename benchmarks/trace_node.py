"""One node of a recorded trace, in a process of its own: see ``cluster_real.py``, which starts it.

usage: python benchmarks/trace_node.py FOLDER NUMBER START_NS DILATE

It prints one JSON line: how its frames ended, and what it measured of itself.
"""

from __future__ import annotations

import json
import os
import sys
import threading
import time
from collections import Counter
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

WARM_UP_S = 4.0


def run_node(folder: Path, number: int, start_ns: int, dilate: float) -> None:
    """One node of the trace, in this process."""
    import numpy as np

    from edgesdk.balance import Settings
    from edgesdk.cluster import control
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
    limits = stretched(control.Limits(), dilate)
    control.Limits = lambda: limits  # type: ignore[assignment,misc]
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


def stretched(times: Any, by: float) -> Any:
    """*times*, a dataclass of settings, for a world that is *by* times slower."""
    changes: dict[str, Any] = {}
    for field in fields(times):
        value = getattr(times, field.name)
        if field.name.endswith("_ns"):
            changes[field.name] = int(value * by)
        elif field.name.endswith("_bps"):
            changes[field.name] = value / by
    return replace(times, **changes)


def _duration(ms: float) -> Any:
    """As the configuration has it: nanoseconds."""
    from edgesdk.config import Duration

    return Duration(int(ms * 1e6))


def _await(at_ns: int) -> None:
    while (left := at_ns - time.monotonic_ns()) > 0:
        time.sleep(left / 1e9)


if __name__ == "__main__":
    run_node(Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3]), float(sys.argv[4]))
