"""``edgesdk graph``: an application's graph, and what several of them share."""

from __future__ import annotations

import contextlib
import sys
from typing import Annotated

import typer

app = typer.Typer(add_completion=False, rich_markup_mode=None)


@app.command()
def graph(
    applications: Annotated[
        list[str], typer.Argument(metavar="FILE.py:NAME...", help="One application or more.")
    ],
    camera: Annotated[
        list[str] | None,
        typer.Option("--camera", metavar="NAME", help="A camera's name; repeat for several."),
    ] = None,
    mermaid: Annotated[bool, typer.Option("--mermaid", help="Print a Mermaid flowchart.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON document.")] = False,
) -> None:
    """Show an application's graph, and what is shared where several are given.

    Applications are compiled as they are for a run: mistakes are found and models looked up, but
    nothing is opened or loaded. Operators that several applications share are marked.
    """
    from edgesdk.errors import UsageError
    from edgesdk.graph import compile_applications, load_application
    from edgesdk.graph.application import Application
    from edgesdk.graph.drawing import as_document, as_mermaid, as_text
    from edgesdk.models import ModelRegistry
    from edgesdk.records import encode_line

    if mermaid and as_json:
        raise UsageError("--mermaid and --json: choose one")

    def cameras_of(application: Application[object]) -> list[str]:
        if camera:
            named = [name.partition("=")[0] for name in camera]  # NAME=URI, as for a run, will do
            wanted = [name for name in named if application.wants(name)]
            if not wanted:
                listed = ", ".join(application.cameras or ())
                raise UsageError(
                    f"{application.name} wants cameras {listed}, and none of {', '.join(named)}"
                )
            return wanted
        named = [c for c in application.cameras or () if not set(c) & set("*?[")]
        return named or ["camera"]

    with contextlib.redirect_stdout(sys.stderr):  # what the user's file prints is no document
        loaded = [load_application(address) for address in dict.fromkeys(applications)]
        pairs = [(application, name) for application in loaded for name in cameras_of(application)]
        plan = compile_applications(pairs, ModelRegistry().resolve)
    if as_json:
        typer.echo(encode_line(as_document(plan)), nl=False)
    else:
        typer.echo(as_mermaid(plan) if mermaid else as_text(plan))
