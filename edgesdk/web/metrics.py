"""The node's counters for Prometheus, made from one snapshot at each scrape."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import accumulate
from typing import get_args

from prometheus_client import CollectorRegistry, ProcessCollector
from prometheus_client.core import (
    CounterMetricFamily,
    GaugeMetricFamily,
    HistogramMetricFamily,
    InfoMetricFamily,
    Metric,
)
from prometheus_client.registry import Collector

from edgesdk.records import CameraFrames, CameraState, SinkState
from edgesdk.snapshot import HistogramView, NodeSnapshot, NodeView

__all__ = ["make_registry"]


def make_registry(view: NodeView) -> CollectorRegistry:
    """A registry of its own: what else the process may count stays out of it."""
    registry = CollectorRegistry(auto_describe=False)
    registry.register(_NodeCollector(view))
    ProcessCollector(registry=registry)
    return registry


class _NodeCollector(Collector):
    def __init__(self, view: NodeView) -> None:
        self._view = view

    def collect(self) -> Iterator[Metric]:
        now = self._view.snapshot()
        info = InfoMetricFamily("edgesdk_node", "The node and its version.")
        info.add_metric([], {"node": now.name, "version": now.version})
        yield info
        yield GaugeMetricFamily("edgesdk_ready", "1 once every session is warm.", float(now.ready))
        yield GaugeMetricFamily("edgesdk_uptime_seconds", "Since the node started.", now.seconds)
        yield from _frames(now)
        yield from _cameras(now)
        yield from _operators(now)
        yield from _sinks(now)


def _frames(now: NodeSnapshot) -> Iterator[Metric]:
    labels = ["app", "camera"]
    captured = _counter("frames_captured", "Frames that reached the application.", labels)
    skipped = _counter("frames_skipped", "Frames that a selector left out.", [*labels, "by"])
    passed = _counter("frames_passed", "Frames that passed the selectors.", labels)
    ended = _counter(
        "frames_ended",
        "Passed frames by end; the rest is in flight.",
        [*labels, "state"],
    )
    dropped = _counter("frames_dropped", "Dropped frames by reason.", [*labels, "reason"])
    output = _gauge("output", "Numbers in the last outputs.", [*labels, "output", "field"])
    latency = HistogramMetricFamily("edgesdk_latency_seconds", "Capture to result.", labels=labels)
    for app, summary in now.applications.items():
        for camera, counted in summary.cameras.items():
            at, frames = [app, camera], counted.frames
            captured.add_metric(at, frames.captured)
            skipped.add_metric([*at, "sample"], frames.skipped_sample)
            skipped.add_metric([*at, "gate"], frames.held)
            passed.add_metric(at, frames.passed)
            for state in ("ok", "late", "dropped", "failed"):
                ended.add_metric([*at, state], getattr(frames, state))
            for reason, count in counted.dropped_by_reason.items():
                dropped.add_metric([*at, reason], count)
            for name, field, value in _numbers(counted):
                output.add_metric([*at, name, field], value)
    for (app, camera), histogram in now.latency.items():
        _add(latency, [app, camera], histogram)
    yield from (captured, skipped, passed, ended, dropped, output, latency)


def _numbers(counted: CameraFrames) -> Iterator[tuple[str, str, float]]:
    for name, value in counted.outputs.items():
        for field, number in value.items() if isinstance(value, dict) else ():
            if isinstance(number, int | float) and not isinstance(number, bool):
                yield name, field, float(number)


def _cameras(now: NodeSnapshot) -> Iterator[Metric]:
    state = _gauge("camera_state", "1 for the state a camera is in.", ["camera", "state"])
    fps = _gauge("camera_fps", "Frames that arrive a second.", ["camera"])
    frames = _counter("camera_frames", "Frames that arrived.", ["camera"])
    restarts = _counter("camera_restarts", "Restarts of the camera's worker.", ["camera"])
    incarnations = _counter("camera_incarnations", "Times the stream began anew.", ["camera"])
    errors = _counter("camera_decode_errors", "Pictures that could not be decoded.", ["camera"])
    full = _counter("camera_ring_full", "Frames lost since readers held all slots.", ["camera"])
    for name, camera in now.cameras.items():
        for known in get_args(CameraState):
            state.add_metric([name, known], float(camera.state == known))
        fps.add_metric([name], camera.fps)
        frames.add_metric([name], camera.frames)
        restarts.add_metric([name], camera.restarts)
        incarnations.add_metric([name], camera.incarnations)
        errors.add_metric([name], camera.decode_errors)
        full.add_metric([name], camera.dropped_full)
    yield from (state, fps, frames, restarts, incarnations, errors, full)


def _operators(now: NodeSnapshot) -> Iterator[Metric]:
    seconds = HistogramMetricFamily(
        "edgesdk_operator_seconds", "One run of an operator.", labels=["operator", "id"]
    )
    merged: dict[tuple[str, str], HistogramView] = {}
    for operator in now.operators:  # one operator on several cameras is one series
        key = (operator.kind, operator.id[:16])
        before = merged.get(key)
        merged[key] = operator.seconds if before is None else _sum(before, operator.seconds)
    for labels, histogram in merged.items():
        _add(seconds, [*labels], histogram)
    inferences = _counter("inferences", "Frames and crops that a model ran on.", ["model"])
    for model, count in now.inferences.items():
        inferences.add_metric([model], count)
    requests = _counter(
        "requests",
        "Inference requests by where they were done: here, here for another node, elsewhere; and "
        "second results of what was done twice.",
        ["where"],
    )
    placed = now.placed
    requests.add_metric(["here"], placed.executed - placed.received)
    requests.add_metric(["here_for_others"], placed.received)
    requests.add_metric(["elsewhere"], placed.offloaded)
    requests.add_metric(["twice"], placed.duplicates)
    depth = _gauge("queue_depth", "Entries that wait in a queue.", ["queue"])
    for queue, waiting in now.queues.items():
        depth.add_metric([queue], waiting)
    yield from (seconds, inferences, requests, depth)


def _sinks(now: NodeSnapshot) -> Iterator[Metric]:
    labels = ["sink", "kind"]
    records = _counter("sink_records", "Records by what became of them.", [*labels, "outcome"])
    pending = _gauge("sink_pending", "Records that wait for the receiver.", labels)
    undurable = _gauge("sink_undurable", "Of these, those in memory only.", labels)
    retries = _counter("sink_retries", "Deliveries that are tried again.", labels)
    state = _gauge("sink_state", "1 for the state a sink is in.", [*labels, "state"])
    for name, sink in now.sinks.items():
        at = [name, sink.kind]
        records.add_metric([*at, "delivered"], sink.delivered)
        records.add_metric([*at, "discarded"], sink.discarded)
        pending.add_metric(at, sink.pending)
        undurable.add_metric(at, sink.undurable)
        retries.add_metric(at, sink.retries)
        for known in get_args(SinkState):
            state.add_metric([*at, known], float(sink.state == known))
    yield from (records, pending, undurable, retries, state)


def _counter(name: str, what: str, labels: list[str]) -> CounterMetricFamily:
    return CounterMetricFamily(f"edgesdk_{name}", what, labels=labels)


def _gauge(name: str, what: str, labels: list[str]) -> GaugeMetricFamily:
    return GaugeMetricFamily(f"edgesdk_{name}", what, labels=labels)


def _sum(one: HistogramView, other: HistogramView) -> HistogramView:
    counts = [a + b for a, b in zip(one.counts, other.counts, strict=True)]
    return HistogramView(bounds=one.bounds, counts=counts, sum=one.sum + other.sum)


def _add(family: HistogramMetricFamily, labels: list[str], histogram: HistogramView) -> None:
    bounds = [*(str(bound) for bound in histogram.bounds), "+Inf"]
    cumulative = accumulate(histogram.counts)
    family.add_metric(labels, list(zip(bounds, cumulative, strict=True)), histogram.sum)
