"""``edgesdk cluster status`` and ``edgesdk cluster top``: the members as the operator sees them."""

from __future__ import annotations

import sys
import time
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from edgesdk.errors import UsageError

if TYPE_CHECKING:
    from edgesdk.cluster.identity import Identity
    from edgesdk.cluster.status import ClusterStatus
    from edgesdk.cluster.survey import Surveyor

__all__ = ["status", "top"]

_LOOK_S = 1.5
_ASK_S = 2.0
_EVERY_S = 0.5

Bundle = Annotated[
    Path | None,
    typer.Option(
        "--bundle", metavar="FILE", help="The operator's bundle; default: where init put it."
    ),
]
Peers = Annotated[
    list[str] | None,
    typer.Option(
        "--peer", metavar="HOST:PORT", help="A member to begin with; default: whoever is found."
    ),
]


def status(
    bundle: Bundle = None,
    peer: Peers = None,
    as_json: Annotated[
        bool, typer.Option("--json", help="Print one JSON document, and nothing else.")
    ] = False,
) -> None:
    """Who is there, what they hold and carry, how well they reach each other, whose certificate
    ends soon."""
    from edgesdk.records import encode_line

    found = surveyor(bundle, peer).survey()
    if as_json:
        sys.stdout.buffer.write(encode_line(found))
        sys.stdout.flush()
        return
    from rich.console import Console

    from edgesdk.cli.member_table import links_table, members_table

    # In a file or a pipe nothing is cut off.
    console = Console(highlight=False, width=None if sys.stdout.isatty() else 200)
    console.print(_headline(found))
    console.print(members_table(found.members, found.silent))
    console.print()
    console.print(links_table(found.members))
    for member in found.members:
        soon = "expires soon, on" if member.node in found.expiring else "expires on"
        console.print(f"certificate of {member.node} {soon} {member.certificate_expires[:10]}")


def top(
    bundle: Bundle = None,
    peer: Peers = None,
    duration: Annotated[
        float | None, typer.Option("--duration", metavar="S", help="End after S seconds.")
    ] = None,
    as_json: Annotated[
        bool, typer.Option("--json", help="Print the last state as one JSON document.")
    ] = False,
) -> None:
    """The members live, until Ctrl-C."""
    from rich.console import Console, Group
    from rich.live import Live

    from edgesdk.cli.interrupts import interrupts
    from edgesdk.cli.member_table import members_table
    from edgesdk.records import encode_line

    asking = surveyor(bundle, peer)
    end = None if duration is None else time.monotonic() + duration
    console = Console(stderr=True, highlight=False)
    found = asking.survey()
    with (
        suppress(KeyboardInterrupt),  # its normal end
        Live(console=console, auto_refresh=False, transient=True, redirect_stdout=False) as live,
    ):
        while True:
            if console.is_terminal and not as_json:
                shown = Group(_headline(found), members_table(found.members, found.silent))
                live.update(shown, refresh=True)
            left = _EVERY_S if end is None else min(_EVERY_S, end - time.monotonic())
            if left <= 0 or interrupts.asked.wait(left):
                break
            found = asking.survey()
    if as_json:
        sys.stdout.buffer.write(encode_line(found))
        sys.stdout.flush()


def surveyor(bundle: Path | None, peers: list[str] | None) -> Surveyor:
    """What asks the members, as the operator whom *bundle* names."""
    from edgesdk.cluster.administration import administer
    from edgesdk.cluster.authority import default_folder
    from edgesdk.cluster.identity import Identity
    from edgesdk.cluster.survey import Surveyor

    identity = Identity.load(bundle or default_folder() / "operator.bundle")
    start = [_address(text) for text in peers or ()] or _found(identity)
    return Surveyor(
        lambda address, verb, body: administer(identity, address, verb, body, timeout=_ASK_S),
        identity.fingerprint,
        start,
    )


def _found(identity: Identity) -> list[tuple[str, int]]:
    """Members that announce themselves on this network; this machine's own port beside them."""
    from edgesdk.cluster.discovery import browse

    members, _ = browse(identity, _LOOK_S)
    return [*((node.addresses[0], node.port) for node in members), ("127.0.0.1", 7440)]


def _address(text: str) -> tuple[str, int]:
    host, _, port = text.rpartition(":")
    if not host or not port.isascii() or not port.isdigit() or not 0 < int(port) < 65536:
        raise UsageError(f"--peer {text!r}: expected HOST:PORT, such as 10.0.0.2:7440")
    return host.strip("[]"), int(port)


def _headline(found: ClusterStatus) -> str:
    silent = f", {len(found.silent)} silent" if found.silent else ""
    goodput = "" if found.goodput is None else f", goodput {found.goodput:.1%}"
    return f"cluster {found.cluster[:16]}: {len(found.members)} members{silent}{goodput}"
