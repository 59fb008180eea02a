"""``edgesdk demo``: a real detector watches a real video, in one line."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

import edgesdk as edge
from edgesdk.errors import SinkError, UsageError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from edgesdk.graph.frames import FrameInfo, FrameView
    from edgesdk.runtime.outlet import Delivery

app = typer.Typer(add_completion=False, rich_markup_mode=None)

_CAMERA = "street"
_VIDEO = "bikes.mp4"
_MODEL = "person-ssdlite"
_SECONDS = 30.0


@edge.app(deadline="500ms")
def people(camera: edge.Camera) -> dict[str, object]:
    """People in view, and how many there have been."""
    moving = camera.sample(fps=10).gate(threshold=0.004)
    tracks = moving.detect(_MODEL, classes=["person"], score=0.4).track(high=0.4, start=0.5)
    return {"tracks": tracks, "people": tracks.count()}


class MostCrowded:
    """Keeps the frame with the most people, boxes drawn; called on the node's thread."""

    def __init__(self) -> None:
        self.people = -1
        self.picture: bytes | None = None

    def look(
        self, camera: str, info: FrameInfo, view: FrameView, results: Sequence[Delivery]
    ) -> None:
        for result in results:
            tracks = (result.values or {}).get("tracks")
            if isinstance(tracks, edge.Detections) and len(tracks) > self.people:
                self._keep(info, view, tracks)

    def _keep(self, info: FrameInfo, view: FrameView, tracks: edge.Detections) -> None:
        from edgesdk.snapshot import PreviewFrame
        from edgesdk.web.drawing import draw

        self.people = len(tracks)
        self.picture = draw(
            PreviewFrame(
                info.incarnation,
                info.sequence,
                info.capture_utc_ns,
                view.image,
                {"people.tracks": tracks},
            )
        )


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
    from edgesdk.cli.summary import summary_lines
    from edgesdk.log import log_to_stderr
    from edgesdk.records import DemoSummary, encode_line
    from edgesdk.runtime import Node

    log_to_stderr(verbose=False)
    results = _fresh_results(out)
    video: list[Path] = []
    with telling(quiet=as_json) as tell:
        fetched = in_background(lambda: video.append(_fetch(tell)))
    crowded = MostCrowded()
    if fetched:
        node = Node(
            [people],
            {_CAMERA: f"file:{video[0]}?loop=1"},
            config=run_settings(web=web),
            out=results,
        )
        node.observe(crowded.look)
        run_until_done(node, duration=duration, quiet=as_json)
        summary = node.summary()
    else:
        summary = Node([people], {_CAMERA: f"file:{_VIDEO}"}).summary()
    picture = out / "most-crowded.jpg" if crowded.picture else None
    if picture is not None and crowded.picture is not None:
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
        print(f"the most crowded frame, {crowded.people} people: {picture}")
    if not interrupts.asked.is_set():
        print("next: edgesdk run people.py:people --camera door=rtsp://... (see the README)")
    check_written(summary)


def _fetch(tell: object) -> Path:
    """The detector and the video, from the cache or through the package clients."""
    from edgesdk.cli.interrupts import interrupts
    from edgesdk.errors import Cancelled
    from edgesdk.models import ModelRegistry

    def progress(what: str, done: int, total: int | None) -> None:
        if interrupts.asked.is_set():
            raise Cancelled("stopped while fetching")
        assert callable(tell)
        tell(f"fetching {what}", done / total if total else None)

    registry = ModelRegistry()
    registry.pull([registry.resolve(_MODEL)], progress)
    return registry.asset(_VIDEO, progress)


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
