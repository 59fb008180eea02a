"""``edgesdk demo``: four cameras share their detectors, in one line."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from edgesdk.errors import SinkError, UsageError

if TYPE_CHECKING:
    from collections.abc import Callable

    from edgesdk.cli.demo_cluster import DemoCluster
    from edgesdk.cli.demo_results import Collector
    from edgesdk.cluster.status import MemberStatus

app = typer.Typer(add_completion=False, rich_markup_mode=None)

_SECONDS = 40.0


@app.command(context_settings={"help_option_names": ["-h", "--help"]})
def demo(
    out: Annotated[
        Path, typer.Option("--out", metavar="DIR", help="Where the results and the picture go.")
    ] = Path(),
    duration: Annotated[
        float,
        typer.Option(
            "--duration",
            metavar="S",
            min=1,
            max=3600,
            help="Seconds to watch: half of them with the cluster, half without.",
        ),
    ] = _SECONDS,
    real: Annotated[
        bool,
        typer.Option("--real", help="The detector as fast as it runs, no emulated accelerators."),
    ] = False,
    web: Annotated[
        str | None,
        typer.Option("--web", metavar="HOST:PORT", help="Metrics, health, preview of one node."),
    ] = None,
    as_json: Annotated[
        bool, typer.Option("--json", help="Print one JSON document at the end, and nothing else.")
    ] = False,
) -> None:
    """Four nodes with a camera each find each other and share their detectors: motion gate, person
    detector, tracker, count. One camera gets a spike. Then the same without the cluster."""

    from edgesdk.cli.background import in_background
    from edgesdk.cli.demo_cluster import DemoCluster
    from edgesdk.cli.demo_results import Collector
    from edgesdk.cli.demo_summary import demo_lines, demo_summary
    from edgesdk.cli.interrupts import interrupts
    from edgesdk.cli.live import telling
    from edgesdk.cli.run import check_written, run_settings
    from edgesdk.cli.scenes import SCENES
    from edgesdk.records import encode_line
    from edgesdk.runtime.paths import cache_directory

    results = _fresh_results(out)
    cache = cache_directory(run_settings(web=web).node)
    with DemoCluster(list(SCENES), real=real, cache=cache, web=web) as cluster:
        collector = Collector({a.scene.name: a.results for a in cluster.agents}, results)
        try:
            with telling(quiet=as_json) as tell:
                ready = in_background(lambda: _film(cluster, duration / 2, tell))
            nodes = _run(cluster, collector, duration / 2, as_json) if ready else {}
        finally:
            cluster.stop()
            collector.poll()
            collector.close()
        picture = _picture(collector, cluster, out / "most-crowded.jpg")
        summary = demo_summary(cluster, collector, nodes, results=results, picture=picture)
    if as_json:
        sys.stdout.buffer.write(encode_line(summary))
        sys.stdout.flush()
        check_written(summary)
        return
    for line in demo_lines(summary):
        print(line)
    if not interrupts.asked.is_set():
        print("next: edgesdk run people.py:people --camera door=rtsp://... (see the README)")
    check_written(summary)


def _film(cluster: DemoCluster, seconds: float, tell: Callable[[str, float | None], None]) -> None:
    """Fetches the detector and the videos where the cache lacks them, and cuts the scenes."""
    from concurrent.futures import ThreadPoolExecutor

    from edgesdk.cli.interrupts import interrupts
    from edgesdk.cli.scenes import film
    from edgesdk.cli.street import MODEL
    from edgesdk.errors import Cancelled
    from edgesdk.models import ModelRegistry

    def progress(what: str, done: int, total: int | None) -> None:
        if interrupts.asked.is_set():
            raise Cancelled("stopped while fetching")
        tell(f"fetching {what}", done / total if total else None)

    registry = ModelRegistry()
    registry.pull([registry.resolve(MODEL)], progress)
    videos = [registry.asset(agent.scene.asset, progress) for agent in cluster.agents]
    tell("cutting the scenes", None)
    with ThreadPoolExecutor(2) as pool:
        works = []
        for agent, video in zip(cluster.agents, videos, strict=True):
            works.append(pool.submit(film, agent.scene, video, agent.still, 1.0, still=True))
            works.append(pool.submit(film, agent.scene, video, agent.video, seconds))
        for work in works:
            work.result()


def _run(
    cluster: DemoCluster, collector: Collector, half_s: float, quiet: bool
) -> dict[str, MemberStatus]:
    """Starts the nodes and lets them run; returns what each last told of itself."""
    from edgesdk.cli.background import in_background
    from edgesdk.cli.demo_run import Watch, await_members, run_halves
    from edgesdk.cli.live import telling

    cluster.start()
    with Watch(cluster.surveyor()) as watch:
        with telling(quiet) as tell:
            ready = in_background(lambda: await_members(cluster, watch, tell))
        if ready:
            run_halves(cluster, collector, watch, half_s=half_s, quiet=quiet)
        return dict(watch.newest)


def _picture(collector: Collector, cluster: DemoCluster, path: Path) -> Path | None:
    """Draws the frame with the most people: its place in its scene is its sequence number."""
    crowd = collector.crowd
    if crowd is None:
        return None
    from edgesdk.cli.scenes import picture_of
    from edgesdk.snapshot import PreviewFrame
    from edgesdk.web.drawing import draw

    agent = next(a for a in cluster.agents if a.scene.name == crowd.camera)
    pixels = picture_of(agent.video, crowd.sequence - 1)
    frame = PreviewFrame(0, crowd.sequence, 0, pixels, {"people.tracks": crowd.detections()})
    _write(path, draw(frame))
    return path


def _fresh_results(directory: Path) -> Path:
    """``results.jsonl`` in *directory*, which an earlier demo may have left, and nobody else."""
    from edgesdk.cli.scenes import SCENES

    ours = [f'"app":"people","camera":"{scene.name}"'.encode() for scene in SCENES]
    path = directory / "results.jsonl"
    try:
        directory.mkdir(parents=True, exist_ok=True)
        if path.exists():
            with path.open("rb") as file:
                head = file.read(200)
            if head and not any(mark in head for mark in ours):
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
