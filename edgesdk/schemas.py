"""JSON Schemas (draft 2020-12) of every document, made from the types in the code.

``python -m edgesdk.schemas docs/schemas`` writes them, one file a document.
"""

from __future__ import annotations

import importlib
import json
import re
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal

import msgspec

from edgesdk.durations import DURATION_FORM
from edgesdk.listen import LISTEN_FORM

__all__ = ["DOCUMENTS", "main", "schema"]

DOCUMENTS = {
    "result": "edgesdk.records:ResultRecord",
    "run": "edgesdk.records:RunSummary",
    "demo": "edgesdk.records:DemoSummary",
    "cluster-status": "edgesdk.cluster.status:ClusterStatus",
    "error": "edgesdk.records:ErrorDocument",
    "graph": "edgesdk.graph.drawing:GraphDocument",
    "doctor": "edgesdk.cli.doctor:DoctorDocument",
    "doctor-cluster": "edgesdk.cluster.diagnosis:ClusterDoctorDocument",
    "cluster-init": "edgesdk.cluster.documents:InitDocument",
    "cluster-issued": "edgesdk.cluster.documents:IssuedDocument",
    "cluster-removed": "edgesdk.cluster.documents:RemovedDocument",
    "bench": "edgesdk.cli.bench:BenchDocument",
    "sim": "edgesdk.sim.documents:SimDocument",
    "profile": "edgesdk.profiling.document:Profile",
    "plan-what-if": "edgesdk.planner.what_if_document:WhatIfDocument",
    "manage": "edgesdk.provision.document:ManageDocument",
    "sim-day": "edgesdk.sim.day_report:DayDocument",
    "plan": "edgesdk.planner.documents:PlanDocument",
    "plan-prices": "edgesdk.planner.prices:PricesDocument",
    "plan-paper": "edgesdk.planner.documents:PaperDocument",
    "models-list": "edgesdk.models.documents:ModelsDocument",
    "models-show": "edgesdk.models.documents:ModelDocument",
    "models-add": "edgesdk.models.documents:ModelDocument",
    "models-pull": "edgesdk.models.documents:PullDocument",
    "models-verify": "edgesdk.models.documents:VerifyDocument",
    "web-cameras": "edgesdk.web.documents:CamerasDocument",
    "web-health": "edgesdk.web.documents:HealthDocument",
    "web-ready": "edgesdk.web.documents:ReadyDocument",
    "changes": "edgesdk.runtime.changes:Changes",
    "assignment": "edgesdk.runtime.assignment:Assignments",
    "model-card": "edgesdk.models.schema:CardDocument",
    "model-golden": "edgesdk.models.golden:GoldenDocument",
    "config": "edgesdk.config:Config",
    "plan-input": "edgesdk.planner.plan_entries:PlanInput",
}
"""The documents by name: those edgesdk writes, and last those it reads."""

_READ = ("assignment", "model-card", "model-golden", "config", "plan-input")

_MARKUP = re.compile(r"(?::\w+:)?`+~?([^`]*)`+")
_REF = "#/$defs/{name}"


class DetectionItem(msgspec.Struct, kw_only=True):
    """One detection or track; further columns (a classifier's, speed's) are further keys."""

    box: tuple[float, float, float, float]
    score: float
    label_id: int
    label: str
    track_id: int | None


class DetectionsOutput(msgspec.Struct, kw_only=True):
    """Boxes are ``x1, y1, x2, y2``: float pixels of the original frame."""

    type: Literal["detections"]
    items: list[DetectionItem]


class ClassificationItem(msgspec.Struct, kw_only=True):
    label_id: int
    label: str
    score: float


class ClassificationOutput(msgspec.Struct, kw_only=True):
    """Best first."""

    type: Literal["classification"]
    items: list[ClassificationItem]


class EmbeddingOutput(msgspec.Struct, kw_only=True):
    type: Literal["embedding"]
    vector: list[float]


class RawArray(msgspec.Struct, kw_only=True):
    """*data* in C order."""

    shape: list[int]
    dtype: str
    data: list[Any]


class RawOutput(msgspec.Struct, kw_only=True):
    type: Literal["raw"]
    arrays: dict[str, RawArray]


_OUTPUTS = {
    "detections": DetectionsOutput,
    "classification": ClassificationOutput,
    "embedding": EmbeddingOutput,
    "raw": RawOutput,
}


