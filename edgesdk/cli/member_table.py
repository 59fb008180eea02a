"""The members of a cluster as a table: for ``cluster status``, ``cluster top`` and the demo."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from edgesdk.cluster.status import LinkStatus, MemberStatus, SilentMember

__all__ = ["links_table", "members_table"]

_BAR = 8


def members_table(
    members: Sequence[MemberStatus],
    silent: Sequence[SilentMember] = (),
    *,
    notes: Mapping[str, str] | None = None,
) -> RenderableType:
    """A line a member; *notes* are further words by node."""
    table = Table(box=None, header_style="bold", pad_edge=False)
    table.add_column("node", no_wrap=True)
    table.add_column("load", no_wrap=True)
    for name in ("backlog", "kept", "offloaded", "received", "dropped", "goodput"):
        table.add_column(name, justify="right", no_wrap=True)
    table.add_column("residents")
    if notes:
        table.add_column("")
    for member in members:
        groups = member.groups
        cells: list[RenderableType] = [
            Text(member.node, style="bold"),
            _bar(member.load.utilisation),
            f"{member.load.backlog_ms:.0f} ms",
            *(str(n) for n in (groups.kept, groups.offloaded, groups.received, groups.dropped)),
            _goodput(member.goodput),
            ", ".join([*member.residents, *(f"({name})" for name in member.loading)]),
        ]
        if notes:
            cells.append(Text(notes.get(member.node, ""), style="dim"))
        table.add_row(*cells)
    lines = [
        Text.assemble((lost.node, "bold red"), (f" is silent: {lost.reason}", "red"))
        for lost in silent
    ]
    return Group(table, *lines)


def links_table(members: Sequence[MemberStatus]) -> RenderableType:
    """Who sees whom, and how well: a line for each pair that a member watches or has used."""
    table = Table(box=None, header_style="bold", pad_edge=False)
    for name in ("from", "to", "address"):
        table.add_column(name, no_wrap=True)
    for name in ("round trip", "wire", "sent", "failed"):
        table.add_column(name, justify="right", no_wrap=True)
    table.add_column("state", no_wrap=True)
    for member in members:
        for link in member.links:
            table.add_row(
                member.node,
                link.node,
                link.address,
                _ms(link.round_trip_ms),
                _ms(link.wire_ms),
                str(link.sent),
                str(link.failed),
                _state(link),
            )
    return Group(table) if table.rows else Text("no links", style="dim")


def _state(link: LinkStatus) -> Text:
    if link.left_out:
        return Text("left out", style="red")
    if link.suspect:
        return Text("silent", style="red")
    return Text("watched" if link.watched else "known", style="green" if link.watched else "")


def _bar(part: float) -> Text:
    full = round(_BAR * min(1.0, part))
    style = "red" if part > 0.9 else "yellow" if part > 0.7 else "green"
    return Text.assemble(("█" * full, style), ("·" * (_BAR - full), "dim"), f" {part:4.0%}")


def _goodput(value: float | None) -> Text:
    if value is None:
        return Text("-", style="dim")
    style = "green" if value >= 0.95 else "yellow" if value >= 0.8 else "red"
    return Text(f"{value:.1%}", style=style)


def _ms(value: float | None) -> str:
    return "-" if value is None else f"{value:.1f} ms"
