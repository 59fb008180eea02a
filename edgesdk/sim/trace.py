"""A workload as a file, so that real processes and the simulator run the same one.

JSON lines. The first is the header (:class:`Header`): who is in the cluster. Each other line is a
group (:class:`Row`) in the order of ``at_ns``, or a crash (:class:`Fall`). Instants are ns since
the start.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Literal, TypeVar

import msgspec

from edgesdk.errors import UsageError
from edgesdk.sim.hardware import CLASSES, MODELS, Pool, Service
from edgesdk.sim.parameters import Parameters
from edgesdk.sim.workload import Arrival, Crash, NodeSpec, Workload, mix_of

__all__ = ["Fall", "Header", "Node", "Row", "read_trace", "retimed", "write_trace"]

_MAX_BYTES = 4 << 30
_T = TypeVar("_T")


class Node(msgspec.Struct, frozen=True, kw_only=True):
    """A camera; models are numbers from 0, as in ``models`` of the header."""

    device: str
    """Its class: orin-nano, n100, coral or pi5."""
    region: int
    models: list[int]
    shifted: list[int]
    residents: list[int]


class Header(msgspec.Struct, frozen=True, kw_only=True):
    schema: Literal[1] = 1
    trace: Literal["edgesdk"] = "edgesdk"
    parameters: Parameters
    scale: float
    """Of the reference's service times."""
    models: list[str]
    """The 64-bit numbers by which nodes call them, in hex."""
    services_ms: dict[str, list[list[float]]]
    """By class and model, of batches of 1, 2, ... 8 frames; for readers that do not know the
    law. The simulator computes them from *scale*."""
    nodes: list[Node]


class Row(msgspec.Struct, frozen=True, kw_only=True):
    """A group: complete at *at_ns*, of frames captured at *captures*, the oldest first."""

    at_ns: int
    node: int
    app: int
    model: int
    captures: list[int]


class Fall(msgspec.Struct, frozen=True, kw_only=True):
    """A crash of a node; *back_ns* 0: for good."""

    at_ns: int
    crash: int
    back_ns: int


def write_trace(path: Path, workload: Workload) -> None:
    """Writes *workload*; what :func:`read_trace` returns of it is equal."""
    encode = msgspec.json.Encoder().encode
    costs = workload.service.costs
    header = Header(
        parameters=workload.parameters,
        scale=workload.service.scale,
        models=[f"{model.number:016x}" for model in MODELS],
        services_ms={
            kind.name: [[round(ns / 1e6, 6) for ns in batch] for batch in costs[k]]
            for k, kind in enumerate(CLASSES)
        },
        nodes=[
            Node(
                device=CLASSES[node.kind].name,
                region=node.region,
                models=list(node.models),
                shifted=list(node.shifted),
                residents=list(node.residents),
            )
            for node in workload.nodes
        ],
    )
    rows: list[tuple[int, int, Row | Fall]] = [
        (a.at_ns, 1, Row(at_ns=a.at_ns, node=a.node, app=a.app, model=a.model,
                         captures=list(a.captures)))
        for a in workload.arrivals
    ]  # fmt: skip
    rows += [
        (c.at_ns, 0, Fall(at_ns=c.at_ns, crash=c.node, back_ns=c.back_ns)) for c in workload.crashes
    ]
    rows.sort(key=lambda row: row[:2])
    with path.open("wb") as file:
        file.write(encode(header) + b"\n")
        for _, _, row in rows:
            file.write(encode(row) + b"\n")


def read_trace(path: Path) -> Workload:
    """The workload of a file.

    Raises:
        UsageError: it is no trace; the message names the line.
    """
    try:
        if path.stat().st_size > _MAX_BYTES:
            raise UsageError(f"{path} has more than {_MAX_BYTES} bytes; that is no trace")
        lines = path.read_bytes().splitlines()
    except OSError as error:
        raise UsageError(f"cannot read the trace {path}: {error.strerror}") from None
    if not lines:
        raise UsageError(f"{path} is empty; a trace begins with a header line")
    header = _decoded(path, 1, lines[0], Header)
    kinds = {kind.name: k for k, kind in enumerate(CLASSES)}
    nodes = []
    for number, node in enumerate(header.nodes):
        known = node.device in kinds and all(
            0 <= m < len(MODELS) for m in (*node.models, *node.shifted, *node.residents)
        )
        if not known or len(node.shifted) != len(node.models) or not 0 <= node.region < 65536:
            raise UsageError(f"{path}, line 1: node {number} has a class or model unknown here")
        nodes.append(
            NodeSpec(
                kinds[node.device],
                node.region,
                tuple(node.models),
                tuple(node.shifted),
                tuple(node.residents),
            )
        )
    if not nodes or len(nodes) != header.parameters.nodes or not 1e-6 < header.scale < 1e6:
        raise UsageError(
            f"{path}, line 1: {len(nodes)} nodes where parameters.nodes is "
            f"{header.parameters.nodes}, or a scale of {header.scale:g}"
        )
    arrivals, crashes = [], []
    for number, line in enumerate(lines[1:], 2):
        if b'"crash"' in line:
            row = _decoded(path, number, line, Fall)
            ok = 0 <= row.crash < len(nodes) and row.at_ns >= 0
            crashes.append(Crash(row.at_ns, row.crash, row.back_ns))
        else:
            group = _decoded(path, number, line, Row)
            captures = tuple(group.captures)
            ok = (
                0 <= group.node < len(nodes)
                and 0 <= group.model < len(MODELS)
                and 1 <= len(captures) <= 8
                and captures[0] >= 0
                and captures == tuple(sorted(captures))
                and captures[-1] <= group.at_ns
            )
            if ok:
                about = group.node, group.app, group.model
                arrivals.append(Arrival(group.at_ns, *about, len(captures), captures[0], captures))
        if not ok:
            raise UsageError(f"{path}, line {number}: a node, model or instant is out of range")
    arrivals.sort()
    counts = [sum(node.kind == k for node in nodes) for k in range(len(CLASSES))]
    pool = Pool(counts, mix_of([node.models for node in nodes]))
    return Workload(
        header.parameters, Service(header.scale), pool, nodes, arrivals, sorted(crashes)
    )


def retimed(workload: Workload, changes: Mapping[str, object]) -> Workload:
    """The same groups with other links, deadlines or digests.

    Raises:
        UsageError: a value is out of range.
    """
    values = {**msgspec.structs.asdict(workload.parameters), **changes}
    return replace(workload, parameters=Parameters(**values))


def _decoded(path: Path, number: int, line: bytes, kind: type[_T]) -> _T:
    try:
        return msgspec.json.decode(line, type=kind)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise UsageError(f"{path}, line {number}: {error}") from None
