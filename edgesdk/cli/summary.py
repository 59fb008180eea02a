"""The words at the end of a run."""

from __future__ import annotations

from edgesdk.cli.tables import counts_of
from edgesdk.records import CameraFrames, RunSummary

__all__ = ["NOTHING", "summary_lines"]

NOTHING = RunSummary(seconds=0.0, applications={}, cameras={}, inferences={}, operators={})
"""Of a run that was stopped before it had begun."""


def summary_lines(summary: RunSummary) -> list[str]:
    """What a person wants to know of a run, a line each."""
    lines = []
    for app, found in summary.applications.items():
        for camera, one in found.cameras.items():
            lines += _stream(app, camera, one)
    for name, view in summary.cameras.items():
        restarts = f", {view.restarts} restarts" if view.restarts else ""
        reason = f" ({view.reason})" if view.reason else ""
        lines.append(f"camera {name}: {view.state}{reason}, {view.frames} frames{restarts}")
    inferred = ", ".join(f"{card} {count}" for card, count in summary.inferences.items())
    lines.append(f"inferences: {inferred or 'none'}")
    for sink in summary.sinks.values():
        if sink.pending or sink.discarded:
            lines.append(
                f"sink {sink.name}: {sink.delivered} delivered, {sink.pending} wait, "
                f"{sink.discarded} discarded ({sink.last_error})"
            )
    lines.append(f"{summary.seconds:.1f} s")
    return lines


def _stream(app: str, camera: str, one: CameraFrames) -> list[str]:
    f = one.frames
    reasons = ", ".join(f"{n} {reason}" for reason, n in one.dropped_by_reason.items())
    lines = [
        f"{app} on {camera}: {f.captured} frames captured, {f.skipped_sample} skipped by sampling, "
        f"{f.held} held by the gate, {f.passed} passed",
        f"  ended as: ok {f.ok}, late {f.late}, dropped {f.dropped}"
        f"{f' ({reasons})' if reasons else ''}, failed {f.failed}",
    ]
    if one.latency_ms.p50 is not None and one.latency_ms.p99 is not None:
        lines.append(f"  latency p50 {one.latency_ms.p50:.1f} ms, p99 {one.latency_ms.p99:.1f} ms")
    if one.outputs:
        lines.append(f"  {counts_of(one.outputs)}")
    return lines
