"""A node's snapshot as a table for people."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Mapping
from typing import Any

from rich.console import Console, ConsoleOptions, Group, RenderableType, RenderResult
from rich.measure import Measurement
from rich.table import Table
from rich.text import Text

from edgesdk.records import CameraFrames
from edgesdk.snapshot import CameraView, NodeSnapshot

__all__ = ["Rates", "counts_of", "render"]

_WINDOW_S = 3.0
# Beyond so many rows each gets one line instead of a block.
_BLOCKS = 2
_COLOURS = {
    "streaming": "green",
    "connecting": "yellow",
    "reconnecting": "yellow",
    "stalled": "red",
    "ended": "dim",
}


class Rates:
    """Frames a second, in and out, over the last seconds, from snapshots."""

    def __init__(self) -> None:
        self._seen: deque[tuple[float, dict[object, int]]] = deque()

    def update(self, now: NodeSnapshot) -> None:
        counts: dict[object, int] = {name: view.frames for name, view in now.cameras.items()}
        for app, camera, found in _pairs(now):
            counts[app, camera] = found.frames.ok + found.frames.late
        self._seen.append((now.seconds, counts))
        while len(self._seen) > 2 and now.seconds - self._seen[0][0] > _WINDOW_S:
            self._seen.popleft()

    def of(self, key: object) -> float:
        """Of a camera by name, or of an (application, camera)."""
        if len(self._seen) < 2:
            return 0.0
        (start, before), (end, after) = self._seen[0], self._seen[-1]
        gained = after.get(key, 0) - before.get(key, 0)
        return gained / (end - start) if end > start else 0.0


def render(now: NodeSnapshot, rates: Rates) -> RenderableType:
    """Blocks for one or two streams; for more a line each, or three where that is too wide."""
    pairs = list(_pairs(now))
    if len(pairs) <= _BLOCKS:
        body: RenderableType = Group(*(_block(now, rates, *pair) for pair in pairs))
    else:
        body = _Streams(now, rates)
    return Group(body, _footer(now))


def counts_of(outputs: Mapping[str, Any]) -> str:
    """The counts a graph makes, in one line: ``people now 2 total 3``."""
    return "   ".join(f"{name} {_words(value)}" for name, value in outputs.items())


def _pairs(now: NodeSnapshot) -> Iterator[tuple[str, str, CameraFrames]]:
    for app, found in now.applications.items():
        for camera, frames in found.cameras.items():
            yield app, camera, frames


def _block(
    now: NodeSnapshot, rates: Rates, app: str, camera: str, found: CameraFrames
) -> RenderableType:
    view = now.cameras[camera]
    f = found.frames
    rows = Table.grid(padding=(0, 2))
    rows.add_column(style="bold", min_width=9)
    rows.add_column()
    size = f"   {view.width}x{view.height} {view.codec or ''}" if view.width else ""
    rows.add_row("camera", Text.assemble(camera, "  ", _state(view), size))
    rows.add_row("fps", f"in {rates.of(camera):.1f}   out {rates.of((app, camera)):.1f}")
    rows.add_row("frames", f"captured {f.captured}   skipped by sampling {f.skipped_sample}")
    rows.add_row("gate", f"held {f.held}   passed {f.passed}")
    waiting = now.queues.get(f"open/{camera}", 0)
    rows.add_row("detector", f"inferred {_inferred(now)}   queue {waiting}")
    rows.add_row("latency", f"p50 {_ms(found.latency_ms.p50)}   p99 {_ms(found.latency_ms.p99)}")
    for name, value in found.outputs.items():
        rows.add_row(name, Text(_words(value), style="bold cyan"))
    ends = f"ok {f.ok}   late {f.late}   dropped {f.dropped}   failed {f.failed}"
    rows.add_row("ended as", Text(ends, style="red" if f.failed else ""))
    return Group(Text(app, style="bold underline"), rows)


class _Streams:
    """A table where it fits: a figure that is cut off tells nothing."""

    def __init__(self, now: NodeSnapshot, rates: Rates) -> None:
        self._now = now
        self._rates = rates

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        table = _lines(self._now, self._rates)
        if Measurement.get(console, options.update(max_width=1000), table).maximum <= (
            options.max_width
        ):
            yield table
            return
        for pair in _pairs(self._now):
            yield _few_lines(self._now, self._rates, *pair)


def _few_lines(now: NodeSnapshot, rates: Rates, app: str, camera: str, found: CameraFrames) -> Text:
    f = found.frames
    latency = found.latency_ms
    rest = (
        f"\n  in {rates.of(camera):.1f}  out {rates.of((app, camera)):.1f}"
        f"  held {f.held}  passed {f.passed}"
        f"\n  ok {f.ok}  late {f.late}  drop {f.dropped}  fail {f.failed}"
        f"  p50 {_ms(latency.p50)}  p99 {_ms(latency.p99)}"
    )
    counts = Text(f"\n  {counts_of(found.outputs)}" if found.outputs else "", style="cyan")
    return Text.assemble(
        (f"{app} on {camera}", "bold"), "  ", _state(now.cameras[camera]), rest, counts
    )


def _lines(now: NodeSnapshot, rates: Rates) -> Table:
    table = Table(box=None, header_style="bold", pad_edge=False)
    for name in ("app", "camera", "state"):
        table.add_column(name, no_wrap=True)
    for name in ("in", "out", "held", "passed", "ok", "late", "drop", "fail", "p50", "p99"):
        table.add_column(name, justify="right", no_wrap=True)
    table.add_column("")
    for app, camera, found in _pairs(now):
        f = found.frames
        table.add_row(
            app,
            camera,
            _state(now.cameras[camera]),
            f"{rates.of(camera):.1f}",
            f"{rates.of((app, camera)):.1f}",
            *(str(n) for n in (f.held, f.passed, f.ok, f.late, f.dropped, f.failed)),
            _ms(found.latency_ms.p50),
            _ms(found.latency_ms.p99),
            Text(counts_of(found.outputs), style="cyan"),
        )
    return table


def _footer(now: NodeSnapshot) -> Text:
    reasons = [f"{n}: {v.reason}" for n, v in now.cameras.items() if v.reason and v.reason != "end"]
    text = f"{now.name}   {now.seconds:.0f} s   inferred: {_inferred(now)}"
    return Text("\n".join([text, *reasons[:5]]), style="dim")


def _inferred(now: NodeSnapshot) -> str:
    return ", ".join(f"{name} {count}" for name, count in now.inferences.items()) or "0"


def _state(view: CameraView) -> Text:
    return Text(view.state, style=_COLOURS.get(view.state, ""))


def _words(value: Any) -> str:
    if not isinstance(value, Mapping):
        return str(value)
    shown = ((k, v) for k, v in value.items() if k != "type" and not isinstance(v, (list, dict)))
    return " ".join(f"{k} {v:.2f}" if isinstance(v, float) else f"{k} {v}" for k, v in shown)


def _ms(value: float | None) -> str:
    return "-" if value is None else f"{value:.0f} ms"
