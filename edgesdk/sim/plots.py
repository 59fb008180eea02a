"""Goodput against load, size, gossip period and network, drawn with matplotlib."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from edgesdk.errors import UsageError
from edgesdk.sim.parameters import case
from edgesdk.sim.policies import OURS, simulate
from edgesdk.sim.workload import draw

__all__ = ["draw_plots"]

_POLICIES = ("local", "speed-weighted", "two-choices", "argmin", OURS, "omniscient")
_SWEEPS: tuple[tuple[str, str, str, Sequence[float]], ...] = (
    ("load", "load", "offered work / pooled capacity", (0.5, 0.7, 0.8, 0.9, 1.0, 1.1, 1.3)),
    ("size", "nodes", "nodes", (4, 16, 64, 256)),
    ("gossip", "gossip_s", "seconds between digests", (0.5, 1, 2, 4, 8, 16)),
    ("nic", "nic_mbps", "Mb/s of a node's NIC", (10, 20, 50, 100, 1000)),
    ("radio", "radio_mbps", "Mb/s of a radio cell of 16", (50, 100, 150, 400)),
    ("latency", "latency_ms", "ms one way", (0.2, 1, 5, 20, 50)),
)


def draw_plots(
    folder: Path, name: str, changes: Mapping[str, Any], told: Callable[[str], None]
) -> list[Path]:
    """One picture a sweep into *folder*, each of the case *name* with *changes*; *told* hears
    what runs. Returns the files.

    Raises:
        UsageError: matplotlib is not installed, or the folder cannot be made.
    """
    try:
        import matplotlib
    except ImportError:
        raise UsageError(
            "--plot draws with matplotlib, which is not installed; "
            "get it with: pip install 'edgesdk[plots]'"
        ) from None
    matplotlib.use("Agg")
    from matplotlib import pyplot

    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UsageError(f"--plot {folder}: {error.strerror}; name a folder") from None
    files = []
    for title, parameter, axis, values in _SWEEPS:
        lines: dict[str, list[float]] = {policy: [] for policy in _POLICIES}
        for value in values:
            workload = draw(case(name, **{**changes, parameter: value}))
            for policy in _POLICIES:
                told(f"{title} {value:g}: {policy}")
                lines[policy].append(simulate(workload, policy).goodput)
        figure, axes = pyplot.subplots(figsize=(7, 4.5), layout="constrained")
        for policy, goodputs in lines.items():
            width = 2.5 if policy == OURS else 1.2
            axes.plot(values, goodputs, marker="o", markersize=4, label=policy, linewidth=width)
        axes.set(xlabel=axis, ylabel="goodput", ylim=(0, 1.02), title=f"{name}: {title}")
        if title != "load":
            axes.set_xscale("log")
            axes.set_xticks(values, [f"{value:g}" for value in values])
            axes.minorticks_off()
        axes.grid(alpha=0.3)
        axes.legend(loc="lower right", fontsize="small")
        path = folder / f"goodput-{title}.png"
        figure.savefig(path, dpi=130)
        pyplot.close(figure)
        files.append(path)
    told("")
    return files
