"""By how much the memory of a slow peer grows that is flooded.

usage: python benchmarks/flood.py [--seconds 20] [--times 10] [--json]

Two processes in network namespaces, with a cluster's certificates: one needs 50 ms for a group of
250 KB, the other sends as many times more of them as is said, for so many seconds. What cannot be
kept is refused (``busy``), or never leaves its sender (``overflow``). Needs root and iproute2.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from edgesdk.cluster.authority import Authority
from edgesdk.cluster.data import Arrival, DataPlane, Failure, GroupHeader, Picture, Reply
from edgesdk.cluster.identity import Identity
from edgesdk.testing.lan import Lan

PORT = 7441
GROUP_BYTES = 250_000
SERVICE_S = 0.05


@dataclass(frozen=True)
class Peer:
    node_id: str
    data_address: tuple[str, int]


def run_slow(bundle: str, host: str) -> None:
    """Takes what comes, and needs its time for each group."""

    def arrived(arrival: Arrival) -> None:
        time.sleep(SERVICE_S)
        arrival.reply(b"")

    plane = DataPlane(Identity.load(bundle), (host, PORT), arrived=arrived)
    plane.start()
    print("up", flush=True)
    sys.stdin.read()
    plane.close()


def run_eager(bundle: str, own: str, host: str, *, times: float, seconds: float) -> None:
    """Sends *times* more than that can do."""
    plane = DataPlane(Identity.load(bundle), (own, PORT), arrived=lambda arrival: None)
    plane.start()
    ends: Counter[str] = Counter()

    def done(outcome: Reply | Failure) -> None:
        ends["answered" if isinstance(outcome, Reply) else outcome.reason] += 1

    peer = Peer("slow", (host, PORT))
    payload = os.urandom(GROUP_BYTES)
    header = GroupHeader(1, 2, 0, "raw", (Picture(1, 1, 0, GROUP_BYTES),))
    began, sent = time.monotonic(), 0
    while (now := time.monotonic()) < began + seconds:
        plane.deliver(
            peer, os.urandom(16), header, [payload], time_left_ns=2_000_000_000, done=done
        )
        sent += 1
        time.sleep(max(0.0, began + sent * SERVICE_S / times - now))
    plane.close()
    print(json.dumps({"sent": sent, **ends}))


def measure(folder: Path, lan: Lan, options: argparse.Namespace) -> dict[str, Any]:
    authority = Authority.create(folder / "operator", "flood")
    slow, eager = (str(authority.add(name).bundle) for name in ("slow", "eager"))
    me = [sys.executable, __file__]
    send = [*me, "--eager", eager, lan.address(2), lan.address(1)]
    send += ["--seconds", str(options.seconds), "--times", str(options.times)]
    with subprocess.Popen(
        lan.inside(1, [*me, "--slow", slow, lan.address(1)]),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    ) as peer:
        assert peer.stdin is not None
        assert peer.stdout is not None
        peer.stdout.readline()
        before = most = resident(peer.pid)
        with subprocess.Popen(lan.inside(2, send), stdout=subprocess.PIPE) as sender:
            assert sender.stdout is not None
            while sender.poll() is None:
                most = max(most, resident(peer.pid))
                time.sleep(0.05)
            groups = json.loads(sender.stdout.read())
        peer.stdin.close()
    if not groups.get("answered"):
        raise SystemExit(f"no group was answered: {groups}")
    return {"before_mb": before / 1e6, "grew_mb": (most - before) / 1e6, "groups": groups}


def resident(pid: int) -> int:
    """Bytes of a process in memory."""
    pages = Path(f"/proc/{pid}/statm").read_text(encoding="ascii").split()[1]
    return int(pages) * os.sysconf("SC_PAGE_SIZE")


def report(found: dict[str, Any], options: argparse.Namespace) -> None:
    if options.json:
        print(json.dumps({"schema": 1, "benchmark": "flood", **found}))
        return
    print(f"{options.times:g} times its rate for {options.seconds:g} s")
    print(f"its memory before, MB    {found['before_mb']:8.1f}")
    print(f"it grew by, MB           {found['grew_mb']:8.1f}")
    for name, count in found["groups"].items():
        print(f"groups {name:18}{count:8}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--seconds", type=float, default=20)
    parser.add_argument("--times", type=float, default=10)
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--slow", nargs=2, help=argparse.SUPPRESS)
    parser.add_argument("--eager", nargs=3, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.slow:
        run_slow(*options.slow)
    elif options.eager:
        run_eager(*options.eager, times=options.times, seconds=options.seconds)
    else:
        with tempfile.TemporaryDirectory() as folder, Lan(2) as lan:
            report(measure(Path(folder), lan, options), options)


if __name__ == "__main__":
    main()
