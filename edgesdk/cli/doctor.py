"""``edgesdk doctor``: what works on this machine, why the rest does not, and what to do."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated, Any, Literal

import msgspec
import typer

from edgesdk.cli.machine import Finding, interpreter, look
from edgesdk.inference.host import cores, processor

__all__ = ["BackendReport", "DeviceReport", "DoctorDocument", "examine"]

app = typer.Typer(add_completion=False, rich_markup_mode=None)

_MARKS = {"ok": "ok", "limited": "limited", "missing": "-", "broken": "BROKEN"}
_STYLES = {"ok": "green", "limited": "yellow", "missing": "dim", "broken": "bold red"}


class DeviceReport(msgspec.Struct, frozen=True, kw_only=True):
    """A device as its backend names it."""

    name: str
    kind: Literal["cpu", "gpu", "npu", "tpu", "other"]
    full_name: str


class BackendReport(msgspec.Struct, frozen=True, kw_only=True):
    """A backend; *reason*, *detail* and *next_step* say why it is not available."""

    name: str
    origin: str
    available: bool
    version: str
    versions: dict[str, str]
    devices: list[DeviceReport]
    reason: str | None
    detail: str
    next_step: str


class DoctorDocument(msgspec.Struct, frozen=True, kw_only=True):
    """What ``edgesdk doctor --json`` prints. ready: a model can run on frames here."""

    schema: Literal[1] = 1
    command: Literal["doctor"] = "doctor"
    edgesdk: str
    python: str
    processor: str
    cores: int
    ready: bool
    backends: list[BackendReport]
    findings: list[Finding]


@app.command()
def doctor(
    cluster: Annotated[
        Path | None,
        typer.Option(metavar="BUNDLE", help="Test the way to the cluster's other nodes instead."),
    ] = None,
    peer: Annotated[
        list[str] | None,
        typer.Option(metavar="HOST:PORT", help="With --cluster: a node to test; repeatable."),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON document.")] = False,
) -> None:
    """What works on this machine, why the rest does not, and the next step to take.

    Ends with 0 where a model can run on frames, with 4 where no backend works, else with 1. With
    --cluster: 0, or 8 where something between the nodes is broken.
    """
    if cluster is not None:
        from edgesdk.cli.doctor_cluster import examine_cluster

        return examine_cluster(cluster, peer or [], as_json=as_json)
    if peer:
        raise typer.BadParameter("--peer is for --cluster BUNDLE")
    from edgesdk.records import encode_line

    document = examine()
    if as_json:
        sys.stdout.buffer.write(encode_line(document))
        sys.stdout.flush()
    else:
        _show(document)
    if not document.ready:
        raise typer.Exit(1 if any(b.available for b in document.backends) else 4)


def examine() -> DoctorDocument:
    """Looks at everything; takes as long as importing each runtime. Never raises EdgeError."""
    from edgesdk import __version__

    findings = look()
    backends, problem = _backends()
    findings += problem
    vital = [f for f in findings if f.area in ("core", "capture") and f.state == "broken"]
    return DoctorDocument(
        edgesdk=__version__,
        python=interpreter(),
        processor=processor(),
        cores=cores(),
        ready=not vital and any(b.available for b in backends),
        backends=backends,
        findings=findings,
    )


def _backends() -> tuple[list[BackendReport], list[Finding]]:
    from edgesdk.errors import EdgeError
    from edgesdk.inference import discover

    try:
        entries = discover()
    except EdgeError as error:
        clash = Finding(
            area="extras",
            name="backends",
            state="broken",
            detail=str(error),
            next_step="uninstall one of the two",
        )
        return [], [clash]
    reports = []
    for entry in entries:
        probe = entry.probe()
        devices = []
        detail = probe.detail
        if probe.available and entry.backend is not None:
            try:
                devices = [
                    DeviceReport(name=d.name, kind=d.kind, full_name=d.full_name)
                    for d in entry.backend.devices()
                ]
            except Exception as error:
                detail = f"its devices cannot be listed: {error}"
        reports.append(
            BackendReport(
                name=entry.name,
                origin=entry.origin,
                available=probe.available,
                version=probe.version,
                versions=dict(probe.versions),
                devices=devices,
                reason=probe.reason,
                detail=detail,
                next_step=probe.next_step,
            )
        )
    return reports, []


def _show(document: DoctorDocument) -> None:
    from rich.console import Console
    from rich.table import Table

    console = Console()
    console.print(
        f"edgesdk {document.edgesdk}, {document.python}; {document.processor}, "
        f"{document.cores} cores",
        highlight=False,
    )
    table = Table(box=None, padding=(0, 2, 0, 0), show_header=False)
    for _ in range(3):
        table.add_column(overflow="fold")

    def row(name: str, state: str, words: str, step: str) -> None:
        text: Any = words
        if step:
            text = f"{words}\n-> {step}" if words else f"-> {step}"
        table.add_row(name, f"[{_STYLES[state]}]{_MARKS[state]}[/]", _plain(text))

    table.add_row("[bold]inference[/]", "", "")
    for backend in document.backends:
        if backend.available:
            devices = ", ".join(f"{d.name} ({d.full_name})" for d in backend.devices)
            row(f"  {backend.name}", "ok", f"{backend.version} on {devices}", "")
        else:
            row(f"  {backend.name}", "missing", backend.detail, backend.next_step)
    for area in ("core", "machine", "capture", "models", "hardware", "extras"):
        found = [f for f in document.findings if f.area == area]
        if found:
            table.add_row(f"[bold]{area}[/]", "", "")
        for finding in found:
            row(f"  {finding.name}", finding.state, finding.detail, finding.next_step)
    console.print(table)
    if document.ready:
        console.print("Models run on this machine. Try: edgesdk demo", highlight=False)
    else:
        console.print("No model can run on frames here: see above.", highlight=False)


def _plain(text: str) -> Any:
    from rich.text import Text

    return Text(text)
