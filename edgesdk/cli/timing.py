"""What ``edgesdk bench`` measures, and how."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import msgspec
import numpy as np

from edgesdk.errors import EdgeError, ModelInvalid
from edgesdk.inference import (
    Backend,
    LoadOptions,
    ModelFile,
    Session,
    Tensors,
    discover,
    open_session,
)
from edgesdk.inference.batching import samples
from edgesdk.inference.host import resident_bytes
from edgesdk.models import ModelRegistry
from edgesdk.models.card import ModelCard
from edgesdk.models.codec import Codec
from edgesdk.models.schema import Variant

__all__ = ["CodecRow", "Failure", "ModelRow", "RingRow", "SchedulerRow", "Subject", "subjects"]

_FILES = (".onnx", ".tflite", ".xml", ".pb", ".ort")
_FRAME = (1080, 1920, 3)


class ModelRow(msgspec.Struct, frozen=True, kw_only=True):
    """One model on one device at one batch size; times are of ``infer``, of the whole batch.

    memory_mb: what loading it and running it once added to this process.
    """

    model: str
    file: str
    sha256: str
    backend: str
    backend_version: str
    device: str
    executed_on: str
    precision: str
    evidence: Literal["real", "stand-in"]
    threads: int
    batch: int
    rounds: int
    p50_ms: float
    p99_ms: float
    items_per_second: float
    load_ms: float
    memory_mb: float


class CodecRow(msgspec.Struct, frozen=True, kw_only=True):
    """Around one inference: a 1080p BGR frame to a model's input, its outputs to values."""

    model: str
    encode_p50_ms: float
    decode_p50_ms: float


class RingRow(msgspec.Struct, frozen=True, kw_only=True):
    """A frame through a ring in one thread, by the Python interface and without touching pixels."""

    frame_bytes: int
    push_ns: int
    take_ns: int


class SchedulerRow(msgspec.Struct, frozen=True, kw_only=True):
    """One job's way through the scheduler (submit, next, done), by the Python interface."""

    streams: int
    job_ns: int


class Failure(msgspec.Struct, frozen=True, kw_only=True):
    """What could not be measured, and why."""

    model: str
    backend: str
    device: str
    error: str
    message: str


@dataclass(frozen=True)
class Subject:
    """A file to measure, and the card it belongs to, if any."""

    name: str
    file: ModelFile
    card: ModelCard | None = None
    variant: Variant | None = None


def subjects(references: Sequence[str]) -> list[Subject]:
    """What *references* mean: files by path, cards by reference; none: every model that is here.

    Raises ModelNotFound, CardError, ModelInvalid.
    """
    registry = ModelRegistry()
    cards = [] if references else [e.card for e in registry.list() if e.present and e.card]
    found = []
    for reference in references:
        path = Path(reference)
        if path.suffix in _FILES:
            if not path.is_file():
                raise ModelInvalid(f"there is no model file at {path}")
            found.append(Subject(path.name, ModelFile.of(path)))
        else:
            cards.append(registry.resolve(reference))
    for card in cards:
        present = [v for v in card.variants if card.is_present(v)]
        if not present:
            card.check_file(card.variants[0])  # raises, and says how to get it
        found += [Subject(card.name, card.model_file(v), card, v) for v in present]
    return found


def places(names: Sequence[str], devices: Sequence[str]) -> Iterator[tuple[Backend, str]]:
    """Every device of every backend that works here, of those asked for; none asked: all."""
    for entry in discover():
        if entry.backend is None or (names and entry.name not in names):
            continue
        if not entry.probe().available:
            continue
        for device in entry.backend.devices():
            if not devices or device.name in devices:
                yield entry.backend, device.name


def measure(
    subject: Subject,
    backend: Backend,
    device: str,
    options: LoadOptions,
    seconds: float,
    told: Callable[[str], None],
) -> tuple[list[ModelRow], list[CodecRow]]:
    """Rows of one model on one device, each batch for *seconds*. Raises EdgeError."""
    told(f"{subject.name}: loading on {backend.name}:{device}")
    before, start = resident_bytes(), time.perf_counter_ns()
    session = open_session(backend, subject.file, device, options)
    try:
        load_ns = time.perf_counter_ns() - start
        one = _inputs(session, subject, 1)
        outputs = session.infer(one)
        memory = max(0, resident_bytes() - before)
        spec = session.describe()
        rows = []
        for batch in spec.batches:
            told(f"{subject.name}: batch {batch} on {backend.name}:{device}")
            inputs = _inputs(session, subject, batch)
            took = _timed(lambda inputs=inputs: session.infer(inputs), seconds)  # type: ignore[misc]
            rows.append(
                ModelRow(
                    model=subject.name,
                    file=subject.file.path.name,
                    sha256=subject.file.sha256,
                    backend=backend.name,
                    backend_version=spec.backend_version,
                    device=device,
                    executed_on=spec.executed_on,
                    precision=spec.precision,
                    evidence=spec.evidence,
                    threads=spec.threads,
                    batch=batch,
                    rounds=len(took),
                    p50_ms=_ms(np.quantile(took, 0.5)),
                    p99_ms=_ms(np.quantile(took, 0.99)),
                    items_per_second=round(batch * len(took) * 1e9 / sum(took), 2),
                    load_ms=_ms(load_ns),
                    memory_mb=round(memory / 2**20, 1),
                )
            )
        return rows, _codec(subject, outputs, seconds / 2)
    finally:
        session.unload()


