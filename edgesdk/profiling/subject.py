"""The process that a test run measures: a node with some cameras, telling of itself each second.

It reads one JSON document from standard input and writes JSON lines to standard output; its
results reach nobody. It ends when its standard input does.
"""

from __future__ import annotations

import dataclasses
import os
import re
import sys
import threading
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import msgspec

from edgesdk.config import load_config
from edgesdk.errors import EdgeError
from edgesdk.graph import Application, load_application
from edgesdk.graph.application import BuiltApplication
from edgesdk.inference.host import cpu_seconds
from edgesdk.records import error_document

__all__ = ["Ready", "Second", "Task", "main"]

_TICK_S = 1.0


class Task(msgspec.Struct, frozen=True, kw_only=True):
    """What to run. *fps*: None leaves the applications' own rates."""

    apps: tuple[str, ...]
    cameras: dict[str, str]
    fps: float | None
    config: str | None


class Ready(msgspec.Struct, frozen=True, kw_only=True, tag="ready"):
    """Every camera gave a frame: their sizes and rates, by name."""

    sizes: dict[str, tuple[int, int]]
    rates: dict[str, float]


class Second(msgspec.Struct, frozen=True, kw_only=True, tag="second"):
    """Sums since the start, of the agent and its capture workers together.

    at: CLOCK_MONOTONIC in seconds. cpu: seconds. memory: bytes, libraries that they share once.
    accelerator: seconds that inferences took. looked_at: by ``application camera``, frames that
    were analysed or that a gate held; missed: those that were to be analysed and were not.
    machine: seconds that all processors of the machine worked, for whomever.
    """

    at: float
    cpu: float
    memory: int
    accelerator: float
    looked_at: dict[str, int]
    missed: dict[str, int]
    machine: float = 0.0


class Muted(Application[Any]):
    """An application whose sinks get nothing."""

    def build(self, camera: str = "camera") -> BuiltApplication:
        return dataclasses.replace(super().build(camera), sinks=())

    @classmethod
    def of(cls, address: str, fps: float | None) -> Muted:
        found = load_application(address)
        return cls(
            found.function,
            name=found.name,
            deadline_ns=found.deadline_ns,
            weight=found.weight,
            cameras=None,
            place=found.place,
            rate=fps,
        )


def main() -> int:
    try:
        _run(msgspec.json.decode(sys.stdin.buffer.readline(), type=Task))
    except EdgeError as error:
        _tell(error_document(error))
        return error.exit_code
    return 0


def _run(task: Task) -> None:
    from edgesdk.config import Config
    from edgesdk.runtime import Node

    config = Config() if task.config is None else load_config(task.config)
    config = msgspec.structs.replace(config, cameras={}, apps={}, cluster=None)
    apps = [Muted.of(address, task.fps) for address in task.apps]
    ended = threading.Event()

    def wait_for_the_end() -> None:
        sys.stdin.buffer.read()
        ended.set()

    threading.Thread(target=wait_for_the_end, daemon=True).start()
    with Node(apps, task.cameras, config=config) as node:
        while not ended.wait(0.05):
            seen = node.snapshot().cameras
            if all(camera.frames and camera.width for camera in seen.values()):
                break
            dead = [name for name, camera in seen.items() if camera.state == "ended"]
            if dead and not seen[dead[0]].frames:
                raise EdgeError(f"camera {dead[0]} gave no frame: {seen[dead[0]].reason}")
        told = False
        due = time.monotonic()
        while not ended.wait(max(0.0, due - time.monotonic())):
            due += _TICK_S
            snapshot = node.snapshot()
            if not told:
                told = True
                _tell(
                    Ready(
                        sizes={n: (c.width, c.height) for n, c in snapshot.cameras.items()},
                        rates={n: c.fps for n, c in snapshot.cameras.items()},
                    )
                )
            _tell(_second(node))


def _second(node: Any) -> Second:
    snapshot = node.snapshot()
    assert node.supervisor is not None
    workers = [node.supervisor.status(name).pid for name in snapshot.cameras]
    pids = [os.getpid(), *(pid for pid in workers if pid)]
    models = {p.id for p in node.plan.operators if p.role == "inference"}
    looked_at = {}
    missed = {}
    for app, summary in snapshot.applications.items():
        for camera, frames in summary.cameras.items():
            counts = frames.frames
            looked_at[f"{app} {camera}"] = counts.ok + counts.late + counts.held
            missed[f"{app} {camera}"] = counts.dropped + counts.failed
    return Second(
        at=time.monotonic(),
        cpu=sum(cpu_seconds(pid) for pid in pids),
        memory=_bytes_of(pids),
        accelerator=sum(o.seconds.sum for o in snapshot.operators if o.id in models),
        looked_at=looked_at,
        missed=missed,
        machine=_machine_seconds(),
    )


def _machine_seconds() -> float:
    try:
        fields = Path("/proc/stat").read_text().split("\n", 1)[0].split()[1:]
    except OSError:
        return 0.0
    user, nice, system, _, _, irq, softirq, *_ = (int(field) for field in fields)
    return (user + nice + system + irq + softirq) / os.sysconf("SC_CLK_TCK")


def _bytes_of(pids: Sequence[int]) -> int:
    """What the processes hold together. Files that are mapped count once, however many others of
    this machine map them too: a share of them would depend on who else runs."""
    anonymous = mapped = 0
    for pid in pids:
        try:
            text = Path(f"/proc/{pid}/smaps_rollup").read_text()
        except OSError:
            continue
        kb = {name: int(amount) for name, amount in re.findall(r"^(\w+):\s+(\d+) kB", text, re.M)}
        clean = kb.get("Shared_Clean", 0) + kb.get("Private_Clean", 0)
        mapped = max(mapped, clean)
        shares = kb.get("Pss_Anon"), kb.get("Pss_Shmem")
        anonymous += sum(share or 0 for share in shares) if shares[0] else kb.get("Pss", 0)
    return (anonymous + mapped) * 1024


def _tell(document: Any) -> None:
    sys.stdout.buffer.write(msgspec.json.encode(document) + b"\n")
    sys.stdout.flush()
