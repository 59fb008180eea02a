"""Real agents in processes of their own: a cluster of ``edgesdk agent``, started and mistreated.

Their accelerators are emulated, their models tiny and real, their cameras generated scenes, so that
a dozen run on two cores; all between them is what ships.
"""

from __future__ import annotations

import contextlib
import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from edgesdk.cluster.administration import administer
from edgesdk.cluster.authority import Authority
from edgesdk.cluster.identity import Identity
from edgesdk.errors import EdgeError

__all__ = ["Agent", "Cluster", "eventually"]

APPLICATION = """
import edgesdk as edge

@edge.app(deadline="{deadline}"{more})
def bright(camera: edge.Camera):
    return {{"found": camera.detect({card!r}, score=0.3)}}
"""


def eventually(condition: Callable[[], Any], what: str, seconds: float = 20.0) -> Any:
    """What *condition* gives once it is true."""
    end = time.monotonic() + seconds
    while not (found := condition()):
        assert time.monotonic() < end, f"{what}: not within {seconds} s"
        time.sleep(0.02)
    return found


def free_port() -> int:
    """A port that nobody has now, nor the one after it."""
    while True:
        with (
            socket.socket() as one,
            socket.socket() as two,
            socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as three,
        ):
            one.bind(("127.0.0.1", 0))
            port: int = one.getsockname()[1]
            with contextlib.suppress(OSError, OverflowError):
                two.bind(("127.0.0.1", port + 1))
                three.bind(("127.0.0.1", port))
                return port


@dataclass(eq=False)
class Agent:
    """One node. *inside* puts a command where the node is, such as into a namespace; *reach* calls
    something from where the node can be reached."""

    name: str
    folder: Path
    host: str
    port: int
    identity: Identity  # of the operator, who asks it
    inside: Callable[[Sequence[str]], list[str]] = list
    reach: Callable[[Callable[[], Any]], Any] = lambda function: function()
    process: subprocess.Popen[bytes] | None = None
    environment: Mapping[str, str] = field(default_factory=dict)

    @property
    def address(self) -> tuple[str, int]:
        return self.host, self.port

    @property
    def results(self) -> Path:
        return self.folder / "results.jsonl"

    @property
    def pid(self) -> int:
        assert self.process is not None
        return self.process.pid

    def start(self, *, prefix: Sequence[str] = ()) -> None:
        command = [sys.executable, "-m", "edgesdk.cli.main", "agent"]
        command += ["--config", str(self.folder / "node.toml"), "--out", str(self.results)]
        with (self.folder / "log").open("ab") as log, (self.folder / "summary").open("ab") as out:
            self.process = subprocess.Popen(
                self.inside([*prefix, *command, "--json"]),
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=log,
                cwd=self.folder,
                env={**os.environ, "NO_COLOR": "1", **self.environment},
            )

    def signal(self, number: int) -> None:
        os.kill(self.pid, number)

    def kill(self) -> None:
        """As the power does."""
        assert self.process is not None
        with contextlib.suppress(ProcessLookupError):
            self.signal(signal.SIGCONT)
        self.process.kill()
        self.process.wait()
        self.process = None

    def stop(self) -> dict[str, Any]:
        """Asks it to end; its final counts."""
        assert self.process is not None
        self.process.terminate()
        self.process.wait(15)
        self.process = None
        return dict(json.loads((self.folder / "summary").read_bytes().splitlines()[-1]))

    def ask(self, verb: str, body: Any = None) -> Any:
        return self.reach(lambda: administer(self.identity, self.address, verb, body, timeout=3))

    def status(self) -> dict[str, Any]:
        """What it tells of itself; empty while it does not answer."""
        try:
            return dict(self.ask("status"))
        except EdgeError:
            return {}

    def peers(self) -> set[str]:
        return {link["node"] for link in self.status().get("links", ())}

    def log(self) -> str:
        return (self.folder / "log").read_text(errors="replace")

    def records(self) -> list[dict[str, Any]]:
        """Whole lines of its results so far."""
        try:
            data = self.results.read_bytes()
        except FileNotFoundError:
            return []
        return [json.loads(line) for line in data[: data.rfind(b"\n") + 1].splitlines()]


