"""Result records: what one frame came to, and what produced it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from typing import Any

from edgesdk import graph
from edgesdk.capture import Kind, Source
from edgesdk.graph.frames import FrameInfo
from edgesdk.graph.plan import PlannedOperator
from edgesdk.records import CaptureTime, Offload, Provenance, ResultRecord, StageTimes
from edgesdk.runtime.execution import Execution
from edgesdk.runtime.ledger import End, Entry
from edgesdk.runtime.request import Times

__all__ = [
    "RESTART",
    "decoder_of",
    "execution_id",
    "orphan_record",
    "provenance",
    "record",
    "stage_times",
    "version_of",
]

RESTART = "restart: the process ended before this frame had its result"


def decoder_of(source: Source) -> str:
    """What makes pixels of a source's bytes: its kind, and the libraries that decode it."""
    if source.kind in (Kind.RING, Kind.SYNTHETIC):
        return str(source.kind.value)
    libraries = (f"{name} {version_of(name)}" for name in ("av", "opencv-contrib-python-headless"))
    return ", ".join((source.kind.value, *libraries))


@cache
def version_of(distribution: str) -> str:
    """The version of an installed package, or ``unknown``."""
    try:
        return version(distribution)
    except PackageNotFoundError:
        return "unknown"


def execution_id(operator_id: str, ran: Execution, decoder: str) -> str:
    """What promises equal bytes: the operator, and all that produced them (DESIGN 2.1).

    The same wherever it was done. *decoder* names what made pixels of the camera's bytes.
    """
    return graph.execution_id(
        operator_id,
        variant_sha256=ran.model,
        backend=ran.backend,
        backend_version=ran.backend_version,
        device=f"{ran.executed_on} {ran.hardware}",
        precision=ran.precision,
        decoder=decoder,
        codec=ran.codec,
    )


def provenance(
    operator: PlannedOperator,
    ran: Execution,
    *,
    decoder: str,
    offload: Offload | None = None,
) -> Provenance:
    """The entry of one operator; without *offload*, equal for all frames of a camera."""
    return Provenance(
        operator=operator.name,
        id=operator.id,
        execution_id=execution_id(operator.id, ran, decoder),
        model=ran.model,
        card=operator.name if operator.model is None else operator.model.name,
        backend=ran.backend,
        backend_version=ran.backend_version,
        precision=ran.precision,
        executed_on=f"{ran.node}/{ran.backend}:{ran.device}",
        evidence=ran.evidence,
        offload=offload,
    )


def stage_times(parts: Sequence[Times], total_ns: int) -> StageTimes:
    return StageTimes(
        queue=sum(t.queue for t in parts),
        prepare=sum(t.prepare for t in parts),
        infer=sum(t.infer for t in parts),
        decode=sum(t.decode for t in parts),
        wire=sum(t.wire for t in parts),
        total=max(0, total_ns),
    )


def record(
    app: str,
    camera: str,
    info: FrameInfo,
    end: End,
    outputs: Mapping[str, Any] | None,
    made_by: Sequence[Provenance],
    times: StageTimes,
) -> ResultRecord:
    """*outputs* are values of :mod:`edgesdk.values` by name, or None where there are none."""
    return ResultRecord(
        app=app,
        camera=camera,
        incarnation=info.incarnation,
        sequence=info.sequence,
        state=end.state.value,
        reason=end.reason,
        captured=CaptureTime(utc_ns=info.capture_utc_ns, mono_ns=info.capture_mono_ns),
        width=info.width,
        height=info.height,
        outputs=None if outputs is None else {k: _json(v) for k, v in outputs.items()},
        provenance=list(made_by),
        timings_ns=times,
    )


def orphan_record(app: str, camera: str, entry: Entry, node: str) -> ResultRecord:
    """The end of an entry that was open when an earlier process died."""
    return ResultRecord(
        app=app,
        camera=camera,
        incarnation=entry.incarnation,
        sequence=entry.sequence,
        state="failed",
        reason=f"{node}: {RESTART}",
        captured=CaptureTime(utc_ns=entry.capture_utc_ns, mono_ns=entry.capture_mono_ns),
        width=entry.width,
        height=entry.height,
        outputs=None,
    )


def _json(value: Any) -> Any:
    to_json = getattr(value, "to_json", None)
    return value if to_json is None else to_json()
