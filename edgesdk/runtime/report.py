"""What a node tells of itself: the snapshot while it runs, the summary at the end."""

from __future__ import annotations

from copy import copy
from typing import TYPE_CHECKING

from edgesdk import __version__
from edgesdk.capture import CameraStatus
from edgesdk.records import (
    ApplicationSummary,
    CameraFrames,
    CameraSummary,
    FrameCounts,
    LatencyMs,
    OperatorTiming,
    Placed,
    RunSummary,
)
from edgesdk.runtime.outlet import Outlet
from edgesdk.snapshot import CameraView, NodeSnapshot, OperatorView

if TYPE_CHECKING:
    from edgesdk.runtime.camera import CameraFeed
    from edgesdk.runtime.node import Node

__all__ = ["snapshot", "summary"]


def snapshot(node: Node) -> NodeSnapshot:
    queues = {
        f"infer/{device}": executor.waiting() for device, executor in node.wiring.executors.items()
    }
    for app, executor in node.workshop.installed.executors.items():
        queues[f"own/{app}"] = executor.waiting()
    latency = {}
    for camera, feed in node.feeds.items():
        queues[f"open/{camera}"] = feed.flow.open_tasks
    for (app, camera), outlet in node.outlets.items():
        latency[app, camera] = outlet.histogram.view()
    waiting = () if node.ready else tuple(sorted(node.blueprint.cameras))
    return NodeSnapshot(
        name=node.name,
        version=__version__,
        seconds=node.seconds,
        ready=node.ready,
        not_ready=waiting,
        cameras={name: _camera_view(node, name) for name in node.blueprint.cameras},
        applications=_applications(node),
        latency=latency,
        operators=[
            OperatorView(kind=clock.kind, id=clock.id, seconds=clock.histogram.view())
            for clock in node.clocks.values()
        ],
        queues=queues,
        inferences=dict(node.inferences),
        placed=_placed(node),
        sinks=node.sinks,
        emulated=None if node.emulated is None else node.emulated.view(),
    )


def summary(node: Node) -> RunSummary:
    return RunSummary(
        seconds=round(node.seconds, 3),
        applications=_applications(node),
        cameras={name: _camera_summary(node, name) for name in node.blueprint.cameras},
        inferences=dict(node.inferences),
        operators=_operators(node),
        sinks=node.sinks,
        emulated=None if node.emulated is None else node.emulated.view(),
        placed=_placed(node),
    )


def _placed(node: Node) -> Placed:
    installed = node.workshop.installed.executors
    executors = [*node.wiring.executors.values(), *installed.values()]
    return Placed(
        executed=sum(executor.executed for executor in executors),
        received=sum(executor.received for executor in executors),
        offloaded=node.offloaded,
        duplicates=node.duplicates,
    )


def _applications(node: Node) -> dict[str, ApplicationSummary]:
    cameras: dict[str, dict[str, CameraFrames]] = {}
    for (app, camera), outlet in node.outlets.items():
        cameras.setdefault(app, {})[camera] = _frames(outlet)
    return {app: ApplicationSummary(cameras=found) for app, found in cameras.items()}


def _frames(outlet: Outlet) -> CameraFrames:
    # The dispatcher counts on while this thread reads: the sums are made of what was read.
    counts = copy(outlet.channel.counts)
    passed = counts.ok + counts.late + counts.dropped + counts.failed + counts.open
    return CameraFrames(
        frames=FrameCounts(
            captured=counts.skipped_sample + counts.held + passed,
            skipped_sample=counts.skipped_sample,
            held=counts.held,
            passed=passed,
            ok=counts.ok,
            late=counts.late,
            dropped=counts.dropped,
            failed=counts.failed,
            duplicate=counts.duplicate,
        ),
        dropped_by_reason=dict(outlet.channel.dropped_by_reason),
        outputs={name: value for name, value in outlet.last_outputs.items() if _counts(value)},
        latency_ms=LatencyMs(p50=outlet.latency.ms(0.5), p99=outlet.latency.ms(0.99)),
    )


def _counts(value: object) -> bool:
    """Whether an output is one of the counts the graph makes, and not what one frame showed."""
    frames = ("detections", "classification", "embedding", "raw")
    return not isinstance(value, dict) or value.get("type") not in frames


def _operators(node: Node) -> dict[str, OperatorTiming]:
    found: dict[str, OperatorTiming] = {}
    for clock in node.clocks.values():
        p50, p99 = clock.durations.ms(0.5), clock.durations.ms(0.99)
        if p50 is None or p99 is None:
            continue
        # Equal operators of two cameras have one id: the busier one's figures stand for both.
        name = f"{clock.kind} {clock.id[:8]}"
        known = found.get(name)
        if known is None or known.count < clock.durations.count:
            found[name] = OperatorTiming(p50_ms=p50, p99_ms=p99, count=clock.durations.count)
    return found


def _status(node: Node, camera: str) -> CameraStatus:
    feed = node.feeds.get(camera)
    return feed.status if feed is not None else CameraStatus()


def _camera_view(node: Node, camera: str) -> CameraView:
    feed = node.feeds.get(camera)
    status = _status(node, camera)
    return CameraView(
        state=status.state.value,
        uri=node.blueprint.sources[camera].redacted,
        reason=_reason(feed, status),
        frames=feed.frames if feed else 0,
        fps=status.fps,
        incarnations=feed.incarnation if feed else 0,
        restarts=status.restarts,
        width=status.width,
        height=status.height,
        codec=status.codec or None,
        decode_errors=status.decode_errors,
        dropped_full=status.dropped_full,
    )


def _camera_summary(node: Node, camera: str) -> CameraSummary:
    feed = node.feeds.get(camera)
    status = _status(node, camera)
    frames = feed.frames if feed else 0
    return CameraSummary(
        state=status.state.value,
        uri=node.blueprint.sources[camera].redacted,
        frames=frames,
        incarnations=feed.incarnations if feed else 0,
        restarts=status.restarts,
        fps=round(frames / node.seconds, 2) if node.seconds else 0.0,
        reason=_reason(feed, status),
    )


def _reason(feed: CameraFeed | None, status: CameraStatus) -> str | None:
    return status.reason or (feed.error if feed and feed.error else None)
