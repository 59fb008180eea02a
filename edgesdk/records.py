"""The documents edgesdk writes, as types: the result record, the counts of a run, an error.

They are what ``docs/contract.md`` describes, and :mod:`edgesdk.schemas` derives the JSON Schemas
from them. Structs are immutable, hence shared between threads as they are; the dicts and lists in
them are immutable by convention. Encoding writes every field, so a reader may rely on each key.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Literal

import msgspec

from edgesdk.errors import EdgeError
from edgesdk.redaction import redact

__all__ = [
    "ApplicationSummary",
    "CameraFrames",
    "CameraState",
    "CameraSummary",
    "CaptureTime",
    "DemoHalf",
    "DemoNode",
    "DemoSummary",
    "DroppedReason",
    "EmulatedTimes",
    "ErrorBody",
    "ErrorDocument",
    "Evidence",
    "FrameCounts",
    "FrameState",
    "LatencyMs",
    "Offload",
    "OperatorTiming",
    "Placed",
    "Provenance",
    "ResultRecord",
    "RunSummary",
    "SinkState",
    "SinkStats",
    "StageTimes",
    "encode",
    "encode_line",
    "error_document",
    "record_id",
]

SchemaVersion = Literal[1]
FrameState = Literal["ok", "late", "dropped", "failed"]
DroppedReason = Literal["deadline", "queue", "overrun", "thinned", "shutdown"]
CameraState = Literal["connecting", "streaming", "stalled", "reconnecting", "ended"]
Evidence = Literal["real", "stand-in", "simulated"]
SinkState = Literal["starting", "delivering", "retrying", "closed"]

Count = Annotated[int, msgspec.Meta(ge=0)]
Nanoseconds = Annotated[int, msgspec.Meta(ge=0)]
Milliseconds = Annotated[float, msgspec.Meta(ge=0)]


class CaptureTime(msgspec.Struct, frozen=True, kw_only=True):
    """When a frame was captured: UTC since 1970, and CLOCK_MONOTONIC of the capturing node."""

    utc_ns: int
    mono_ns: int


class Offload(msgspec.Struct, frozen=True, kw_only=True):
    """How work came to the node that did it from the one that has the camera.

    *origin* is that one's name. *codec*: what compressed the pictures; None: they travelled raw.
    *wire_ns*: what the way there and back took. *differs*: what of that which makes bytes was not
    as on the origin (``variant``, ``backend``, ``backend version``, ``executed on``, ``hardware``,
    ``precision``, ``wire codec``); empty: the origin's own session would have given the same bytes;
    None: the origin never had one to compare with.
    """

    origin: str
    codec: str | None
    wire_ns: Nanoseconds
    differs: list[str] | None = None


class Provenance(msgspec.Struct, frozen=True, kw_only=True):
    """What made a part of the outputs: one entry for each inference operator, and for each of the
    user's own that keeps no state.

    Crops of one frame may have been looked at by several nodes: then there is an entry for each.
    *offload* is None where the node that has the camera did it itself.
    """

    operator: str
    id: str
    execution_id: str
    model: str
    card: str
    backend: str
    backend_version: str
    precision: str
    executed_on: str
    evidence: Evidence = "real"
    offload: Offload | None = None


class StageTimes(msgspec.Struct, frozen=True, kw_only=True):
    """Nanoseconds a frame spent in each stage, summed over its inference operators.

    *wire*: on the way to other nodes and back.
    """

    queue: Nanoseconds = 0
    prepare: Nanoseconds = 0
    infer: Nanoseconds = 0
    decode: Nanoseconds = 0
    wire: Nanoseconds = 0
    total: Nanoseconds = 0


class ResultRecord(msgspec.Struct, frozen=True, kw_only=True):
    """One frame that passed the selectors of one application, and how it ended.

    *outputs* maps the application's names to ``to_json()`` of :mod:`edgesdk.values`; None when
    *state* is ``dropped`` or ``failed``. *id* is filled from the other fields: it is the same at
    every delivery of the record, so that a receiver can drop the second one.
    """

    schema: SchemaVersion = 1
    id: str = ""
    app: str
    camera: str
    incarnation: Count
    sequence: Count
    state: FrameState
    reason: str | None = None
    captured: CaptureTime
    width: Count
    height: Count
    outputs: dict[str, Any] | None
    provenance: list[Provenance] = []
    timings_ns: StageTimes = StageTimes()

    def __post_init__(self) -> None:
        if not self.id:
            identity = _identity(
                self.app, self.camera, self.incarnation, self.sequence, self.captured.utc_ns
            )
            msgspec.structs.force_setattr(self, "id", identity)


class FrameCounts(msgspec.Struct, frozen=True, kw_only=True):
    """Frames of one camera for one application.

    At the end ``captured = skipped_sample + held + passed`` and
    ``passed = ok + late + dropped + failed``; while running, frames in flight are in ``passed``
    only. *duplicate* counts second results of the same work, which went nowhere: part of no sum.
    """

    captured: Count = 0
    skipped_sample: Count = 0
    held: Count = 0
    passed: Count = 0
    ok: Count = 0
    late: Count = 0
    dropped: Count = 0
    failed: Count = 0
    duplicate: Count = 0


class LatencyMs(msgspec.Struct, frozen=True, kw_only=True):
    """Capture to result, milliseconds; None where no frame came to its end."""

    p50: Milliseconds | None = None
    p99: Milliseconds | None = None


class CameraFrames(msgspec.Struct, frozen=True, kw_only=True):
    """What one application made of one camera; *outputs* are the last ones."""

    frames: FrameCounts
    dropped_by_reason: dict[str, Count] = {}
    outputs: dict[str, Any] = {}
    latency_ms: LatencyMs = LatencyMs()


class ApplicationSummary(msgspec.Struct, frozen=True, kw_only=True):
    """What one application made of its cameras, by their names."""

    cameras: dict[str, CameraFrames]


class CameraSummary(msgspec.Struct, frozen=True, kw_only=True):
    """A camera at the end; *uri* has no credentials, *fps* is what arrived a second."""

    state: CameraState
    uri: str
    frames: Count
    incarnations: Count
    restarts: Count
    fps: Annotated[float, msgspec.Meta(ge=0)]
    reason: str | None = None


class OperatorTiming(msgspec.Struct, frozen=True, kw_only=True):
    """How long an operator took, over *count* runs on all cameras."""

    p50_ms: Milliseconds
    p99_ms: Milliseconds
    count: Count


class SinkStats(msgspec.Struct, frozen=True, kw_only=True):
    """Where a sink stands. Each record put is in exactly one of the first three.

    *pending* waits (in memory or in the outbox on disk), *discarded* was given up: the oldest when
    the outbox was full, what the receiver refused for good, what could not be encoded. *undurable*
    of the pending ones are in memory only, because the disk refuses them. *target* and
    *last_error* are free of credentials.
    """

    name: str
    kind: str
    target: str
    state: SinkState
    delivered: Count
    pending: Count
    discarded: Count
    retries: Count
    undurable: Count = 0
    last_error: str | None = None


class Placed(msgspec.Struct, frozen=True, kw_only=True):
    """Where inferences were done, in requests: one frame, or up to eight crops of it.

    *executed*: on this node, of them *received* for others, where a group of several frames is one.
    *offloaded*: this node's, whose results came from others. *duplicates*: second results, of what
    was given up elsewhere and done again.
    """

    executed: Count = 0
    received: Count = 0
    offloaded: Count = 0
    duplicates: Count = 0


class EmulatedTimes(msgspec.Struct, frozen=True, kw_only=True):
    """An emulated accelerator: batches it ran, and by how much they ended after their instant.

    Where *overshoot_p99_ms* is beyond 5, times measured with it mean nothing.
    """

    name: str
    batches: Count = 0
    overshoot_p50_ms: Milliseconds | None = None
    overshoot_p99_ms: Milliseconds | None = None


class RunSummary(msgspec.Struct, frozen=True, kw_only=True):
    """What ``run --json`` prints."""

    schema: SchemaVersion = 1
    command: Literal["run", "agent"] = "run"
    seconds: Annotated[float, msgspec.Meta(ge=0)]
    applications: dict[str, ApplicationSummary]
    cameras: dict[str, CameraSummary]
    inferences: dict[str, Count]
    operators: dict[str, OperatorTiming]
    sinks: dict[str, SinkStats] = {}
    emulated: EmulatedTimes | None = None
    placed: Placed = Placed()


class DemoHalf(msgspec.Struct, frozen=True, kw_only=True):
    """Frames of all cameras that passed in one half of a demo: with the cluster, or without.

    *elsewhere* of those that are ok or late were computed by another node than their camera's;
    *goodput* is ok / passed, *by_camera* likewise.
    """

    passed: Count = 0
    ok: Count = 0
    late: Count = 0
    dropped: Count = 0
    failed: Count = 0
    elsewhere: Count = 0
    goodput: float | None = None
    by_camera: dict[str, float | None] = {}


class DemoNode(msgspec.Struct, frozen=True, kw_only=True):
    """A node of the demo: groups of its own camera kept and offloaded, groups of peers received;
    *deaths* says how its process ended while the demo ran."""

    kept: Count = 0
    offloaded: Count = 0
    received: Count = 0
    dropped: Count = 0
    duplicates: Count = 0
    deaths: list[str] = []


class DemoSummary(msgspec.Struct, frozen=True, kw_only=True):
    """What ``demo --json`` prints: the counts of all nodes, and where it left its files.

    *people* are those on the picture; *accelerators* says whether they were emulated. *accounted*
    is true if each frame that passed came to one end, and no result came twice.
    """

    schema: SchemaVersion = 1
    command: Literal["demo"] = "demo"
    seconds: Annotated[float, msgspec.Meta(ge=0)]
    applications: dict[str, ApplicationSummary]
    cameras: dict[str, CameraSummary]
    inferences: dict[str, Count]
    operators: dict[str, OperatorTiming]
    sinks: dict[str, SinkStats] = {}
    results: str | None = None
    picture: str | None = None
    people: Count | None = None
    accelerators: Literal["emulated", "real"] = "real"
    nodes: dict[str, DemoNode] = {}
    with_cluster: DemoHalf = DemoHalf()
    without_cluster: DemoHalf = DemoHalf()
    accounted: bool = True


class ErrorBody(msgspec.Struct, frozen=True, kw_only=True):
    """The error: its class in :mod:`edgesdk.errors`, what people are told, the exit code."""

    class_: str = msgspec.field(name="class")
    message: str
    exit_code: Annotated[int, msgspec.Meta(ge=1, le=255)]


class ErrorDocument(msgspec.Struct, frozen=True, kw_only=True):
    """What any command prints with ``--json`` when it fails."""

    schema: SchemaVersion = 1
    error: ErrorBody


_ENCODER = msgspec.json.Encoder()


def encode(document: Any) -> bytes:
    """*document* (a struct of this module, or what JSON can say) as one JSON text, no newline.

    Thread-safe. A float that JSON cannot say (NaN, infinity) becomes ``null``. Raises TypeError
    for a value that has no JSON form, such as a numpy array.
    """
    return _ENCODER.encode(document)


def encode_line(document: Any) -> bytes:
    """One line of a JSON lines file: :func:`encode` and a newline; the text itself has none."""
    return _ENCODER.encode(document) + b"\n"


def record_id(record: ResultRecord | Mapping[str, Any]) -> str:
    """The id that every delivery of *record* carries; a mapping without one gets the same id.

    Raises KeyError or TypeError where the fields that make it up are missing.
    """
    if isinstance(record, ResultRecord):
        return record.id
    given = record.get("id")
    if isinstance(given, str) and given:
        return given
    return _identity(
        record["app"],
        record["camera"],
        record["incarnation"],
        record["sequence"],
        record["captured"]["utc_ns"],
    )


def _identity(app: str, camera: str, incarnation: int, sequence: int, utc_ns: int) -> str:
    return f"{app}/{camera}/{incarnation}/{sequence}/{utc_ns}"


def error_document(error: BaseException) -> ErrorDocument:
    """The document that ``--json`` prints for *error*; credentials are hidden."""
    exit_code = error.exit_code if isinstance(error, EdgeError) else 1
    message = redact(str(error)) or type(error).__name__
    return ErrorDocument(
        error=ErrorBody(class_=type(error).__name__, message=message, exit_code=exit_code)
    )
