"""What a cluster of real agents does when a node comes, dies or freezes, and how long it takes.

usage: python benchmarks/cluster_events.py [--starts 3] [--kills 5] [--freezes 3] [--json]

Every node is ``edgesdk agent`` in a network namespace of its own. Its accelerator is emulated, its
model tiny and real, its camera a generated scene. One node can end none of its camera's frames in
time, so that all go to two peers from the first on; it notes when it decides what. Printed are:

* its start, from the ``exec`` of its process: the first peer, its first frame, the first result
  that a peer made;
* ``kill -9`` of a peer: when the groups that it had were taken back, and when each was placed
  again; then the start of the one that comes in its place;
* SIGSTOP of a peer: likewise, after the end that it had promised, and after the patience that comes
  on top: 20 ms, or three round trips as they are measured.

Needs root and iproute2.
"""

from __future__ import annotations

import argparse
import gc
import json
import os
import signal
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from edgesdk.cluster.authority import Authority
    from edgesdk.testing.lan import Lan

PORT = 7440
FPS = 25
SERVICE_MS = 50

CARD = """
schema = 1
name = "tiny"
task = "classify"
licence = "MIT"
labels = ["0", "1", "2", "3", "4", "5", "6", "7", "8", "9"]
[[variants]]
file = "tiny.onnx"
backend = "onnxruntime"
[[inputs]]
name = "image"
layout = "NCHW"
dtype = "uint8"
shape = [-1, 3, 32, 32]
colour = "RGB"
[outputs]
scores = "scores"
[decode]
kind = "classify"
activation = "softmax"
"""
APPLICATION = """
import edgesdk as edge

@edge.app(deadline="500ms")
def what(camera: edge.Camera):
    return {{"found": camera.classify({card!r})}}
"""
NODE = """
schema = 1
[node]
name = "{name}"
threads = 1
state = "state"
cache = "cache"
[cluster]
bundle = "{name}.bundle"
listen = "{host}:{port}"
[cameras.{name}]
uri = "synthetic:?width=320&height=240&fps={fps}"
[apps.what]
app = "what.py:what"
[emulated]
name = "emulated-{service_ms}"
[emulated.models.tiny]
base = "{service_ms}ms"
overlap = 0.0
"""

NEWS = ("joined", "frame", "ready")  # events that are of no group
Event = list[Any]
Times = dict[str, list[float]]


class Agent:
    """One node; its events are ``[what, ..., CLOCK_MONOTONIC in ns]``."""

    def __init__(
        self, lan: Lan, host: int, name: str, folder: Path, authority: Authority, **about: Any
    ) -> None:
        self.name, self.lan, self.host = name, lan, host
        self.folder = folder / name
        self.folder.mkdir()
        issued = authority.add(name, out=self.folder / f"{name}.bundle")
        self.number = issued.subject.number
        card = folder / "tiny.toml"
        (self.folder / "what.py").write_text(APPLICATION.format(card=str(card)))
        about |= {"name": name, "host": lan.address(host), "port": PORT}
        (self.folder / "node.toml").write_text(NODE.format(**about))
        self.process: subprocess.Popen[bytes] | None = None
        self.began_ns = 0

    def start(self) -> None:
        self.events_file.unlink(missing_ok=True)
        words = [sys.executable, __file__, "--agent", str(self.folder)]
        with (self.folder / "log").open("ab") as log:
            self.began_ns = time.monotonic_ns()
            self.process = subprocess.Popen(
                self.lan.inside(self.host, words), stdout=log, stderr=log, cwd=self.folder
            )

    def stop(self, number: int = signal.SIGTERM) -> None:
        if self.process is not None:
            self.process.send_signal(number)
            self.process.wait(20)
            self.process = None

    def signal(self, number: int) -> None:
        assert self.process is not None
        self.process.send_signal(number)

    @property
    def events_file(self) -> Path:
        return self.folder / "events"

    def events(self) -> list[Event]:
        try:
            data = self.events_file.read_bytes()
        except FileNotFoundError:
            return []
        return [json.loads(line) for line in data[: data.rfind(b"\n") + 1].splitlines()]

    def follow(self, seconds: float = 30) -> Iterator[Event]:
        """All events so far, and those to come."""
        end = time.monotonic() + seconds
        known = 0
        while time.monotonic() < end:
            events = self.events()
            yield from events[known:]
            known = len(events)
            if self.process is None or self.process.poll() is not None:
                break
            time.sleep(0.01)
        log = (self.folder / "log").read_text(errors="replace")[-2000:]
        raise SystemExit(f"{self.name}: what was waited for did not happen\n{log}")

    def await_event(self, what: str, *about: Any, since_ns: int = 0) -> Event:
        wanted = [what, *about]
        for event in self.follow():
            if event[: len(wanted)] == wanted and event[-1] > since_ns:
                return event
        raise AssertionError("events do not end")

    def lent(self, peer: int, at_ns: int = 1 << 62) -> dict[int, tuple[int, int]]:
        """Groups that *peer* has at an instant: when it promised to have computed each, and the
        patience beyond that."""
        groups: dict[int, tuple[int, int]] = {}
        for what, *words in self.events():
            if words[-1] > at_ns:
                break
            if what == "deliver" and words[1] == peer:
                groups[words[0]] = words[2], words[3]
            elif what not in NEWS:
                groups.pop(words[0], None)
        return groups


