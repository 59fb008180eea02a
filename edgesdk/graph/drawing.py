"""A plan for people to read: as text, as Mermaid, and as a JSON document."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Literal

import msgspec

from edgesdk.durations import format_duration
from edgesdk.graph.plan import Plan, PlannedOperator
from edgesdk.redaction import redact, redact_url

__all__ = ["GraphDocument", "as_document", "as_mermaid", "as_text", "sharing"]


class ApplicationNode(msgspec.Struct, frozen=True, kw_only=True):
    """An application on one camera; outputs: name to the index of its operator."""

    name: str
    camera: str
    deadline_ns: int
    weight: float
    place: str
    outputs: dict[str, int]


class OperatorNode(msgspec.Struct, frozen=True, kw_only=True):
    """An operator; inputs and selectors are indices into ``operators``."""

    index: int
    id: str
    operator: str
    role: Literal["source", "selector", "value", "inference", "stateful"]
    camera: str
    gives: str
    inputs: list[int]
    selectors: list[int]
    params: dict[str, Any]
    model: str | None
    card_digest: str | None
    applications: list[str]
    shared: bool
    places: list[str]


class SinkNode(msgspec.Struct, frozen=True, kw_only=True):
    """A sink; *to* has no credentials."""

    application: str
    camera: str
    kind: str
    to: str
    output: str
    operator: int


class Sharing(msgspec.Struct, frozen=True, kw_only=True):
    """Operators (cameras not counted) with merging, and how many there would be without."""

    operators: int
    without_sharing: int
    inferences: int
    inferences_without_sharing: int


class GraphDocument(msgspec.Struct, frozen=True, kw_only=True):
    """What ``edgesdk graph --json`` prints."""

    schema: Literal[1] = 1
    command: Literal["graph"] = "graph"
    applications: list[ApplicationNode]
    operators: list[OperatorNode]
    sinks: list[SinkNode]
    sharing: Sharing


def sharing(plan: Plan) -> Sharing:
    """What merging saves."""
    counted = [p for p in plan.operators if p.role != "source"]
    models = [p for p in counted if p.role == "inference"]
    return Sharing(
        operators=len(counted),
        without_sharing=sum(len(p.applications) for p in counted),
        inferences=len(models),
        inferences_without_sharing=sum(len(p.applications) for p in models),
    )


def as_document(plan: Plan) -> GraphDocument:
    return GraphDocument(
        applications=[
            ApplicationNode(
                name=name,
                camera=camera,
                deadline_ns=plan.applications[name].deadline_ns,
                weight=plan.applications[name].weight,
                place=str(plan.applications[name].place),
                outputs=dict(outputs),
            )
            for (name, camera), outputs in plan.outputs.items()
        ],
        operators=[
            OperatorNode(
                index=p.index,
                id=p.id,
                operator=p.name,
                role=p.role,
                camera=p.camera,
                gives=p.gives,
                inputs=list(p.inputs),
                selectors=sorted(p.selectors),
                params=dict(p.params),
                model=None if p.model is None else p.model.name,
                card_digest=p.card_digest,
                applications=sorted(p.applications),
                shared=len(p.applications) > 1,
                places=[str(place) for place in p.places],
            )
            for p in plan.operators
        ],
        sinks=[
            SinkNode(
                application=s.application,
                camera=s.camera,
                kind=s.kind,
                to=_target(s.params),
                output=s.output,
                operator=s.operator,
            )
            for s in plan.sinks
        ],
        sharing=sharing(plan),
    )


def _target(params: Mapping[str, Any]) -> str:
    function = params.get("function")
    if function is not None:
        return str(getattr(function, "__name__", type(function).__name__))
    said = redact_url(params["url"]) if "url" in params else redact(str(params.get("path", "")))
    return said + (f" {params['topic']}" if "topic" in params else "")


def _words(params: Mapping[str, Any]) -> str:
    """Parameters as they are written, those left open not at all."""
    said = []
    for key, value in params.items():
        if value is None or (key == "anchor" and params.get("zone", 0) is None):
            continue
        if key == "nanoseconds":
            said.append(f"seconds={value / 1e9:g}")
        elif key.endswith("_ns"):
            said.append(f"{key[:-3]}={format_duration(value)}")
        else:
            said.append(f"{key}={_short(value)}")
    return ", ".join(said)


def _short(value: object) -> str:
    if isinstance(value, float):
        return f"{value:g}"
    if isinstance(value, tuple):
        return "(" + ", ".join(_short(item) for item in value) + ")"
    return repr(value) if not isinstance(value, str) else value


def _title(p: PlannedOperator) -> str:
    model = "" if p.model is None else f" {p.model.name}"
    crops = " each crop" if p.role == "inference" and len(p.inputs) > 1 else ""
    return f"{p.name}{crops}{model}"


def as_text(plan: Plan) -> str:
    """One tree a camera: an operator stands below the last of what it needs."""
    lines = []
    for (name, camera), outputs in plan.outputs.items():
        app = plan.applications[name]
        lines.append(
            f"{name} on {camera}: deadline {format_duration(app.deadline_ns)}, "
            f"weight {app.weight:g}, gives {', '.join(outputs)} ({app.place})"
        )
    for camera in plan.cameras:
        lines += ["", f"camera {camera}"]
        mine = [p for p in plan.operators if p.camera == camera]
        root = next(p.index for p in mine if p.role == "source")
        lines += _branches(plan, mine, root, "")
    found = sharing(plan)
    lines += [
        "",
        f"{found.operators} operators, {found.without_sharing} without sharing; "
        f"inferences {found.inferences}, {found.inferences_without_sharing} without sharing",
    ]
    return "\n".join(lines)


def _branches(plan: Plan, mine: list[PlannedOperator], parent: int, indent: str) -> Iterator[str]:
    below = [p for p in mine if p.role != "source" and _parent(p) == parent]
    for i, p in enumerate(below):
        last = i == len(below) - 1
        yield f"{indent}{'└─' if last else '├─'} {_line(plan, p)}"
        yield from _branches(plan, mine, p.index, indent + ("   " if last else "│  "))


def _parent(p: PlannedOperator) -> int:
    above = p.selectors if p.role == "selector" and p.selectors else p.inputs
    return max(above)


def _line(plan: Plan, p: PlannedOperator) -> str:
    words = _words(p.params)
    parts = [_title(p) + (f" ({words})" if words else "")]
    above = [plan.operators[i].selectors for i in p.inputs]
    if p.role == "stateful" and p.selectors and p.selectors not in above:
        names = " and ".join(_chain(plan, i) for i in sorted(p.selectors))
        parts.append(f"after {names}")
    parts.append(p.id[:8])
    if len(p.applications) > 1:
        parts.append("SHARED by " + ", ".join(sorted(p.applications)))
    else:
        parts.append(next(iter(p.applications)))
    named = [
        f"{app}.{name}"
        for (app, camera), outputs in plan.outputs.items()
        if camera == p.camera
        for name, index in outputs.items()
        if index == p.index
    ]
    named += [f"{s.kind} {_target(s.params)}" for s in plan.sinks if s.operator == p.index]
    return "  ".join(parts) + (f"  => {', '.join(named)}" if named else "")


def _chain(plan: Plan, index: int) -> str:
    p = plan.operators[index]
    above = [_chain(plan, i) for i in sorted(p.selectors)]
    return " and ".join([*above, f"{p.name} {p.id[:4]}"])


_SHAPES = {
    "source": ("([", "])"),
    "selector": ("{{", "}}"),
    "value": ("[", "]"),
    "inference": ("[[", "]]"),
    "stateful": ("[(", ")]"),
}


def as_mermaid(plan: Plan) -> str:
    """A Mermaid flowchart: solid arrows carry values, dotted ones decide; shared ones are filled.

    Shapes: hexagons select, double frames infer, drums keep state.
    """
    lines = ["flowchart TD"]
    for camera in plan.cameras:
        lines.append(f'  subgraph {_name("camera", camera)}["camera {_quoted(camera)}"]')
        for p in (p for p in plan.operators if p.camera == camera):
            before, after = _SHAPES[p.role]
            words = "" if p.role == "source" else _quoted(_words(p.params))
            detail = f"<br/><small>{words}</small>" if words else ""
            shared = "<br/>shared by " + ", ".join(sorted(p.applications))
            label = _quoted(_title(p)) + detail + (_quoted(shared) if _is_shared(p) else "")
            lines.append(f'    n{p.index}{before}"{label}"{after}')
        lines.append("  end")
    for p in plan.operators:
        lines += [f"  n{i} --> n{p.index}" for i in p.inputs]
        lines += [f"  n{i} -.-> n{p.index}" for i in sorted(p.selectors)]
    for (app, camera), outputs in plan.outputs.items():
        for name, index in outputs.items():
            node = _name("out", f"{app}.{camera}.{name}")
            lines.append(f'  n{index} --> {node}(["{_quoted(f"{app}: {name}")}"])')
    for number, sink in enumerate(plan.sinks):
        label = _quoted(f"{sink.kind} {_target(sink.params)}")
        lines.append(f'  n{sink.operator} --> sink{number}[/"{label}"/]')
    filled = [f"n{p.index}" for p in plan.operators if _is_shared(p)]
    if filled:
        lines.append("  classDef shared fill:#cfe8cf,stroke:#2e7d32,stroke-width:2px,color:#000")
        lines.append(f"  class {','.join(filled)} shared")
    return "\n".join(lines)


def _is_shared(p: PlannedOperator) -> bool:
    return len(p.applications) > 1 and p.role != "source"


def _name(kind: str, name: str) -> str:
    """A Mermaid identifier, one for each *name*."""
    return kind + "_" + name.encode().hex()


def _quoted(text: str) -> str:
    escapes = {'"': "#quot;", "<": "#lt;", ">": "#gt;"}
    kept = text.replace("<br/>", "\0")
    for char, escape in escapes.items():
        kept = kept.replace(char, escape)
    return kept.replace("\0", "<br/>")