class Cluster:
    """Bundles, applications and agents below *folder*; a context manager that leaves no process.

    card: the model card of all nodes. lan: a :class:`~namespaces.Lan` whose hosts the agents are,
    or None for loopback.
    """

    def __init__(self, folder: Path, card: str, *, lan: Any = None) -> None:
        self.folder = folder
        self.agents: dict[str, Agent] = {}
        self._card = card
        self._lan = lan
        self.authority = Authority.create(folder / "operator", "tests")
        self.operator = Identity.load(self.authority.operator_bundle)

    def add(
        self,
        name: str,
        *,
        fps: float = 5,
        service_ms: float = 50,
        deadline: str = "600ms",
        exact: bool = False,
        frames: str = "cluster",
        site: str = "",
        seeds: Sequence[Agent] | None = None,
        discovery: bool = False,
        bundle: Path | None = None,
        card: str | None = None,
        more: str = "",
    ) -> Agent:
        """An agent that is not started yet; *seeds* are all that there were before it."""
        folder = self.folder / name
        folder.mkdir()
        host, port, inside = self._place()
        reach = (lambda function: function()) if self._lan is None else self._lan.call
        if bundle is None:
            bundle = self.authority.add(name, out=folder / "node.bundle").bundle
        agent = Agent(name, folder, host, port, self.operator, inside, reach)
        seeds = list(self.agents.values()) if seeds is None else seeds
        application = APPLICATION.format(
            deadline=deadline, card=card or self._card, more=", exact=True" if exact else ""
        )
        (folder / "bright.py").write_text(application)
        known = [f"{other.host}:{other.port}" for other in seeds]
        model = Path(card or self._card).stem
        (folder / "node.toml").write_text(
            f"""
schema = 1
[node]
name = "{name}"
threads = 1
state = "state"
cache = "cache"
[cluster]
bundle = {json.dumps(str(bundle))}
listen = "{host}:{port}"
seeds = {json.dumps(known)}
site = "{site}"
discovery = {json.dumps(discovery)}
[cameras.{name}]
uri = "synthetic:?width=320&height=240&fps={fps}"
frames = "{frames}"
[apps.bright]
app = "bright.py:bright"
[emulated]
name = "emulated-{service_ms:g}"
[emulated.models.{model}]
base = "{service_ms:g}ms"
{more}
"""
        )
        self.agents[name] = agent
        return agent

    def start(self, *names: str) -> None:
        """Starts those (all), and returns once they all know each other."""
        started = [self.agents[name] for name in names] or list(self.agents.values())
        for agent in started:
            agent.start()
        self.meet()

    def meet(self, seconds: float = 40.0) -> None:
        """Returns once all running agents know each other and see their cameras."""
        running = [agent for agent in self.agents.values() if agent.process is not None]
        for agent in running:
            others = {other.name for other in running} - {agent.name}

            def met(agent: Agent = agent, others: set[str] = others) -> bool:
                assert agent.process is not None
                assert agent.process.poll() is None, agent.log()
                status = agent.status()
                known = {link["node"] for link in status.get("links", ()) if link["watched"]}
                frames = sum(stream["passed"] for stream in status.get("streams", ()))
                return known >= others and frames > 0

            eventually(met, f"{agent.name} meets {sorted(others)}", seconds)

    def __enter__(self) -> Cluster:
        return self

    def __exit__(self, *_: object) -> None:
        for agent in self.agents.values():
            if agent.process is not None:
                agent.kill()

    def _place(self) -> tuple[str, int, Callable[[Sequence[str]], list[str]]]:
        if self._lan is None:
            return "127.0.0.1", free_port(), list
        host = len(self.agents) + 1
        return self._lan.address(host), 7440, lambda words: self._lan.inside(host, words)


def ledger_closes(summary: Mapping[str, Any]) -> Iterator[str]:
    """What is wrong with the counts of a run, if anything."""
    for app, found in summary["applications"].items():
        for camera, one in found["cameras"].items():
            f = one["frames"]
            if f["captured"] != f["skipped_sample"] + f["held"] + f["passed"]:
                yield f"{app} on {camera}: captured {f}"
            if f["passed"] != f["ok"] + f["late"] + f["dropped"] + f["failed"]:
                yield f"{app} on {camera}: passed {f}"
