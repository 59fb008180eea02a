"""What the demo says at its end: its nodes' counts as one document, and in words."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import msgspec

from edgesdk.cli.demo_cluster import Agent, DemoCluster
from edgesdk.cli.demo_results import Collector, Tally
from edgesdk.cli.summary import summary_lines
from edgesdk.cluster.status import MemberStatus
from edgesdk.records import (
    ApplicationSummary,
    CameraFrames,
    CameraSummary,
    DemoHalf,
    DemoNode,
    DemoSummary,
    OperatorTiming,
    RunSummary,
    SinkStats,
)

__all__ = ["demo_lines", "demo_summary"]


def demo_summary(
    cluster: DemoCluster,
    collector: Collector,
    nodes: Mapping[str, MemberStatus],
    *,
    results: Path,
    picture: Path | None,
) -> DemoSummary:
    """Call it when all agents have ended. *nodes* is what each last told of itself."""
    applications: dict[str, dict[str, CameraFrames]] = {}
    cameras: dict[str, CameraSummary] = {}
    inferences: dict[str, int] = {}
    operators: dict[str, OperatorTiming] = {}
    sinks: dict[str, SinkStats] = {}
    seconds = 0.0
    accounted = collector.twice == 0
    for agent in cluster.agents:
        run = _run_of(agent)
        if run is None:
            continue
        seconds = max(seconds, run.seconds)
        cameras |= run.cameras
        for app, found in run.applications.items():
            applications.setdefault(app, {}).update(found.cameras)
        for card, count in run.inferences.items():
            inferences[card] = inferences.get(card, 0) + count
        for name, timing in run.operators.items():
            known = operators.get(name)
            if known is None or known.count < timing.count:
                operators[name] = timing
        sinks |= {f"{agent.scene.name}/{name}": stats for name, stats in run.sinks.items()}
        if not agent.deaths:
            accounted = accounted and _accounted(run)
    return DemoSummary(
        seconds=seconds,
        applications={
            app: ApplicationSummary(cameras=found) for app, found in applications.items()
        },
        cameras=cameras,
        inferences=inferences,
        operators=operators,
        sinks=sinks,
        results=str(results) if results.exists() else None,
        picture=str(picture) if picture else None,
        people=len(collector.crowd.items) if collector.crowd else None,
        accelerators="real" if cluster.real else "emulated",
        nodes={a.scene.name: _node(a, nodes.get(a.scene.name)) for a in cluster.agents},
        with_cluster=_half(collector, 0),
        without_cluster=_half(collector, 1),
        accounted=accounted,
    )


def demo_lines(summary: DemoSummary) -> list[str]:
    """The end of the demo in words, a line each."""
    shared = set(RunSummary.__struct_fields__) & set(DemoSummary.__struct_fields__)
    fields = {name: getattr(summary, name) for name in shared - {"command", "schema"}}
    lines = summary_lines(RunSummary(**fields))
    for name, node in summary.nodes.items():
        deaths = f"; {', '.join(node.deaths)}, started again" if node.deaths else ""
        lines.append(
            f"node {name}: {node.kept} groups kept, {node.offloaded} offloaded, "
            f"{node.received} received{deaths}"
        )
    together, alone = summary.with_cluster, summary.without_cluster
    names = list(dict.fromkeys((*together.by_camera, *alone.by_camera)))
    lines.append(f"{'goodput':<12}{'with the cluster':>18}{'without':>10}")
    for name in names:
        pair = (together.by_camera.get(name), alone.by_camera.get(name))
        lines.append(f"{name:<12}{_percent(pair[0]):>18}{_percent(pair[1]):>10}")
    lines.append(f"{'all':<12}{_percent(together.goodput):>18}{_percent(alone.goodput):>10}")
    if summary.accelerators == "emulated":
        lines.append("emulated accelerators: real results, padded to a stated service time")
    known = "every frame is accounted for" if summary.accounted else "FRAMES ARE MISSING"
    lines.append(f"{together.passed + alone.passed} frames passed in the two halves; {known}")
    if summary.results:
        lines.append(f"results: {summary.results}")
    if summary.picture:
        lines.append(f"the most crowded frame, {summary.people} people: {summary.picture}")
    return lines


def _run_of(agent: Agent) -> RunSummary | None:
    """What the agent's last process printed at its end."""
    try:
        lines = agent.summary.read_bytes().splitlines()
        return msgspec.json.decode(lines[-1], type=RunSummary, strict=False) if lines else None
    except (OSError, msgspec.DecodeError):
        return None


def _accounted(run: RunSummary) -> bool:
    frames = [one.frames for app in run.applications.values() for one in app.cameras.values()]
    return all(
        f.captured == f.skipped_sample + f.held + f.passed
        and f.passed == f.ok + f.late + f.dropped + f.failed
        for f in frames
    )


def _node(agent: Agent, status: MemberStatus | None) -> DemoNode:
    if status is None:
        return DemoNode(deaths=agent.deaths)
    groups = status.groups
    return DemoNode(
        kept=groups.kept,
        offloaded=groups.offloaded,
        received=groups.received,
        dropped=groups.dropped,
        duplicates=groups.duplicates,
        deaths=agent.deaths,
    )


def _half(collector: Collector, half: int) -> DemoHalf:
    total: Tally = collector.of(half)
    return DemoHalf(
        passed=total.passed,
        ok=total.ok,
        late=total.late,
        dropped=total.dropped,
        failed=total.failed,
        elsewhere=total.elsewhere,
        goodput=total.goodput,
        by_camera={name: tally.goodput for name, tally in collector.halves[half].items()},
    )


def _percent(value: float | None) -> str:
    return "-" if value is None else f"{value:.1%}"
