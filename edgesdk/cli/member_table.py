"""The members of a cluster as a table: for ``cluster status``, ``cluster top`` and the demo."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from rich.console import Console, ConsoleOptions, Group, RenderableType, RenderResult
from rich.table import Table
from rich.text import Text

from edgesdk.cluster.status import LinkStatus, MemberStatus, SilentMember

__all__ = ["links_table", "members_table"]

_BAR, _SHORT_BAR = 8, 4
# With less, a terminal would cut the last columns off.
_WIDE_ENOUGH, _WIDE = 100, 130


def members_table(
    members: Sequence[MemberStatus],
    silent: Sequence[SilentMember] = (),
    *,
    notes: Mapping[str, str] | None = None,
) -> RenderableType:
    """A line a member; *notes* are further words by node. Where the terminal is narrow, residents
    and notes stand below the figures."""
    return _Members(members, silent, notes or {})


class _Members:
    def __init__(
        self,
        members: Sequence[MemberStatus],
        silent: Sequence[SilentMember],
        notes: Mapping[str, str],
    ) -> None:
        self._members, self._silent, self._notes = members, silent, notes

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        narrow = options.max_width < (_WIDE if self._notes else _WIDE_ENOUGH)
        yield self._table(narrow)
        if narrow:
            for member in self._members:
                yield Text.assemble((member.node, "bold"), f": {self._words(member)}")
        for lost in self._silent:
            yield Text.assemble((lost.node, "bold red"), (f" is silent: {lost.reason}", "red"))

    def _table(self, narrow: bool) -> Table:
        table = Table(box=None, header_style="bold", pad_edge=False)
        table.add_column("node", no_wrap=True)
        table.add_column("load", no_wrap=True)
        for name in ("backlog", "kept", "offloaded", "received", "dropped", "goodput"):
            table.add_column(name, justify="right", no_wrap=True)
        if not narrow:
            table.add_column("residents")
        for member in self._members:
            groups = member.groups
            cells: list[RenderableType] = [
                Text(member.node, style="bold"),
                _bar(member.load.utilisation, _SHORT_BAR if narrow else _BAR),
                f"{member.load.backlog_ms:.0f} ms",
                *(str(n) for n in (groups.kept, groups.offloaded, groups.received, groups.dropped)),
                _goodput(member.goodput),
            ]
            if not narrow:
                cells.append(self._words(member))
            table.add_row(*cells)
        return table

    def _words(self, member: MemberStatus) -> Text:
        residents = [*member.residents, *(f"({name})" for name in member.loading)]
        note = self._notes.get(member.node, "")
        return Text.assemble(
            ", ".join(residents) or "no models", (f"   {note}" if note else "", "dim")
        )


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


def _bar(part: float, width: int) -> Text:
    full = round(width * min(1.0, part))
    style = "red" if part > 0.9 else "yellow" if part > 0.7 else "green"
    return Text.assemble(("█" * full, style), ("·" * (width - full), "dim"), f" {part:4.0%}")


def _goodput(value: float | None) -> Text:
    if value is None:
        return Text("-", style="dim")
    style = "green" if value >= 0.95 else "yellow" if value >= 0.8 else "red"
    return Text(f"{value:.1%}", style=style)


def _ms(value: float | None) -> str:
    return "-" if value is None else f"{value:.1f} ms"
