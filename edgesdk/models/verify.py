"""Whether the backends of this machine agree with a model's card."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from typing import Any, Literal

import msgspec

from edgesdk.errors import EdgeError
from edgesdk.inference import LoadOptions, discover, open_session
from edgesdk.models.agreement import compare
from edgesdk.models.card import ModelCard
from edgesdk.models.codec import Codec
from edgesdk.models.golden import (
    GoldenDocument,
    GoldenOutput,
    input_image,
    largest_difference,
    load_golden,
    sample_outputs,
)
from edgesdk.models.schema import Variant

__all__ = ["Verdict", "record_golden", "verify"]

Outcome = Literal["agrees", "disagrees", "runs", "failed", "unavailable", "absent"]
_ROUNDS = 5


@dataclass(frozen=True)
class Verdict:
    """What one variant did on one backend.

    outcome: ``agrees`` or ``disagrees`` with the golden outputs; ``runs`` where there are none;
    ``failed``; ``unavailable`` (the backend); ``absent`` (the file). difference: the largest, as a
    part of an output's range.
    """

    file: str
    backend: str
    outcome: Outcome
    detail: str = ""
    backend_version: str = ""
    executed_on: str = ""
    precision: str = ""
    difference: float | None = None
    milliseconds: float | None = None
    inferred: dict[str, str] = field(default_factory=dict)
    conflicts: tuple[str, ...] = ()
    outputs: dict[str, GoldenOutput] = field(default_factory=dict, repr=False)


def verify(card: ModelCard, *, threads: int = 0) -> Iterator[Verdict]:
    """Runs the golden input through every variant on every backend that the card names.

    Backends are compared with the card's golden outputs; where it has none, with the first that
    ran. Yields as each ends; what goes wrong is a verdict, not an error.
    """
    golden = load_golden(card)
    tolerance = card.document.golden.tolerance if card.document.golden else 0.02
    reference = None if golden is None else golden.outputs
    said_by = None if golden is None else golden.made_by
    for variant in card.variants:
        for name in variant.backends:
            verdict = _run(card, variant, name, threads)
            if verdict.outcome == "runs":
                if reference is None:
                    reference, said_by = verdict.outputs, f"{name} {verdict.backend_version}"
                else:
                    verdict = _judged(verdict, reference, said_by or "", tolerance)
            yield verdict


def record_golden(verdict: Verdict) -> bytes:
    """The golden outputs document of a verdict that ran."""
    made_by = f"{verdict.backend} {verdict.backend_version}"
    return msgspec.json.format(
        msgspec.json.encode(GoldenDocument(1, made_by, verdict.outputs)), indent=1
    )


def _judged(
    verdict: Verdict, reference: dict[str, GoldenOutput], said_by: str, tolerance: float
) -> Verdict:
    apart = largest_difference(reference, verdict.outputs)
    agrees = apart <= tolerance
    shown = "outputs of another shape" if apart == float("inf") else f"{apart:.2g} of the range"
    detail = f"differs from {said_by} by {shown} (allowed: {tolerance:g})"
    outcome: Outcome = "agrees" if agrees else "disagrees"
    return replace(
        verdict,
        outcome=outcome,
        detail="" if agrees else detail,
        difference=None if apart == float("inf") else apart,
    )


def _run(card: ModelCard, variant: Variant, backend: str, threads: int) -> Verdict:
    if not card.is_present(variant):
        way = f"edgesdk models pull {card.name}" if variant.source else "put it there"
        return Verdict(variant.file, backend, "absent", f"the file is not here: {way}")
    entries = {entry.name: entry for entry in discover()}
    if backend not in entries:
        known = ", ".join(entries)
        return Verdict(variant.file, backend, "unavailable", f"no such backend; there are {known}")
    probe = entries[backend].probe()
    found = entries[backend].backend
    if not probe.available or found is None:
        detail = f"{probe.detail}; {probe.next_step}" if probe.next_step else probe.detail
        return Verdict(variant.file, backend, "unavailable", detail)
    try:
        card.check_file(variant)
        session = open_session(found, card.model_file(variant), options=LoadOptions(threads))
        try:
            return _measure(card, variant, backend, session)
        finally:
            session.unload()
    except EdgeError as e:
        return Verdict(variant.file, backend, "failed", str(e), probe.version)


def _measure(card: ModelCard, variant: Variant, backend: str, session: Any) -> Verdict:
    described = session.describe()
    codec = Codec(card, variant)
    binding = codec.bind({t.name: t for t in described.outputs})
    width, height = codec.size
    picture = input_image(card, width, height)
    feeds, geometries = codec.encode([(picture, "RGB", None)], codec.batch)
    outputs = session.infer(feeds)
    codec.decode(outputs, geometries)
    best = None
    for _ in range(_ROUNDS):
        began = time.perf_counter()
        session.infer(feeds)
        took = time.perf_counter() - began
        best = took if best is None else min(best, took)
    roles = codec.by_role(outputs) if binding.names else outputs
    return Verdict(
        variant.file,
        backend,
        "runs",
        "no golden outputs to compare with",
        described.backend_version,
        described.executed_on,
        described.precision,
        milliseconds=round((best or 0.0) * 1e3, 2),
        inferred=dict(binding.inferred),
        conflicts=compare(card, variant, card.facts_of(variant)).conflicts,
        outputs=sample_outputs(card, roles),
    )
