"""``edgesdk demo``: a real detector watches a real video, in one line."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer

from edgesdk.errors import SinkError, UsageError

app = typer.Typer(add_completion=False, rich_markup_mode=None)

_SECONDS = 30.0


@app.command(context_settings={"help_option_names": ["-h", "--help"]})
def demo(
    out: Annotated[
        Path, typer.Option("--out", metavar="DIR", help="Where the results and the picture go.")
    ] = Path(),
    duration: Annotated[
        float, typer.Option("--duration", metavar="S", min=1, max=3600, help="Seconds to watch.")
    ] = _SECONDS,
    web: Annotated[
        str | None,
        typer.Option("--web", metavar="HOST:PORT", help="Serve metrics, health and a preview."),
    ] = None,
    as_json: Annotated[
        bool, typer.Option("--json", help="Print one JSON document at the end, and nothing else.")
    ] = False,
) -> None:
    """Watch a real video with a real detector: motion gate, person detector, tracker, count."""

    from edgesdk.cli.interrupts import interrupts
    from edgesdk.cli.live import in_background, run_until_done, telling
    from edgesdk.cli.run import check_written, run_settings
    from edgesdk.cli.summary import NOTHING, summary_lines
    from edgesdk.records import DemoSummary, encode_line

    results = _fresh_results(out)
    summary, crowd, picture = NOTHING, 0, None
    video: list[Path] = []
    with telling(quiet=as_json) as tell:
        begun = in_background(lambda: video.append(_fetch(tell)))
    if begun:
        from edgesdk.cli.street import CAMERA, MostCrowded, people
        from edgesdk.runtime import Node

        crowded = MostCrowded()
        watched = {CAMERA: f"file:{video[0]}?loop=1"}
        node = Node([people], watched, config=run_settings(web=web), out=results)
        node.observe(crowded.look)
        run_until_done(node, duration=duration, quiet=as_json)
        summary, crowd = node.summary(), crowded.people
        if crowded.picture is not None:
            picture = out / "most-crowded.jpg"
            _write(picture, crowded.picture)
    written = results if results.exists() else None
    if as_json:
        fields = {name: getattr(summary, name) for name in summary.__struct_fields__}
        del fields["command"], fields["schema"]
        document = DemoSummary(
            **fields,
            results=str(written) if written else None,
            picture=str(picture) if picture else None,
        )
        sys.stdout.buffer.write(encode_line(document))
        sys.stdout.flush()
        check_written(summary)
        return
    for line in summary_lines(summary):
        print(line)
    if written:
        print(f"results: {written}")
    if picture:
        print(f"the most crowded frame, {crowd} people: {picture}")
    if not interrupts.asked.is_set():
        print("next: edgesdk run people.py:people --camera door=rtsp://... (see the README)")
    check_written(summary)


def _fetch(tell: object) -> Path:
    """The detector and the video, from the cache or through the package clients."""
    from edgesdk.cli.interrupts import interrupts
    from edgesdk.cli.street import MODEL, VIDEO
    from edgesdk.errors import Cancelled
    from edgesdk.models import ModelRegistry

    def progress(what: str, done: int, total: int | None) -> None:
        if interrupts.asked.is_set():
            raise Cancelled("stopped while fetching")
        assert callable(tell)
        tell(f"fetching {what}", done / total if total else None)

    registry = ModelRegistry()
    registry.pull([registry.resolve(MODEL)], progress)
    return registry.asset(VIDEO, progress)


def _fresh_results(directory: Path) -> Path:
    """``results.jsonl`` in *directory*, which an earlier demo may have left, and nobody else."""
    path = directory / "results.jsonl"
    try:
        directory.mkdir(parents=True, exist_ok=True)
        if path.exists():
            with path.open("rb") as file:
                head = file.read(200)
            if head and b'"app":"people","camera":"street"' not in head:
                raise UsageError(
                    f"{path} is not an earlier demo's: it stays as it is; name a folder with --out"
                )
            path.unlink()
    except OSError as error:
        raise SinkError(f"{path}: {error.strerror}; name another folder with --out") from None
    return path


def _write(path: Path, data: bytes) -> None:
    try:
        path.write_bytes(data)
    except OSError as error:
        raise SinkError(f"{path}: {error.strerror}") from None
