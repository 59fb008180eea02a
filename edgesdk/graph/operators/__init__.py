"""What each operator does, frame by frame: pure, no clock, no I/O, no thread.

A class in here is made once a stream with the operator's parameters, and its ``step`` takes the
values of the operator's inputs in order and then the frame's FrameInfo. What it gives depends on
what its steps were given alone.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from edgesdk.graph.plan import PlannedOperator, Step

__all__ = ["VERSIONS", "start"]

# Raise an operator's version when its results change: it is part of the ids.
VERSIONS = {
    "camera": 1,
    "crop": 1,
    "zone": 1,
    "sample": 1,
    "gate": 1,
    "detect": 1,
    "classify": 1,
    "embed": 1,
    "infer": 1,
    "filter": 1,
    "top": 1,
    "attach": 1,
    "track": 1,
    "count": 1,
    "line_count": 1,
    "zone_count": 1,
    "dwell": 1,
    "speed": 1,
    "window": 1,
}


def start(planned: PlannedOperator) -> Step:
    """See :meth:`edgesdk.graph.PlannedOperator.start`."""
    from edgesdk.graph.operators import (
        bytetrack,
        columns,
        counting,
        custom,
        filtering,
        gate,
        line,
        motion,
        sample,
        views,
        window,
    )

    if planned.custom is not None:
        return custom.CustomStep(planned.custom, planned.params)
    kinds: dict[str, type[Step]] = {
        "crop": views.Crop,
        "zone": views.Zone,
        "sample": sample.Sample,
        "gate": gate.Gate,
        "filter": filtering.Filter,
        "top": columns.Top,
        "attach": columns.Attach,
        "track": bytetrack.ByteTrack,
        "count": counting.Count,
        "zone_count": counting.ZoneCount,
        "dwell": counting.Dwell,
        "line_count": line.LineCount,
        "speed": motion.Speed,
        "window": window.Window,
    }
    try:
        made = kinds[planned.kind]
    except KeyError:
        raise TypeError(f"{planned.role} operators such as {planned.kind} have no steps") from None
    return made(**planned.params)
