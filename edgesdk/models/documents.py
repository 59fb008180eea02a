"""What the ``models`` commands print with ``--json``."""

from __future__ import annotations

from typing import Literal

import msgspec

from edgesdk.models.card import ModelCard
from edgesdk.models.registry import Entry
from edgesdk.models.verify import Verdict

__all__ = [
    "ModelDocument",
    "ModelsDocument",
    "PullDocument",
    "VerifyDocument",
    "describe_entry",
]


class VariantRow(msgspec.Struct, frozen=True, kw_only=True):
    """One file of a model. sha256: null where the card does not say it."""

    file: str
    path: str
    backends: list[str]
    precision: str
    sha256: str | None
    present: bool
    pullable: bool


class ModelRow(msgspec.Struct, frozen=True, kw_only=True):
    """A known model; *problem* says why its card cannot be used, empty if it can."""

    name: str
    origin: Literal["catalogue", "added", "file"]
    task: str
    licence: str
    description: str
    card: str
    labels: dict[str, str]
    present: bool
    variants: list[VariantRow]
    problem: str = ""


class ModelsDocument(msgspec.Struct, frozen=True, kw_only=True):
    """``models list``."""

    schema: Literal[1] = 1
    command: Literal["models list"] = "models list"
    cache: str
    models: list[ModelRow]


class ModelDocument(msgspec.Struct, frozen=True, kw_only=True):
    """``models add`` and ``models show``. conflicts: where the card overrules the file."""

    schema: Literal[1] = 1
    command: Literal["models add", "models show"]
    model: ModelRow
    digest: str | None
    decode: str
    inputs: list[dict[str, object]]
    outputs: dict[str, str]
    conflicts: list[str]


class PullDocument(msgspec.Struct, frozen=True, kw_only=True):
    """``models pull``. files: paths by model; every one has the digest that its card says."""

    schema: Literal[1] = 1
    command: Literal["models pull"] = "models pull"
    files: dict[str, list[str]]


class VerdictRow(msgspec.Struct, frozen=True, kw_only=True):
    """One variant on one backend; see :class:`edgesdk.models.verify.Verdict`."""

    file: str
    backend: str
    backend_version: str
    executed_on: str
    precision: str
    outcome: Literal["agrees", "disagrees", "runs", "failed", "unavailable", "absent"]
    detail: str
    difference: float | None
    milliseconds: float | None
    inferred: dict[str, str]
    conflicts: list[str]

    @classmethod
    def of(cls, verdict: Verdict) -> VerdictRow:
        return cls(
            file=verdict.file,
            backend=verdict.backend,
            backend_version=verdict.backend_version,
            executed_on=verdict.executed_on,
            precision=verdict.precision,
            outcome=verdict.outcome,
            detail=verdict.detail,
            difference=verdict.difference,
            milliseconds=verdict.milliseconds,
            inferred=verdict.inferred,
            conflicts=list(verdict.conflicts),
        )


class VerifyDocument(msgspec.Struct, frozen=True, kw_only=True):
    """``models verify``. agrees: a backend agrees with the card, and none disagrees."""

    schema: Literal[1] = 1
    command: Literal["models verify"] = "models verify"
    name: str
    agrees: bool
    verdicts: list[VerdictRow]


def describe_entry(entry: Entry) -> ModelRow:
    """A row for *entry*, which may have no card."""
    if entry.card is None:
        return ModelRow(
            name=entry.name,
            origin=entry.origin,
            task="",
            licence="",
            description="",
            card=str(entry.path),
            labels={},
            present=False,
            variants=[],
            problem=entry.problem,
        )
    return describe_card(entry.card, entry.origin)


def describe_card(card: ModelCard, origin: Literal["catalogue", "added", "file"]) -> ModelRow:
    variants = [
        VariantRow(
            file=v.file,
            path=str(card.file_of(v)),
            backends=list(v.backends),
            precision=v.precision,
            sha256=v.sha256,
            present=card.is_present(v),
            pullable=v.source is not None,
        )
        for v in card.variants
    ]
    return ModelRow(
        name=card.name,
        origin=origin,
        task=card.task,
        licence=card.document.licence,
        description=card.document.description,
        card=str(card.path),
        labels={str(i): name for i, name in card.labels.items()},
        present=any(v.present for v in variants),
        variants=variants,
    )


def describe_model(
    command: Literal["models add", "models show"],
    card: ModelCard,
    origin: Literal["catalogue", "added", "file"],
    conflicts: list[str],
) -> ModelDocument:
    """The whole card; its digest is null while a file it has to be read from is not there."""
    variant = card.variants[0]
    complete = all(v.sha256 or card.is_present(v) for v in card.variants)
    return ModelDocument(
        command=command,
        model=describe_card(card, origin),
        digest=card.digest if complete else None,
        decode=str(type(card.decode).__struct_config__.tag),
        inputs=[msgspec.to_builtins(spec) for spec in card.said_inputs(variant)],
        outputs={role: output.name for role, output in card.outputs_of(variant).items()},
        conflicts=conflicts,
    )