def schema(name: str) -> dict[str, Any]:
    """The JSON Schema of the document *name*, one of :data:`DOCUMENTS`."""
    module, _, kind = DOCUMENTS[name].partition(":")
    read = name in _READ
    made = _schema_of(getattr(importlib.import_module(module), kind), required=not read)
    if read:
        for part in (made, *made["$defs"].values()):
            if "properties" in part:
                part["additionalProperties"] = False
    if _use_outputs(made):
        for output in _OUTPUTS.values():
            made["$defs"] |= _schema_of(output, required=True, definition=True)["$defs"]
        made["$defs"]["Output"] = _output()
    made["$defs"] = dict(sorted(made["$defs"].items()))
    if not made["$defs"]:
        del made["$defs"]
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", "title": name, **made}


def _schema_of(kind: Any, *, required: bool, definition: bool = False) -> dict[str, Any]:
    """The schema of a struct, which itself is among the definitions if *definition* says so."""
    _, parts = msgspec.json.schema_components([kind], schema_hook=_custom_type, ref_template=_REF)
    for part in parts.values():
        if required and "properties" in part:
            part["required"] = list(part["properties"])
            for field in part["properties"].values():
                field.pop("default", None)
        part.pop("title", None)
        _make_portable(part)
    whole = {} if definition else parts.pop(kind.__name__)
    return {**whole, "$defs": dict(parts)}


_BOUNDS = {"minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum"}


def _make_portable(part: Any) -> None:
    """Docstrings without markup, and regular expressions as JSON Schema has them (ECMA-262).

    Whole bounds are integers: which of Meta(ge=0) and Meta(ge=0.0) a type gets, being equal and so
    one in typing's cache, depends on what was imported first.
    """
    if isinstance(part, dict):
        for bound in _BOUNDS & part.keys():
            if isinstance(part[bound], float) and part[bound].is_integer():
                part[bound] = int(part[bound])
        if isinstance(part.get("description"), str):
            plain = _MARKUP.sub(r"\1", part["description"])
            part["description"] = " ".join(plain.split())
        if isinstance(part.get("pattern"), str):
            part["pattern"] = part["pattern"].replace(r"\Z", "$")
    for inner in (
        part.values() if isinstance(part, dict) else part if isinstance(part, list) else ()
    ):
        _make_portable(inner)


def _use_outputs(made: dict[str, Any]) -> bool:
    """Say what the values of ``outputs`` are, wherever a document has them."""
    used = False
    for part in (made, *made["$defs"].values()):
        outputs = part.get("properties", {}).get("outputs", {})
        for form in (outputs, *outputs.get("anyOf", ())):
            if form.get("type") == "object" and not form.get("additionalProperties"):
                form["additionalProperties"] = {"$ref": _REF.format(name="Output")}
                used = True
    return used


def _output() -> dict[str, Any]:
    return {
        "description": "A value by its type; a measurement's type is its kind (count, line_count, "
        "window ...) and its keys are its fields; a custom operator's is whatever it returns.",
        "allOf": [
            {
                "if": {"properties": {"type": {"const": name}}, "required": ["type"]},
                "then": {"$ref": _REF.format(name=kind.__name__)},
            }
            for name, kind in _OUTPUTS.items()
        ],
    }


def _custom_type(kind: type[Any]) -> dict[str, Any]:
    forms = {"Duration": DURATION_FORM, "Latency": DURATION_FORM, "ListenAddress": LISTEN_FORM}
    if kind.__name__ in forms:
        return {"type": "string", "description": forms[kind.__name__]}
    if kind is object:
        return {"description": "any value"}
    raise NotImplementedError(kind)


def main(words: Sequence[str]) -> int:
    """Write the schemas into the folder that *words* names; returns the exit code."""
    if len(words) != 1:
        print("usage: python -m edgesdk.schemas FOLDER", file=sys.stderr)
        return 2
    folder = Path(words[0])
    folder.mkdir(parents=True, exist_ok=True)
    for name in DOCUMENTS:
        text = json.dumps(schema(name), indent=1, ensure_ascii=False) + "\n"
        (folder / f"{name}.json").write_text(text, encoding="utf-8")
    for file in folder.glob("*.json"):
        if file.stem not in DOCUMENTS:
            file.unlink()
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