def failure(subject: Subject, backend: Backend, device: str, error: EdgeError) -> Failure:
    return Failure(
        model=subject.name,
        backend=backend.name,
        device=device,
        error=type(error).__name__,
        message=str(error),
    )


def ring(seconds: float) -> RingRow:
    """Pushes and takes frames of 1080p in one thread; the pixels are not written."""
    from edgesdk.core.ring import FrameProperties, PixelFormat, RingReader, RingWriter

    height, width, channels = _FRAME
    size = height * width * channels
    name = f"edgesdk-bench-{os.getpid()}"
    pushes, takes = [], []
    with RingWriter(name, slot_bytes=size) as writer, RingReader(name) as reader:
        until = time.monotonic() + seconds
        while time.monotonic() < until:
            now = time.monotonic_ns()
            properties = FrameProperties(
                width, height, PixelFormat.BGR, width * channels, now, time.time_ns()
            )
            start = time.perf_counter_ns()
            writer.begin(size)
            writer.commit(properties)
            middle = time.perf_counter_ns()
            (frame,) = reader.take()
            frame.release()
            takes.append(time.perf_counter_ns() - middle)
            pushes.append(middle - start)
    return RingRow(frame_bytes=size, push_ns=int(np.median(pushes)), take_ns=int(np.median(takes)))


def scheduler(seconds: float) -> SchedulerRow:
    """Jobs of a hundred streams on one device at half its load, in simulated time."""
    from edgesdk.core.sched import Batch, Scheduler

    streams, period_ns, cost_ns = 100, 100_000_000, 500_000
    policy = Scheduler(max_streams=streams)
    app, model = policy.add_app(), policy.add_model([cost_ns])
    numbers = [
        policy.add_stream(app, model, period_ns=period_ns, deadline_ns=period_ns)
        for _ in range(streams)
    ]
    took: list[int] = []
    now = 0
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        now += period_ns // streams
        start = time.perf_counter_ns()
        policy.submit(
            numbers[len(took) % streams], len(took), deadline_ns=now + period_ns, now_ns=now
        )
        batch = policy.next(0, now)
        assert isinstance(batch, Batch)
        policy.done(batch.id, now + cost_ns, took_ns=cost_ns)
        took.append(time.perf_counter_ns() - start)
    return SchedulerRow(streams=streams, job_ns=int(np.median(took)))


def _codec(subject: Subject, outputs: Tensors, seconds: float) -> list[CodecRow]:
    if subject.card is None or subject.variant is None:
        return []
    codec = Codec(subject.card, subject.variant)
    picture = [(_picture(), "BGR", None)]
    _, geometries = codec.encode(picture)
    encoding = _timed(lambda: codec.encode(picture), seconds)
    decoding = _timed(lambda: codec.decode(outputs, geometries), seconds)
    return [
        CodecRow(
            model=subject.name,
            encode_p50_ms=_ms(np.quantile(encoding, 0.5)),
            decode_p50_ms=_ms(np.quantile(decoding, 0.5)),
        )
    ]


def _inputs(session: Session, subject: Subject, batch: int) -> Tensors:
    if subject.card is not None and subject.variant is not None:
        codec = Codec(subject.card, subject.variant)
        pictures = [(_picture(), "BGR", None)] * (batch * codec.batch)
        return codec.encode(pictures)[0]
    rows = samples(session.describe().inputs, batch)
    return {name: np.concatenate([row[name] for row in rows]) for name in rows[0]}


def _picture() -> Any:
    ramp = np.linspace(0, 255, _FRAME[1], dtype=np.uint8)
    return np.broadcast_to(ramp[None, :, None], _FRAME).copy()


def _timed(call: Callable[[], object], seconds: float) -> list[int]:
    """Nanoseconds of calls over *seconds*, at least five, after two that are not counted."""
    for _ in range(2):
        call()
    took: list[int] = []
    until = time.monotonic() + seconds
    while len(took) < 5 or time.monotonic() < until:
        start = time.perf_counter_ns()
        call()
        took.append(time.perf_counter_ns() - start)
    return took


def _ms(nanoseconds: Any) -> float:
    return round(float(nanoseconds) / 1e6, 3)
