"""``edgesdk profile``: what an application needs, measured on real frames."""

from __future__ import annotations

import re
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from edgesdk.errors import UsageError

if TYPE_CHECKING:
    from edgesdk.profiling import Profile

app = typer.Typer(add_completion=False, rich_markup_mode=None)

_BUSY = 0.25  # cores


@app.command(context_settings={"help_option_names": ["-h", "--help"]})
def profile(
    apps: Annotated[
        list[str] | None,
        typer.Argument(metavar="APP...", help="FILE.py:NAME; several are measured together."),
    ] = None,
    camera: Annotated[
        list[str] | None,
        typer.Option("--camera", metavar="NAME=URI", help="Real frames, of each resolution."),
    ] = None,
    fps: Annotated[
        list[float] | None,
        typer.Option("--fps", metavar="R", help="The desired rate; several fit a line. [5, 10]"),
    ] = None,
    seconds: Annotated[
        int, typer.Option("--seconds", metavar="S", help="Of each run, after warming up.")
    ] = 6,
    most: Annotated[int, typer.Option("--most", metavar="N", help="Cameras at once, at most.")] = 4,
    at: Annotated[
        list[str] | None,
        typer.Option("--at", metavar="FPS@WxH", help="Predict one stream's needs at that."),
    ] = None,
    config: Annotated[
        Path | None, typer.Option("--config", metavar="FILE", help="Its [node] and [emulated].")
    ] = None,
    out: Annotated[
        Path | None, typer.Option("--out", metavar="FILE", help="Write the profile here too.")
    ] = None,
    published: Annotated[
        Path | None,
        typer.Option(
            "--published", metavar="FILE", help="Measure nothing: take these published figures."
        ),
    ] = None,
    fresh: Annotated[
        bool, typer.Option("--fresh", help="Measure, though it was measured before.")
    ] = False,
    as_json: Annotated[
        bool, typer.Option("--json", help="Print one JSON document, and nothing else.")
    ] = False,
) -> None:
    """Measure what applications need: CPU, memory, accelerator, by frame rate and resolution."""
    import msgspec

    from edgesdk.records import encode_line

    rates = sorted(set(fps or (5.0, 10.0)))
    if not all(0 < rate <= 1000 for rate in rates):
        raise UsageError(f"--fps is {min(rates):g}; expected a rate above 0, to 1000")
    for option, value, least in (("--seconds", seconds, 2), ("--most", most, 1)):
        if value < least:
            raise UsageError(f"{option} is {value}; expected {least} or more")
    wanted = [_parse_at(text) for text in at or ()]
    if published is not None:
        from edgesdk.profiling.published import read_published

        if apps or camera:
            raise UsageError("--published measures nothing: it goes with no APP and no --camera")
        found = read_published(published)
    elif not apps or not camera:
        raise UsageError("an APP and a --camera are wanted, or --published FILE")
    else:
        found = measured(apps, camera, rates, seconds, most, config, fresh)
    found = msgspec.structs.replace(
        found, predictions=tuple(found.predict(*place) for place in wanted)
    )
    if out is not None:
        try:
            out.write_bytes(encode_line(found))
        except OSError as error:
            raise UsageError(f"--out {out}: {error.strerror}") from None
    if as_json:
        sys.stdout.buffer.write(encode_line(found))
        sys.stdout.flush()
    else:
        _show(found)


def measured(
    apps: list[str],
    camera: list[str],
    rates: list[float],
    seconds: int,
    most: int,
    config: Path | None,
    fresh: bool,
) -> Profile:
    """The test run. Minutes."""
    from edgesdk.cli.run import named_cameras
    from edgesdk.config import load_config
    from edgesdk.profiling import TestRun
    from edgesdk.runtime.paths import cache_directory

    node = load_config(config).node if config is not None else None
    return TestRun(
        apps=apps,
        cameras=named_cameras(camera),
        fps=rates,
        seconds=seconds,
        most=most,
        config=None if config is None else str(config),
        cache=_profiles(cache_directory(node)) if node else _profiles(None),
        fresh=fresh,
        told=lambda text: print(text, file=sys.stderr),
    ).measure()


def _profiles(cache: Path | None) -> Path:
    from edgesdk.config import NodeConfig
    from edgesdk.runtime.paths import cache_directory

    return (cache or cache_directory(NodeConfig())) / "profiles"


def _parse_at(text: str) -> tuple[float, int, int]:
    match = re.fullmatch(r"(\d{1,4}(?:\.\d+)?)@(\d{1,5})x(\d{1,5})", text)
    if match is None or not (float(match[1]) and int(match[2]) and int(match[3])):
        raise UsageError(f"--at {text!r}: expected FPS@WIDTHxHEIGHT, such as 7.5@960x540")
    return float(match[1]), int(match[2]), int(match[3])


def _show(found: Profile) -> None:
    print(f"{', '.join(found.applications)} on {found.device_class}")
    if found.evidence == "stand-in":
        print("an emulated accelerator stands in for one that is not there")
    elif found.evidence == "published":
        print(f"published figures, not measured here: {found.source}")
    if found.shared:
        print(f"counted once for several applications: {', '.join(found.shared)}")
    for one in found.resolutions:
        fit = one.fit
        print(f"{one.width}x{one.height}{', measured before' if one.cached else ''}:")
        print(
            f"  a stream    {fit.cpu_fixed:.4f} + {fit.cpu_per_frame:.5f} x fps cores, "
            f"{fit.memory / 1e6:.1f} MB, {fit.accelerator_per_frame:.5f} x fps of an accelerator"
        )
        print(f"  a machine   {fit.cpu_shared:.4f} cores, {fit.memory_shared / 1e6:.0f} MB once")
        print(
            f"  the fit is off by at most {fit.cpu_error:.1%} (CPU), {fit.memory_error:.1%} "
            f"(memory); changing content moved the CPU of a second by {fit.content_variation:.0%}"
        )
    others = max((run.others for one in found.resolutions for run in one.runs), default=0.0)
    if others > _BUSY:
        print(
            f"others used up to {others:.1f} cores of this machine meanwhile: a frame costs more "
            "CPU then, by 15 % or so; measure again when it is quiet"
        )
    for guess in found.predictions:
        print(
            f"{guess.fps:g} fps at {guess.width}x{guess.height} ({guess.basis}): {guess.cpu:.3f} "
            f"cores, {guess.memory / 1e6:.1f} MB, accelerator {guess.accelerator:.1%}; alone on a "
            f"machine {guess.machine_cpu + guess.cpu:.3f} cores, "
            f"{(guess.machine_memory + guess.memory) / 1e6:.0f} MB"
        )
