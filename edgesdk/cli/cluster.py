"""``edgesdk cluster``: make a cluster, its members' bundles, and take members out of it."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from edgesdk.cli.cluster_watch import status, top

if TYPE_CHECKING:
    from edgesdk.cluster.authority import Authority, Issued
    from edgesdk.cluster.documents import PushRow

__all__ = ["app"]

app = typer.Typer(
    help="Make a cluster, give nodes their bundles, take them back, watch it.",
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode=None,
)

Json = Annotated[bool, typer.Option("--json", help="Print one JSON document.")]
Name = Annotated[str, typer.Argument(help="The node's name; letters, digits, '.', '_', '-'.")]
Folder = Annotated[
    Path | None,
    typer.Option("--dir", help="The operator's folder; default: $EDGESDK_CLUSTER, or here."),
]
Days = Annotated[int, typer.Option(help="How long the certificate is good.")]
Out = Annotated[Path | None, typer.Option(help="The bundle's file; default: in the folder.")]
Nodes = Annotated[
    list[str] | None,
    typer.Option("--node", metavar="HOST:PORT", help="Tell this node too; may be repeated."),
]
Offline = Annotated[bool, typer.Option("--offline", help="Tell no node now.")]

_LOOK_SECONDS = 1.5

app.command()(status)
app.command()(top)


@app.command()
def init(
    directory: Annotated[Path, typer.Argument(help="A new folder; it will hold the CA's key.")],
    name: Annotated[str, typer.Option(help="The cluster's name; default: the folder's.")] = "",
    as_json: Json = False,
) -> None:
    """Make a cluster: a CA whose key stays in DIRECTORY, and the operator's own bundle."""
    from edgesdk.cluster.authority import Authority
    from edgesdk.cluster.documents import InitDocument

    made = Authority.create(directory, name)
    document = InitDocument(
        directory=str(made.folder),
        name=made.registry.name,
        fingerprint=made.registry.fingerprint,
        operator_bundle=str(made.operator_bundle),
    )
    if as_json:
        _print(document)
        return
    _say(f"cluster {document.name} in {document.directory}, fingerprint {document.fingerprint}")
    _say(f"keep {document.directory}/ca.key to yourself; it is what makes members")
    _say(f"next: edgesdk cluster add NAME --dir {document.directory}")


@app.command()
def add(
    name: Name,
    operator: Annotated[
        bool, typer.Option("--operator", help="A person who administers, not a node.")
    ] = False,
    days: Days = 365,
    out: Out = None,
    directory: Folder = None,
    as_json: Json = False,
) -> None:
    """Make a member: one file, mode 0600, to copy to the node."""
    authority = _open(directory)
    issued = authority.add(name, role="operator" if operator else "node", days=days, out=out)
    _tell_issued("cluster add", issued, as_json=as_json)


@app.command()
def rotate(
    name: Name,
    days: Days = 365,
    out: Out = None,
    revoke: Annotated[
        bool, typer.Option("--revoke", help="The old certificate holds no more: it was stolen.")
    ] = False,
    node: Nodes = None,
    offline: Offline = False,
    directory: Folder = None,
    as_json: Json = False,
) -> None:
    """A new key and certificate for NAME, in a new file; the old one is good until it expires."""
    authority = _open(directory)
    addresses = _addresses(node)
    issued = authority.rotate(name, days=days, out=out, revoke=revoke)
    told = _push(authority, addresses, offline=offline) if revoke else []
    _tell_issued("cluster rotate", issued, told, as_json=as_json, revoked=revoke)


@app.command()
def remove(
    name: Name,
    node: Nodes = None,
    offline: Offline = False,
    directory: Folder = None,
    as_json: Json = False,
) -> None:
    """Take NAME out of the cluster, and tell every node that answers; they tell the others."""
    from edgesdk.cluster.documents import RemovedDocument

    authority = _open(directory)
    addresses = _addresses(node)
    entry = authority.remove(name)
    told = _push(authority, addresses, offline=offline)
    assert entry.removed is not None
    document = RemovedDocument(
        node=name,
        number=entry.number,
        removed=entry.removed,
        revocations=authority.registry.list_number,
        told=told,
    )
    if as_json:
        _print(document)
        return
    _say(f"{name} (number {entry.number}) is removed, as of revocation list {document.revocations}")
    _tell_pushed(told, offline=offline)


def _open(directory: Path | None) -> Authority:
    from edgesdk.cluster.authority import Authority, default_folder

    return Authority(default_folder() if directory is None else directory)


def _addresses(nodes: list[str] | None) -> list[tuple[str, int]]:
    from edgesdk.cluster.control import parse_address

    return [parse_address(text) for text in nodes or ()]


def _push(
    authority: Authority, addresses: list[tuple[str, int]], *, offline: bool
) -> list[PushRow]:
    from edgesdk.cluster.identity import Identity
    from edgesdk.cluster.pushing import find_nodes, push

    if offline:
        return []
    operator = Identity.load(authority.operator_bundle)
    found = find_nodes(operator, _LOOK_SECONDS)
    return push(operator, list(dict.fromkeys([*addresses, *found])), authority.revoked_der)


def _tell_issued(
    command: Any,
    issued: Issued,
    told: list[PushRow] | None = None,
    *,
    as_json: bool,
    revoked: bool = False,
) -> None:
    from edgesdk.cluster.documents import IssuedDocument

    subject = issued.subject
    document = IssuedDocument(
        command=command,
        node=subject.node_id,
        number=subject.number,
        role=subject.role,
        bundle=str(issued.bundle),
        expires=issued.expires,
        revoked=revoked,
        told=told or [],
    )
    if as_json:
        _print(document)
        return
    _say(
        f"{subject.role} {subject.node_id}, number {subject.number}, until "
        f"{issued.expires:%Y-%m-%d}: {issued.bundle}"
    )
    if subject.role == "node":
        _say('copy it to the node, keep its mode 0600, and name it in [cluster] bundle = "..."')
    if revoked:
        _tell_pushed(document.told, offline=False)


def _tell_pushed(told: list[PushRow], *, offline: bool) -> None:
    for row in told:
        _say(f"  {row.error}" if row.error else f"  {row.node} at {row.address} knows")
    if not any(not row.error for row in told):
        why = "none was told (--offline)" if offline else "none answered"
        _say(
            f"  of the nodes {why}: until one is told, all go on trusting it; run it again with "
            "--node HOST:PORT, or put a new bundle on a node"
        )


def _say(text: str) -> None:
    print(text, file=sys.stderr)


def _print(document: Any) -> None:
    from edgesdk.records import encode_line

    sys.stdout.buffer.write(encode_line(document))
    sys.stdout.flush()
