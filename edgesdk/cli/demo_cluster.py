"""The demo's cluster: certificates for the occasion, and an agent process for each scene."""

from __future__ import annotations

import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, suppress
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any

from edgesdk.cli.scenes import Scene
from edgesdk.errors import EdgeError

if TYPE_CHECKING:
    from edgesdk.cluster.survey import Surveyor

__all__ = ["Agent", "DemoCluster"]

_STOP_S = 4.0
_ASK_S = 2.0
_AGAIN_S = 3.0  # from the death of a node to its restart: long enough to be seen


@dataclass(eq=False)
class Agent:
    """One node of the demo: its scene, files, and the process that runs now."""

    scene: Scene
    folder: Path
    control: int
    data: int
    process: subprocess.Popen[bytes] | None = None
    died_at: float | None = None
    deaths: list[str] = field(default_factory=list)

    @property
    def config(self) -> Path:
        return self.folder / "node.toml"

    @property
    def video(self) -> Path:
        """Its scene."""
        return self.folder / "scene.mp4"

    @property
    def still(self) -> Path:
        """What the camera shows while the nodes get ready: nothing that moves."""
        return self.folder / "still.mp4"

    @property
    def results(self) -> Path:
        return self.folder / "results.jsonl"

    @property
    def summary(self) -> Path:
        return self.folder / "summary.json"

    @property
    def log(self) -> Path:
        return self.folder / "agent.log"

    @property
    def address(self) -> tuple[str, int]:
        return ("127.0.0.1", self.control)


