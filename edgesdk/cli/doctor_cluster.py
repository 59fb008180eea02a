"""``edgesdk doctor --cluster BUNDLE``: the way to the other nodes, and what blocks it."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING

import typer

if TYPE_CHECKING:
    from edgesdk.cluster.diagnosis import Check, ClusterDoctorDocument

__all__ = ["examine_cluster"]

_STYLES = {"ok": "green", "limited": "yellow", "missing": "yellow", "broken": "bold red"}
_MARKS = {"ok": "ok", "limited": "limited", "missing": "-", "broken": "BROKEN"}


def examine_cluster(bundle: Path, peers: list[str], *, as_json: bool) -> None:
    """Prints the findings; ends with 8 where something is broken."""
    from edgesdk.cluster.control import parse_address
    from edgesdk.cluster.diagnosis import diagnose
    from edgesdk.records import encode_line

    document = diagnose(bundle, [parse_address(peer) for peer in peers])
    if as_json:
        sys.stdout.buffer.write(encode_line(document))
        sys.stdout.flush()
    else:
        _show(document)
    if not document.ready:
        raise typer.Exit(8)


def _show(document: ClusterDoctorDocument) -> None:
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    table = Table(box=None, padding=(0, 2, 0, 0), show_header=False)
    for _ in range(3):
        table.add_column(overflow="fold")

    def row(check: Check) -> None:
        words = f"{check.detail}\n-> {check.next_step}" if check.next_step else check.detail
        mark = f"[{_STYLES[check.state]}]{_MARKS[check.state]}[/]"
        table.add_row(f"  {check.name}", mark, Text(words))

    table.add_row("[bold]this node[/]", "", "")
    for check in document.checks:
        row(check)
    for peer in document.peers:
        name = f"{peer.node} " if peer.node else ""
        table.add_row(Text(f"{name}{peer.address}", style="bold"), "", Text(peer.found))
        for check in peer.checks:
            row(check)
    console = Console()
    console.print(table)
    if not document.ready:
        console.print("Something is broken: see above.", highlight=False)