def run_agent(folder: Path) -> None:
    """``edgesdk agent`` of *folder*, in this process, with its decisions noted."""
    gc.disable()  # as the console script does, and the next line
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
    from edgesdk.balance import CancelDelivery, Deliver, Drop, Run
    from edgesdk.cli.agent import Service, app
    from edgesdk.cluster.asking import Asking
    from edgesdk.cluster.member import Member

    notes = os.open(folder / "events", os.O_WRONLY | os.O_CREAT | os.O_APPEND)

    def note(*words: Any) -> None:
        os.write(notes, json.dumps([*words, time.monotonic_ns()]).encode() + b"\n")

    def before(owner: Any, name: str, tell: Callable[..., None]) -> None:
        real = getattr(owner, name)

        def told(self: Any, *words: Any) -> Any:
            if owner is Member and not members:
                members.append(self)
            tell(*words)
            return real(self, *words)

        setattr(owner, name, told)

    def decided(action: Any) -> None:
        number = action.group.id
        if isinstance(action, Deliver):
            rtt_ns = members[0].balancer.members()[action.peer].srtt_ns
            note("deliver", number, action.peer, action.ends_ns, max(20_000_000, 3 * rtt_ns))
        elif isinstance(action, Run):
            note("run", number)
        elif isinstance(action, CancelDelivery):
            note("cancel", number)
        elif isinstance(action, Drop):
            note("drop", number)

    members: list[Member] = []
    seen = threading.Event()

    def asked(requests: Any) -> None:
        if not seen.is_set():
            seen.set()
            note("frame")

    before(Asking, "note", decided)
    before(Asking, "ask", asked)
    before(Member, "finished", lambda group, wire_ns: note("finished", group))
    before(Member, "failed", lambda group, why: note("failed", group, why))
    before(Member, "_joined", lambda peer: note("joined", peer.number))
    start = Service.start

    def ready(self: Service) -> None:
        start(self)
        note("ready")

    Service.start = ready  # type: ignore[method-assign]
    app(["--config", str(folder / "node.toml")])


