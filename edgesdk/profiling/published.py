"""A profile from published figures, for hardware that one does not have."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import msgspec

from edgesdk import __version__
from edgesdk.errors import ConfigError
from edgesdk.planner.estimation import published_fit
from edgesdk.profiling.document import FitDocument, Profile, ResolutionProfile, Run
from edgesdk.toml.structs import Mistakes, read_struct

__all__ = ["read_published"]

_MAX_BYTES = 1 << 20

Amount = Annotated[
    float, msgspec.Meta(ge=0, le=1e6, description="an amount of one stream, 0 or more")
]
Words = Annotated[str, msgspec.Meta(min_length=1, max_length=1024, description="a text")]


class Figure(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """``[[figures]]``: one stream's needs at one rate: cores, GB, share of the accelerator."""

    resolution: Annotated[
        str,
        msgspec.Meta(
            pattern=r"^[1-9][0-9]{0,4}x[1-9][0-9]{0,4}\Z", description='a size such as "1280x720"'
        ),
    ]
    fps: Annotated[
        float, msgspec.Meta(gt=0, le=1000, description="a rate above 0, to 1000, such as 10")
    ]
    cpu: Amount = 0.0
    memory: Amount = 0.0
    accelerator: Amount = 0.0


class PublishedFigures(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What ``edgesdk profile --published`` reads. *source* says who published it, where and when;
    *machine* is what a machine pays once, whatever its streams."""

    schema: Annotated[int, msgspec.Meta(ge=1, le=1, description="1")] = 1
    source: Words
    device: Words
    applications: Annotated[tuple[Words, ...], msgspec.Meta(description="a list of texts")] = ()
    machine_cpu: Amount = 0.0
    machine_memory: Amount = 0.0
    figures: tuple[Figure, ...]


def read_published(file: Path) -> Profile:
    """The profile that the figures in *file* (TOML) make. Raises ConfigError with every mistake."""
    try:
        data = file.read_bytes()[: _MAX_BYTES + 1]
        text = data.decode()
    except OSError as error:
        raise ConfigError(f"{file}: {error.strerror}: expected published figures") from None
    except UnicodeDecodeError:
        raise ConfigError(f"{file}: not UTF-8: expected published figures in TOML") from None
    if len(data) > _MAX_BYTES:
        raise ConfigError(f"{file}: over {_MAX_BYTES} bytes: expected published figures")
    found = read_struct(text, PublishedFigures, file=str(file), check=_check)
    sizes = dict.fromkeys(figure.resolution for figure in found.figures)
    return Profile(
        applications=found.applications,
        operators=(),
        device_class=found.device,
        evidence="published",
        source=found.source,
        edgesdk=__version__,
        resolutions=tuple(_resolution(found, size) for size in sizes),
    )


def _check(found: PublishedFigures, mistakes: Mistakes) -> None:
    if not found.figures:
        mistakes.add(("figures",), "figures: expected at least one [[figures]] table")


def _resolution(found: PublishedFigures, size: str) -> ResolutionProfile:
    mine = [figure for figure in found.figures if figure.resolution == size]
    fit = published_fit(
        [(f.fps, f.cpu, f.memory * 1e9, f.accelerator) for f in mine],
        machine=(found.machine_cpu, found.machine_memory * 1e9),
    )
    width, _, height = size.partition("x")
    return ResolutionProfile(
        width=int(width),
        height=int(height),
        source_fps=0.0,
        runs=tuple(
            Run(
                streams=1,
                fps=f.fps,
                cpu=f.cpu,
                memory=int(f.memory * 1e9),
                accelerator=f.accelerator,
                eta=1.0,
            )
            for f in mine
        ),
        fit=FitDocument(**{name: getattr(fit, name) for name in FitDocument.__struct_fields__}),
    )
