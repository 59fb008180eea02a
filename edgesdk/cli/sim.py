"""``edgesdk sim``: a cluster in virtual time, one policy beside the others."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from edgesdk.errors import UsageError

if TYPE_CHECKING:
    from edgesdk.sim.documents import SimDocument
    from edgesdk.sim.parameters import Parameters
    from edgesdk.sim.workload import Workload

app = typer.Typer(add_completion=False, rich_markup_mode=None)

# What a trace has fixed; the rest of the parameters are the network's and the policy's.
_DRAWN = (
    "nodes", "load", "seed", "duration_s", "group", "fps", "applications", "region", "burst_s",
    "duty", "correlation", "diurnal", "crash_share", "crash_at_s", "crashes_per_minute",
    "repair_s", "shift_at_s",
)  # fmt: skip

_SHORTEST_GOSSIP_S = 0.1


@app.command()
def sim(
    nodes: Annotated[int | None, typer.Option("--nodes", help="Cameras, each a node. [64]")] = None,
    load: Annotated[
        float | None, typer.Option("--load", help="Work over the pooled capacity. [0.9]")
    ] = None,
    seed: Annotated[int | None, typer.Option("--seed", help="Of all that is random. [1]")] = None,
    policy: Annotated[
        str,
        typer.Option(
            "--policy",
            metavar="NAME,...",
            help="ours, local, static, speed-weighted, random, two-choices, argmin, distream, "
            "videojam, omniscient; several with commas, or all.",
        ),
    ] = "ours",
    case: Annotated[
        str, typer.Option("--case", metavar="CASE", help="A named change of the reference.")
    ] = "reference",
    oracle: Annotated[
        bool, typer.Option("--oracle/--no-oracle", help="Run the omniscient dispatcher too.")
    ] = True,
    duration: Annotated[float | None, typer.Option("--duration", help="Seconds. [40]")] = None,
    warm_up: Annotated[
        float | None, typer.Option("--warm-up", help="Seconds at the start that do not count. [4]")
    ] = None,
    deadline: Annotated[
        float | None, typer.Option("--deadline", help="Ms after the oldest capture. [1000]")
    ] = None,
    group: Annotated[int | None, typer.Option("--group", help="Frames of a group. [4]")] = None,
    fps: Annotated[float | None, typer.Option("--fps", help="Of a camera. [15]")] = None,
    frame_bytes: Annotated[
        int | None, typer.Option("--frame-bytes", help="Of a frame on the wire. [60000]")
    ] = None,
    nic: Annotated[float | None, typer.Option("--nic", help="Mb/s of a node. [100]")] = None,
    latency: Annotated[float | None, typer.Option("--latency", help="Ms, one way. [1]")] = None,
    region: Annotated[
        int | None, typer.Option("--region", help="Nodes of a switch, cell or uplink. [16]")
    ] = None,
    radio: Annotated[
        float | None, typer.Option("--radio", help="Mb/s of a region's shared air; 0: wired. [0]")
    ] = None,
    uplink: Annotated[
        float | None, typer.Option("--uplink", help="Mb/s of a region's uplink; 0: no limit. [0]")
    ] = None,
    behind_data: Annotated[
        bool | None,
        typer.Option("--behind-data/--fair-queues", help="Control waits behind frames."),
    ] = None,
    burst: Annotated[float | None, typer.Option("--burst", help="Mean seconds. [8]")] = None,
    duty: Annotated[float | None, typer.Option("--duty", help="Share with motion. [0.4]")] = None,
    correlation: Annotated[
        float | None, typer.Option("--correlation", help="Cameras with their region's bursts. [0]")
    ] = None,
    diurnal: Annotated[
        float | None, typer.Option("--diurnal", help="Swing of the duty over a minute. [0]")
    ] = None,
    crash_share: Annotated[
        float | None, typer.Option("--crash-share", help="Nodes that crash at once. [0]")
    ] = None,
    crash_at: Annotated[float | None, typer.Option("--crash-at", help="Second of it. [20]")] = None,
    crashes: Annotated[
        float | None, typer.Option("--crashes", help="Of a node, a minute, at random. [0]")
    ] = None,
    repair: Annotated[
        float | None, typer.Option("--repair", help="Seconds until it is back; 0: never. [0]")
    ] = None,
    shift_at: Annotated[
        float | None, typer.Option("--shift-at", help="Second of the model shift; 0: none. [0]")
    ] = None,
    gossip: Annotated[
        float | None, typer.Option("--gossip", help="Seconds between digests; 0: its own. [0]")
    ] = None,
    trace: Annotated[
        Path | None, typer.Option("--trace", help="Run this recorded workload.")
    ] = None,
    write_trace: Annotated[
        Path | None, typer.Option("--write-trace", help="Record the workload, run nothing.")
    ] = None,
    plot: Annotated[
        Path | None,
        typer.Option("--plot", help="Draw goodput against load, size, gossip and network here."),
    ] = None,
    day: Annotated[
        bool,
        typer.Option("--day", help="24 h of a fleet of rented machines instead; --seed, --zones."),
    ] = False,
    zones: Annotated[
        str, typer.Option("--zones", metavar="H,...", help="With --day: hours ahead. [0,6,12,18]")
    ] = "0,6,12,18",
    timing: Annotated[
        bool, typer.Option("--timing", help="Measure our decisions on this machine, too.")
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON document.")] = False,
) -> None:
    """Simulate a cluster of cameras in virtual time, by the balancer and scheduler that ship.

    Equal arguments give equal figures. Cases: reference, radio50, radio150, nic10, nic20,
    uplink100, latency20, latency50, frame250, deadline05, group8, overload13, crash10, crashes,
    shift, regional, diurnal, everywhere, queued.
    """
    from edgesdk.records import encode_line
    from edgesdk.sim.report import chosen_policies, report

    given = {
        "nodes": nodes, "load": load, "seed": seed, "duration_s": duration, "warm_up_s": warm_up,
        "deadline_ms": deadline, "group": group, "fps": fps, "frame_bytes": frame_bytes,
        "nic_mbps": nic, "latency_ms": latency, "region": region, "radio_mbps": radio,
        "uplink_mbps": uplink, "behind_data": behind_data, "burst_s": burst, "duty": duty,
        "correlation": correlation, "diurnal": diurnal, "crash_share": crash_share,
        "crash_at_s": crash_at, "crashes_per_minute": crashes, "repair_s": repair,
        "shift_at_s": shift_at, "gossip_s": gossip,
    }  # fmt: skip
    changes = {name: value for name, value in given.items() if value is not None}
    if gossip is not None and 0 < gossip < _SHORTEST_GOSSIP_S:
        raise UsageError(
            f"gossip_s is {gossip:g}; it must be 0 (the policy's own) or at least "
            f"{_SHORTEST_GOSSIP_S:g}"
        )
    if day:
        from edgesdk.cli.sim_day import show_day

        show_day(changes, zones, as_json=as_json, told=_told)
        return
    names = chosen_policies(policy)
    if plot is not None:
        from edgesdk.sim.plots import draw_plots

        for path in draw_plots(plot, case, changes, _told):
            print(path)
        return
    workload = _workload(case, changes, trace)
    for words in _never_comes(workload.parameters):
        print(f"note: {words}", file=sys.stderr)
    if write_trace is not None:
        from edgesdk.sim.trace import write_trace as write

        try:
            write(write_trace, workload)
        except OSError as error:
            raise UsageError(f"cannot write the trace {write_trace}: {error.strerror}") from None
        if not as_json:
            print(f"{write_trace}: {len(workload.arrivals)} groups of {len(workload.nodes)} nodes")
            return
    document = report(
        workload,
        names,
        case="trace" if trace else case,
        oracle=oracle,
        timing=timing,
        told=_told,
    )
    _told("")
    if as_json:
        sys.stdout.buffer.write(encode_line(document))
        sys.stdout.flush()
    else:
        _show(document)


def _workload(case: str, changes: dict[str, Any], trace: Path | None) -> Workload:
    from edgesdk.sim.parameters import case as of_case
    from edgesdk.sim.trace import read_trace, retimed
    from edgesdk.sim.workload import draw

    if trace is None:
        return draw(of_case(case, **changes))
    fixed = sorted(changes.keys() & set(_DRAWN))
    if fixed:
        raise UsageError(
            f"{trace} is a recorded workload: {', '.join(fixed)} cannot be changed with --trace"
        )
    if case != "reference":
        raise UsageError(f"--case {case} draws a workload; it does not go with --trace")
    return retimed(read_trace(trace), changes)


def _never_comes(parameters: Parameters) -> Iterator[str]:
    """What was asked for and begins after the end."""
    end = parameters.duration_s
    if parameters.crash_share and parameters.crash_at_s >= end:
        yield f"nothing crashes: --crash-at {parameters.crash_at_s:g} is not before {end:g} s"
    if parameters.shift_at_s >= end:
        yield f"no models shift: --shift-at {parameters.shift_at_s:g} is not before {end:g} s"


def _told(words: str) -> None:
    if sys.stderr.isatty():
        print(f"\r\x1b[K{words}", end="", file=sys.stderr, flush=True)


def _show(document: SimDocument) -> None:
    from rich.console import Console
    from rich.table import Table

    console = Console()
    parameters = document.parameters
    console.print(
        f"{document.case}: {parameters.nodes} nodes, load {parameters.load:g}, "
        f"seed {parameters.seed}, {parameters.duration_s:g} s of virtual time in "
        f"{document.seconds:.1f} s; service times x {document.scale:.3f}",
        highlight=False,
    )
    table = Table(box=None, padding=(0, 1, 0, 0))
    columns = ("policy", "goodput", "p10", "worst", "p99 ms", "B/s", "max", "KB/s", "away",
               "twice", "loads")  # fmt: skip
    for name in columns:
        table.add_column(name, justify="left" if name == "policy" else "right", no_wrap=True)
    for found in document.policies:
        table.add_row(
            found.policy,
            f"{found.goodput:.4f}",
            f"{found.p10_camera:.3f}",
            f"{found.worst_model:.3f}",
            f"{found.latency_p99_ms:.0f}",
            f"{found.control_bytes_mean:.0f}",
            f"{found.control_bytes_max:.0f}",
            f"{found.data_bytes / 1000:.0f}",
            f"{found.offloaded_share:.2f}",
            str(found.duplicates),
            str(found.loads),
        )
    table.add_row("fluid bound", f"{document.pooled:.4f}")
    console.print(table)
    if document.decision_us is not None:
        console.print(f"our placing decision: {document.decision_us:.0f} us (p50)")
    console.print(
        "p10: the camera better than a tenth of them; worst: model; B/s: control, a node; KB/s: "
        "frames sent, a node; away: groups served by a peer; twice: results that came again",
        style="dim",
    )
