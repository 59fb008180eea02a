"""The demo while it runs: two halves, a live table, nodes that die and come back."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from contextlib import ExitStack
from typing import TYPE_CHECKING

from rich.console import Group, RenderableType
from rich.live import Live
from rich.text import Text

from edgesdk.cli.demo_cluster import Agent, DemoCluster
from edgesdk.cli.demo_results import Collector, Tally
from edgesdk.cli.interrupts import interrupts
from edgesdk.cli.live import console
from edgesdk.cli.member_table import members_table
from edgesdk.cluster.status import ClusterStatus, MemberStatus, SilentMember
from edgesdk.errors import EdgeError

if TYPE_CHECKING:
    from edgesdk.cluster.survey import Surveyor

__all__ = ["Watch", "await_members", "run_halves"]

_REFRESH_S = 0.25
_READY_S = 60.0
_SCENES_S = 6.0


class Watch:
    """Asks all nodes how they are, again and again, on a thread: a frozen one answers late."""

    def __init__(self, surveyor: Surveyor) -> None:
        self.newest: dict[str, MemberStatus] = {}
        self.reachable: set[str] = set()
        self._surveyor = surveyor
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="watch", daemon=True)

    def __enter__(self) -> Watch:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()

    def _run(self) -> None:
        while not self._stop.is_set():
            try:
                status: ClusterStatus | None = self._surveyor.survey()
            except EdgeError:
                status = None
            members = {m.node: m for m in status.members} if status else {}
            self.newest.update(members)
            self.reachable = set(members)
            self._stop.wait(_REFRESH_S)


def await_members(
    cluster: DemoCluster, watch: Watch, tell: Callable[[str, float | None], None]
) -> None:
    """Returns once every agent runs, sees its camera, and knows all others.

    Raises EdgeError where one ends instead, or if it takes too long; Cancelled at a signal.
    """
    from edgesdk.errors import Cancelled

    wanted = len(cluster.agents)
    end = time.monotonic() + _READY_S
    while True:
        if interrupts.asked.is_set():
            raise Cancelled("stopped before the first frame")
        ready = sum(
            member.node in watch.reachable
            and len(member.links) >= wanted - 1
            and any(stream.captured for stream in member.streams)
            for member in watch.newest.values()
        )
        tell(f"starting {wanted} nodes", ready / wanted)
        if ready == wanted:
            return
        for agent in cluster.agents:
            code = None if agent.process is None else agent.process.poll()
            if code is not None:
                raise EdgeError(f"node {agent.scene.name} ended with {code}: {last_words(agent)}")
        if time.monotonic() > end:
            seen = ", ".join(f"{m.node} knows {len(m.links)}" for m in watch.newest.values())
            raise EdgeError(
                f"the nodes did not find each other within {_READY_S:.0f} s "
                f"({seen or 'none ran'}); they look for each other by multicast on loopback: "
                "edgesdk doctor tells more"
            )
        time.sleep(0.05)


def last_words(agent: Agent) -> str:
    """The last line that the agent wrote."""
    try:
        lines = agent.log.read_text(errors="replace").strip().splitlines()
    except OSError:
        lines = []
    return lines[-1][:300] if lines else "it said nothing"


def run_halves(
    cluster: DemoCluster, collector: Collector, watch: Watch, *, half_s: float, quiet: bool
) -> None:
    """Plays the scenes with the cluster, then without, until a signal ends it."""
    with ExitStack() as stack:
        live: Live | None = None
        if not quiet and console.is_terminal:
            live = stack.enter_context(
                Live(console=console, auto_refresh=False, transient=True, redirect_stdout=False)
            )
        _begin_scenes(cluster, watch)
        for half in (0, 1):
            if half == 1:
                cluster.separate()
            collector.begin(half, time.time_ns())
            began = time.monotonic()
            end = began + half_s
            while not interrupts.asked.wait(min(_REFRESH_S, max(0.0, end - time.monotonic()))):
                collector.poll()
                _tell_deaths(cluster, quiet)
                now = time.monotonic()
                if live is not None:
                    live.update(
                        _screen(cluster, collector, watch, half, now - began, half_s), refresh=True
                    )
                if now >= end:
                    break
            if interrupts.asked.is_set():
                return


def _begin_scenes(cluster: DemoCluster, watch: Watch) -> None:
    """Returns once every camera shows its scene: to open a video takes a process of its own."""
    before = _incarnations(watch)
    cluster.play()
    end = time.monotonic() + _SCENES_S
    while time.monotonic() < end and not interrupts.asked.wait(0.05):
        now = _incarnations(watch)
        if all(now.get(camera, 0) > number for camera, number in before.items()):
            return


def _incarnations(watch: Watch) -> dict[str, int]:
    streams = [stream for member in watch.newest.values() for stream in member.streams]
    return {stream.camera: stream.incarnation for stream in streams}


def _tell_deaths(cluster: DemoCluster, quiet: bool) -> None:
    for agent in cluster.watch():
        if not quiet:
            words = f"{agent.scene.name} was {agent.deaths[-1]}; the others go on"
            console.print(words, style="bold red")


def _screen(
    cluster: DemoCluster,
    collector: Collector,
    watch: Watch,
    half: int,
    at: float,
    half_s: float,
) -> RenderableType:
    members, silent, notes = [], [], {}
    for agent in cluster.agents:
        name = agent.scene.name
        member = watch.newest.get(name)
        if agent.process is not None and member is not None and name in watch.reachable:
            members.append(member)
            notes[name] = f"{agent.scene.words}, pid {agent.process.pid}"
            if agent.scene.in_spike(at, half_s):
                notes[name] = f"SPIKE, pid {agent.process.pid}"
        else:
            reason = "starts again" if agent.process is not None else "killed"
            silent.append(SilentMember(node=name, number=0, address="", reason=reason))
    words = ("with the cluster", "without the cluster: each on its own")[half]
    lines = [
        Text.assemble((words, "bold"), f"   {max(0.0, half_s - at):.0f} s left"),
        members_table(members, silent, notes=notes),
        Text.assemble("goodput of this half ", _percent(collector.of(half))),
    ]
    pid = next((a.process.pid for a in cluster.agents[1:] if a.process is not None), None)
    if half == 0 and pid is not None:
        lines.append(Text(f"kill a node from another terminal: kill -9 {pid}", style="dim"))
    return Group(*lines)


def _percent(tally: Tally) -> Text:
    value = tally.goodput
    return Text("-" if value is None else f"{value:.1%} of {tally.passed} frames", style="bold")
