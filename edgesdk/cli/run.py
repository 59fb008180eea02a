"""``edgesdk run``: applications on cameras, until they end, or somebody says so."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from edgesdk.errors import CaptureError, SinkError, UsageError

if TYPE_CHECKING:
    from edgesdk.config import Config
    from edgesdk.records import DemoSummary, RunSummary
    from edgesdk.runtime import Node

app = typer.Typer(add_completion=False, rich_markup_mode=None)


@app.command(context_settings={"help_option_names": ["-h", "--help"]})
def run(
    apps: Annotated[
        list[str] | None,
        typer.Argument(metavar="[APP]...", help="FILE.py:NAME or package.module:NAME."),
    ] = None,
    camera: Annotated[
        list[str] | None,
        typer.Option("--camera", metavar="NAME=URI", help="A camera; may be given many times."),
    ] = None,
    config: Annotated[
        Path | None, typer.Option("--config", metavar="FILE", help="A TOML file; see the docs.")
    ] = None,
    out: Annotated[
        Path | None,
        typer.Option("--out", metavar="FILE", help="Append each result here, as a JSON line."),
    ] = None,
    duration: Annotated[
        float | None, typer.Option("--duration", metavar="S", help="End after S seconds.")
    ] = None,
    frames: Annotated[
        int | None, typer.Option("--frames", metavar="N", help="End after N frames a camera.")
    ] = None,
    web: Annotated[
        str | None,
        typer.Option("--web", metavar="HOST:PORT", help="Serve metrics, health and previews."),
    ] = None,
    state: Annotated[
        Path | None, typer.Option("--state", metavar="DIR", help="Where outboxes are kept.")
    ] = None,
    as_json: Annotated[
        bool, typer.Option("--json", help="Print one JSON document at the end, and nothing else.")
    ] = False,
    verbose: Annotated[bool, typer.Option("--verbose", "-v", help="Tell more.")] = False,
) -> None:
    """Run applications on cameras."""
    from edgesdk.cli.background import in_background
    from edgesdk.cli.live import run_until_done
    from edgesdk.cli.summary import NOTHING, summary_lines
    from edgesdk.log import log_to_stderr
    from edgesdk.records import encode_line

    _check_positive("--duration", duration)
    _check_positive("--frames", frames)
    if verbose:
        log_to_stderr(verbose=True)
    settings = run_settings(config, state, web)
    named = named_cameras(camera or ())
    made: list[Node] = []

    def make() -> None:
        # Seconds of imports on a cold disk, and the user's own files are run.
        from edgesdk.runtime import Node

        made.append(Node(apps or (), named, config=settings, out=out, frames=frames))

    summary = NOTHING
    if in_background(make):
        run_until_done(made[0], duration=duration, quiet=as_json)
        summary = made[0].summary()
    if as_json:
        sys.stdout.buffer.write(encode_line(summary))
        sys.stdout.flush()
    else:
        for line in summary_lines(summary):
            print(line)
    check_written(summary)
    check_seen(summary)


def check_seen(summary: RunSummary) -> None:
    """Ends with the exit code of CaptureError where every camera ended without a frame."""
    cameras = summary.cameras.items()
    if cameras and all(camera.state == "ended" and not camera.frames for _, camera in cameras):
        for name, camera in cameras:
            print(f"error: camera {name} gave no frame: {camera.reason}", file=sys.stderr)
        raise typer.Exit(CaptureError.exit_code)


def check_written(summary: RunSummary | DemoSummary) -> None:
    """Ends with the exit code of SinkError where results have not reached their file."""
    for sink in summary.sinks.values():
        if sink.kind == "jsonl" and sink.pending + sink.discarded:
            lost = sink.pending + sink.discarded
            reason = sink.last_error or "there was no time"
            print(f"error: {lost} results are not in {sink.target}: {reason}", file=sys.stderr)
            raise typer.Exit(SinkError.exit_code)


def _check_positive(option: str, value: float | None) -> None:
    if value is not None and not value > 0:
        raise UsageError(f"{option} is {value:g}; expected a number above 0")


def named_cameras(given: Sequence[str]) -> dict[str, str]:
    from edgesdk.redaction import redact

    found: dict[str, str] = {}
    for text in given:
        name, equals, uri = text.partition("=")
        if not equals or not uri or not _is_name(name):
            raise UsageError(
                f"--camera {redact(text)!r}: expected NAME=URI, such as door=rtsp://host/stream"
            )
        if name in found:
            raise UsageError(f"--camera {name}: there are two cameras of this name")
        found[name] = uri
    return found


def _is_name(text: str) -> bool:
    import re

    return re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}", text) is not None


def run_settings(
    config: Path | None = None, state: Path | None = None, web: str | None = None
) -> Config:
    """The configuration file, if any, with what the command line says in its place."""
    import msgspec

    from edgesdk.config import Config, ListenAddress, load_config
    from edgesdk.listen import parse_listen

    settings = Config() if config is None else load_config(config)
    if state is not None:
        node = msgspec.structs.replace(settings.node, state=str(state))
        settings = msgspec.structs.replace(settings, node=node)
    if web is not None:
        parse_listen(web)
        listen = msgspec.structs.replace(settings.web, listen=ListenAddress(web))
        settings = msgspec.structs.replace(settings, web=listen)
    return settings
