"""``edgesdk bench``: how fast this machine is, model by model and device by device."""

from __future__ import annotations

import sys
from typing import Annotated, Literal

import msgspec
import typer

from edgesdk.cli.timing import CodecRow, Failure, ModelRow, RingRow, SchedulerRow

__all__ = ["BenchDocument"]

app = typer.Typer(add_completion=False, rich_markup_mode=None)


class BenchDocument(msgspec.Struct, frozen=True, kw_only=True):
    """What ``edgesdk bench --json`` prints; *load_average* tells of a machine that was busy."""

    schema: Literal[1] = 1
    command: Literal["bench"] = "bench"
    edgesdk: str
    processor: str
    cores: int
    load_average: float
    models: list[ModelRow]
    codecs: list[CodecRow]
    failures: list[Failure]
    ring: RingRow
    scheduler: SchedulerRow


@app.command()
def bench(
    models: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="[MODEL...]",
            help="Models by reference, or files (.onnx .tflite .xml .pb); default: all that are "
            "on this machine.",
        ),
    ] = None,
    backend: Annotated[
        list[str] | None, typer.Option("--backend", metavar="NAME", help="Only this backend.")
    ] = None,
    device: Annotated[
        list[str] | None, typer.Option("--device", metavar="NAME", help="Only this device.")
    ] = None,
    batches: Annotated[
        str, typer.Option("--batches", metavar="N,N...", help="Batch sizes to measure.")
    ] = "1,2,4",
    threads: Annotated[
        int, typer.Option("--threads", min=0, help="Threads of a session; 0: all cores.")
    ] = 0,
    precision: Annotated[
        str, typer.Option("--precision", help="exact (float32 stays so) or fast.")
    ] = "exact",
    seconds: Annotated[
        float, typer.Option("--seconds", min=0.01, max=600, help="For each measurement.")
    ] = 2.0,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON document.")] = False,
) -> None:
    """Measure models on every backend and device of this machine, and the way to them.

    Times are of whole batches; a batch size that a device computes wrongly is left out. Measure
    on a machine that does nothing else.
    """
    import os

    from edgesdk import __version__
    from edgesdk.cli import timing
    from edgesdk.errors import BackendUnavailable, EdgeError, UsageError
    from edgesdk.inference import LoadOptions
    from edgesdk.inference.host import cores, processor
    from edgesdk.records import encode_line

    try:
        sizes = tuple(sorted({int(part) for part in batches.split(",")}))
    except ValueError:
        raise UsageError(f"--batches {batches!r}: numbers with commas are wanted: 1,2,4") from None
    if not sizes or sizes[0] < 1 or sizes[-1] > 256:
        raise UsageError(f"--batches {batches!r}: sizes from 1 to 256 are wanted")
    if precision not in ("exact", "fast"):
        raise UsageError(f"--precision {precision!r}: exact or fast is wanted")
    options = LoadOptions(threads, sizes, "exact" if precision == "exact" else "fast")

    chosen = timing.subjects(models or [])
    places = list(timing.places(backend or [], device or []))
    if chosen and not places:
        raise BackendUnavailable(
            "no such backend or device works here; see: edgesdk doctor", reason="package"
        )
    rows: list[ModelRow] = []
    codecs: dict[str, CodecRow] = {}
    failures: list[Failure] = []

    def told(words: str) -> None:
        if sys.stderr.isatty():
            print(f"\r\x1b[K{words}", end="", file=sys.stderr, flush=True)

    load = os.getloadavg()[0]
    for subject in chosen:
        for where, name in places:
            if not where.supports(subject.file, name):
                continue
            try:
                more, codec = timing.measure(subject, where, name, options, seconds, told)
            except EdgeError as error:
                failures.append(timing.failure(subject, where, name, error))
                continue
            rows += more
            for row in codec:
                codecs.setdefault(row.model, row)
    told("ring and scheduler")
    document = BenchDocument(
        edgesdk=__version__,
        processor=processor(),
        cores=cores(),
        load_average=round(load, 2),
        models=rows,
        codecs=list(codecs.values()),
        failures=failures,
        ring=timing.ring(min(seconds, 1.0)),
        scheduler=timing.scheduler(min(seconds, 1.0)),
    )
    told("")
    if as_json:
        sys.stdout.buffer.write(encode_line(document))
        sys.stdout.flush()
    else:
        _show(document)
    if failures and not rows:
        raise typer.Exit(4)


def _show(document: BenchDocument) -> None:
    from rich.console import Console
    from rich.table import Table

    console = Console()
    console.print(
        f"edgesdk {document.edgesdk} on {document.processor}, {document.cores} cores, "
        f"load average {document.load_average} before",
        highlight=False,
    )
    if document.models:
        table = Table(box=None, padding=(0, 2, 0, 0))
        for name in ("model", "on", "threads", "batch", "p50 ms", "p99 ms", "a second", "load ms"):
            table.add_column(name, justify="left" if name in ("model", "on") else "right")
        for row in document.models:
            table.add_row(
                row.model,
                f"{row.backend}:{row.executed_on} {row.precision}",
                str(row.threads),
                str(row.batch),
                f"{row.p50_ms:.2f}",
                f"{row.p99_ms:.2f}",
                f"{row.items_per_second:.1f}",
                f"{row.load_ms:.0f}",
            )
        console.print(table)
    else:
        console.print("No model was measured; get one with: edgesdk models pull person-ssdlite")
    for codec in document.codecs:
        console.print(
            f"{codec.model}: 1080p frame to input {codec.encode_p50_ms:.2f} ms, "
            f"outputs to values {codec.decode_p50_ms:.2f} ms",
            highlight=False,
        )
    for failed in document.failures:
        console.print(
            f"{failed.model} on {failed.backend}:{failed.device}: {failed.message}", markup=False
        )
    console.print(
        f"ring from Python: push {document.ring.push_ns / 1000:.1f} us, "
        f"take {document.ring.take_ns / 1000:.1f} us a 1080p frame",
        highlight=False,
    )
    console.print(
        f"scheduler from Python: {document.scheduler.job_ns / 1000:.1f} us a job, with "
        f"{document.scheduler.streams} streams",
        highlight=False,
    )
