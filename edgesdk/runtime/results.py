"""Result records: what one frame came to, and what produced it."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from typing import Any

import msgspec

from edgesdk.capture import Kind, Source
from edgesdk.graph.frames import FrameInfo
from edgesdk.records import CaptureTime, Provenance, ResultRecord, StageTimes
from edgesdk.runtime.executor import Times
from edgesdk.runtime.ledger import End, Entry
from edgesdk.runtime.sessions import LoadedModel

__all__ = [
    "RESTART",
    "decoder_of",
    "execution_id",
    "orphan_record",
    "provenance",
    "record",
    "stage_times",
]

RESTART = "restart: the process ended before this frame had its result"


def decoder_of(source: Source) -> str:
    """What makes pixels of a source's bytes: its kind, and the libraries that decode it."""
    if source.kind in (Kind.RING, Kind.SYNTHETIC):
        return str(source.kind.value)
    libraries = (f"{name} {_version(name)}" for name in ("av", "opencv-contrib-python-headless"))
    return ", ".join((source.kind.value, *libraries))


@cache
def _version(distribution: str) -> str:
    try:
        return version(distribution)
    except PackageNotFoundError:
        return "unknown"


def execution_id(operator_id: str, model: LoadedModel, decoder: str) -> str:
    """What promises equal bytes: the operator, and all that produced them (DESIGN 2.1).

    *decoder* names what made pixels of the camera's bytes. Hex SHA-256.
    """
    spec = model.spec
    parts = [
        operator_id,
        model.fingerprint,
        spec.backend,
        spec.backend_version,
        spec.executed_on,
        spec.precision,
        decoder,
    ]
    return hashlib.sha256(msgspec.msgpack.encode(parts)).hexdigest()


def provenance(
    kind: str, operator_id: str, model: LoadedModel, *, node: str, decoder: str
) -> Provenance:
    """The entry of one inference operator; equal for every frame of a camera's incarnation."""
    spec = model.spec
    return Provenance(
        operator=kind,
        id=operator_id,
        execution_id=execution_id(operator_id, model, decoder),
        model=model.fingerprint,
        card=model.card.name,
        backend=spec.backend,
        backend_version=spec.backend_version,
        precision=spec.precision,
        executed_on=f"{node}/{spec.backend}:{spec.device}",
        evidence=spec.evidence,
    )


def stage_times(parts: Sequence[Times], total_ns: int) -> StageTimes:
    return StageTimes(
        queue=sum(t.queue for t in parts),
        prepare=sum(t.prepare for t in parts),
        infer=sum(t.infer for t in parts),
        decode=sum(t.decode for t in parts),
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