class DemoCluster:
    """Four agents below a temporary folder, which goes with them; a context manager.

    real: the detector runs as fast as it runs; else its results are padded to the service time
    that the scene states. web: where the first node serves its page. All of it listens on loopback
    only.
    """

    def __init__(
        self, scenes: list[Scene], *, real: bool, cache: Path, web: str | None = None
    ) -> None:
        self.real = real
        self._scenes = scenes
        self._web = web
        self._cache = cache
        self._part = "still"
        self._frames = "cluster"
        self.folder = Path()
        self.agents: list[Agent] = []

    def __enter__(self) -> DemoCluster:
        from edgesdk.cluster.authority import Authority
        from edgesdk.cluster.identity import Identity

        self.folder = Path(tempfile.mkdtemp(prefix="edgesdk-demo-"))
        try:
            authority = Authority.create(self.folder / "operator", "demo")
            self._operator = Identity.load(authority.operator_bundle)
            ports = _free_ports(2 * len(self._scenes))
            for index, scene in enumerate(self._scenes):
                folder = self.folder / scene.name
                folder.mkdir()
                authority.add(scene.name, out=folder / "node.bundle")
                control, data = ports[2 * index : 2 * index + 2]
                agent = Agent(scene, folder, control, data)
                self.agents.append(agent)
        except BaseException:
            shutil.rmtree(self.folder, ignore_errors=True)
            raise
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        value: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.stop()
        shutil.rmtree(self.folder, ignore_errors=True)

    def surveyor(self) -> Surveyor:
        """What asks all agents how they are."""
        from edgesdk.cluster.survey import Surveyor

        addresses = [agent.address for agent in self.agents]
        return Surveyor(self._ask, self._operator.fingerprint, addresses)

    def _ask(self, address: tuple[str, int], verb: str, body: Any) -> Any:
        """As the cluster's operator."""
        from edgesdk.cluster.administration import administer

        return administer(self._operator, address, verb, body, timeout=_ASK_S)

    def start(self) -> None:
        """Starts every agent, in front of a scene that stands still; the videos must be there."""
        for agent in self.agents:
            self._start(agent)

    def watch(self) -> list[Agent]:
        """Notices who has died and starts it again a little later; returns those that just died."""
        died = []
        for agent in self.agents:
            process = agent.process
            if process is not None and process.poll() is not None:
                agent.process = None
                agent.died_at = time.monotonic()
                agent.deaths.append(_how(process.returncode))
                died.append(agent)
            elif agent.died_at is not None and time.monotonic() - agent.died_at > _AGAIN_S:
                agent.died_at = None
                self._start(agent)
        return died

    def play(self) -> None:
        """Starts all scenes, each from its beginning, over and over."""
        self._part = "scene"
        self._reload()

    def separate(self) -> None:
        """From now on no frame leaves its node; cameras and models go on as they are."""
        self._frames = "node"
        self._reload()

    def _reload(self) -> None:
        """Has all agents read their files again; returns when they have, or were given up."""
        for agent in self.agents:
            self._write_config(agent)
        running = [agent for agent in self.agents if agent.process is not None]
        with ThreadPoolExecutor(len(self.agents)) as pool:
            for asked in [
                pool.submit(self._ask, agent.address, "reload", None) for agent in running
            ]:
                with suppress(EdgeError):  # it is frozen, or has just been killed
                    asked.result()

    def stop(self) -> None:
        """Asks all to end, and sees to it that they do."""
        running = [agent.process for agent in self.agents if agent.process is not None]
        for process in running:
            with suppress(ProcessLookupError):
                process.terminate()
                # One that was stopped by somebody would not hear of it.
                process.send_signal(signal.SIGCONT)
        end = time.monotonic() + _STOP_S
        for process in running:
            _await_end(process, end)
        for agent in self.agents:
            agent.process = None
            agent.died_at = None

    def _start(self, agent: Agent) -> None:
        self._write_config(agent)
        command = [sys.executable, "-m", "edgesdk.cli.main", "agent", "--config", str(agent.config)]
        command += ["--out", str(agent.results), "--json"]
        with agent.log.open("ab") as log, agent.summary.open("ab") as out:
            agent.process = subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=log,
                cwd=agent.folder,
                # Ctrl-C is for the demo, which then asks its agents.
                start_new_session=True,
                env={**os.environ, "NO_COLOR": "1"},
            )

    def _write_config(self, agent: Agent) -> None:
        scene = agent.scene
        video = agent.folder / f"{self._part}.mp4"
        lines = [
            "schema = 1",
            "[node]",
            f"name = {_text(scene.name)}",
            f"state = {_text(agent.folder / 'state')}",
            f"cache = {_text(self._cache)}",
            "threads = 1",
            "[cluster]",
            'bundle = "node.bundle"',
            f'listen = "127.0.0.1:{agent.control}"',
            f'data = "127.0.0.1:{agent.data}"',
            f"[cameras.{scene.name}]",
            f"uri = {_text(f'file:{video}?loop=1')}",
            f'frames = "{self._frames}"',
            "[apps.people]",
            'app = "edgesdk.cli.street:people"',
            f"cameras = [{_text(scene.name)}]",
        ]
        if not self.real:
            lines += [
                "[emulated]",
                f"name = {_text(scene.device)}",
                "[emulated.models.person-ssdlite]",
                f'base = "{scene.service_ms}ms"',
            ]
        if self._web is not None and agent is self.agents[0]:
            lines += ["[web]", f"listen = {_text(self._web)}"]
        beside = agent.config.with_suffix(".new")
        beside.write_text("\n".join(lines) + "\n")
        beside.replace(agent.config)


def _await_end(process: subprocess.Popen[bytes], end: float) -> None:
    try:
        process.wait(max(0.0, end - time.monotonic()))
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


def _text(value: object) -> str:
    """A TOML string: JSON's escapes are TOML's too."""
    return json.dumps(str(value))


def _how(code: int) -> str:
    if code >= 0:
        return f"ended with code {code}"
    with suppress(ValueError):
        return f"killed by {signal.Signals(-code).name}"
    return f"killed by signal {-code}"


def _free_ports(count: int) -> list[int]:
    """Ports that nobody has on loopback now, neither as UDP nor as TCP."""
    found: list[int] = []
    with ExitStack() as held:
        while len(found) < count:
            tcp = held.enter_context(socket.socket(socket.AF_INET, socket.SOCK_STREAM))
            tcp.bind(("127.0.0.1", 0))
            port = tcp.getsockname()[1]
            udp = held.enter_context(socket.socket(socket.AF_INET, socket.SOCK_DGRAM))
            with suppress(OSError):
                udp.bind(("127.0.0.1", port))
                found.append(port)
    return found