class Scene:
    """The node that asks, *busy*, and its two peers; a context manager that leaves no process."""

    def __init__(self, folder: Path, lan: Lan) -> None:
        from edgesdk.cluster.authority import Authority
        from edgesdk.testing.models import onnx_cnn

        (folder / "tiny.onnx").write_bytes(onnx_cnn(dtype="uint8"))
        (folder / "tiny.toml").write_text(CARD)
        authority = Authority.create(folder / "operator", "events")
        self.busy = Agent(lan, 1, "busy", folder, authority, fps=FPS, service_ms=450)
        self.peers = [
            Agent(lan, host, f"peer-{host}", folder, authority, fps=0.5, service_ms=SERVICE_MS)
            for host in (2, 3)
        ]

    def __enter__(self) -> Scene:
        return self

    def __exit__(self, *_: object) -> None:
        for agent in (self.busy, *self.peers):
            agent.stop(signal.SIGKILL)

    def starts(self, times: int) -> Times:
        """Of *busy*, whose peers run."""
        found: Times = defaultdict(list)
        for peer in self.peers:
            peer.start()
        for peer in self.peers:
            peer.await_event("joined")
        for _ in range(times):
            self.busy.stop()
            time.sleep(1.2)  # for a second after its good-bye, a name that comes is not news
            self.busy.start()
            ready_ns = self.busy.await_event("ready")[-1]
            for name, what in (
                ("models loaded, cameras started", "ready"),
                ("first peer", "joined"),
                ("first frame", "frame"),
                ("first result of a peer", "finished"),
            ):
                at_ns = self.busy.await_event(what)[-1]
                found[name].append((at_ns - self.busy.began_ns) / 1e6)
            found["the same, once cameras are started"].append((at_ns - ready_ns) / 1e6)
        return found

    def kills(self, times: int) -> tuple[Times, Times]:
        """Of peers; and of those that come in their place."""
        found: Times = defaultdict(list)
        back: Times = defaultdict(list)
        for number in range(times):
            peer = self.peers[number % 2]
            had, at = self.strike(peer, signal.SIGKILL)
            peer.stop(signal.SIGKILL)
            time.sleep(0.5)
            events = self.busy.events()
            for group in had:
                if ends := replanned(events, group, at):
                    found["its groups taken back"].append((ends[0] - at) / 1e6)
                    found["placed again"].append((ends[1] - at) / 1e6)
            peer.start()
            joined = self.busy.await_event("joined", peer.number, since_ns=at)
            back["seen by the other"].append((joined[-1] - peer.began_ns) / 1e6)
            back["its first result"].append((self.await_result(peer) - peer.began_ns) / 1e6)
        return found, back

    def freezes(self, times: int) -> Times:
        found: Times = defaultdict(list)
        for number in range(times):
            peer = self.peers[number % 2]
            had, at = self.strike(peer, signal.SIGSTOP)
            time.sleep(0.8)
            events = self.busy.events()
            peer.signal(signal.SIGCONT)
            for group, (promised, patience) in had.items():
                if ends := replanned(events, group, at):
                    found["its groups taken back"].append((ends[0] - promised) / 1e6)
                    found["beyond the patience"].append((ends[0] - promised - patience) / 1e6)
                    found["placed again"].append((ends[1] - promised) / 1e6)
        return found

    def strike(self, peer: Agent, number: int) -> tuple[dict[int, tuple[int, int]], int]:
        """Sends a signal to *peer* when it has groups: those, as lent() has them, and when it
        was."""
        self.await_result(peer)
        while not self.busy.lent(peer.number):
            time.sleep(0.002)
        at = time.monotonic_ns()
        peer.signal(number)
        time.sleep(0.02)
        return self.busy.lent(peer.number, at), at

    def await_result(self, peer: Agent) -> int:
        """When the first result came for a group that went to *peer* since it was started."""
        sent: set[int] = set()
        for event in self.busy.follow():
            if event[-1] < peer.began_ns:
                continue
            if event[0] == "deliver" and event[2] == peer.number:
                sent.add(event[1])
            elif event[0] == "finished" and event[1] in sent:
                return int(event[-1])
        raise AssertionError("events do not end")


def replanned(events: Sequence[Event], group: int, at: int) -> tuple[int, int] | None:
    """When *group*, which a peer had at *at*, was taken back, and when something else was decided
    for it; None: its result was on the way."""
    mine = [e for e in events if e[-1] > at and e[0] not in NEWS and e[1] == group]
    if not mine:
        raise SystemExit(f"group {group} was forgotten")
    if mine[0][0] == "finished":
        return None
    placed = next((e for e in mine if e[0] not in ("failed", "cancel")), mine[-1])
    return mine[0][-1], placed[-1]


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--starts", type=int, default=3)
    parser.add_argument("--kills", type=int, default=5)
    parser.add_argument("--freezes", type=int, default=3)
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--agent", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.agent:
        run_agent(options.agent)
    else:
        with tempfile.TemporaryDirectory(prefix="edgesdk-events-") as folder:
            report(measure(Path(folder), options), as_json=options.json)


def measure(folder: Path, options: argparse.Namespace) -> dict[str, Times]:
    from edgesdk.testing.lan import Lan

    with Lan(3) as lan, Scene(folder, lan) as scene:
        found = {"start": scene.starts(options.starts)}
        found["kill"], found["return"] = scene.kills(options.kills)
        return {**found, "freeze": scene.freezes(options.freezes)}


def report(found: dict[str, Times], *, as_json: bool) -> None:
    if as_json:
        print(json.dumps({"schema": 1, "benchmark": "cluster_events", **found}))
        return
    words = {
        "start": "a node starts, ms from exec",
        "kill": "kill -9 of a peer, ms from the signal",
        "freeze": "SIGSTOP of a peer, ms from the promised end",
        "return": "the killed one comes again, ms from exec",
    }
    for part, title in words.items():
        print(f"{title:46}{'p50':>8}{'max':>8}{'n':>5}")
        for name, values in found[part].items():
            middle = statistics.median(values)
            print(f"  {name:44}{middle:>8.1f}{max(values):>8.1f}{len(values):>5}")


if __name__ == "__main__":
    main()
