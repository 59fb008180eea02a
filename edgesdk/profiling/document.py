"""The profile of a graph: a document that the planner reads, and people."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Literal

import msgspec

from edgesdk.errors import ConfigError, UsageError
from edgesdk.planner.estimation import Fit, Measurement, Needs, fit_together, interpolate

__all__ = ["Profile", "ResolutionProfile", "load_profile"]

MAX_FILE_BYTES = 8 << 20
_EXPECTED = "a profile, as `edgesdk profile --json` prints it"

Basis = Literal["measured", "published", "interpolated"]
Amount = Annotated[float, msgspec.Meta(ge=0)]
Count = Annotated[int, msgspec.Meta(ge=0)]


class Run(msgspec.Struct, frozen=True, kw_only=True):
    """One run; see :class:`~edgesdk.planner.estimation.Measurement` for the units. *others*: cores
    that the rest of the machine used meanwhile."""

    streams: Annotated[int, msgspec.Meta(ge=1)]
    fps: Annotated[float, msgspec.Meta(gt=0)]
    cpu: Amount
    memory: Count
    accelerator: Amount
    eta: Annotated[float, msgspec.Meta(ge=0, le=1)]
    cpu_seconds: tuple[Amount, ...] = ()
    others: Amount = 0.0

    def measurement(self) -> Measurement:
        known = Measurement.__dataclass_fields__
        return Measurement(**{name: getattr(self, name) for name in known})


class FitDocument(msgspec.Struct, frozen=True, kw_only=True):
    """See :class:`~edgesdk.planner.estimation.Fit`."""

    cpu_shared: Amount
    cpu_fixed: Amount
    cpu_per_frame: Amount
    memory_shared: Amount
    memory: Amount
    accelerator_per_frame: Amount
    cpu_error: Amount
    memory_error: Amount
    content_variation: Amount


class ResolutionProfile(msgspec.Struct, frozen=True, kw_only=True):
    """What was measured at one resolution. *source_fps*: frames a second that were decoded.

    *cached*: taken from an earlier test run of the same operators on the same kind of device.
    """

    width: Annotated[int, msgspec.Meta(ge=1)]
    height: Annotated[int, msgspec.Meta(ge=1)]
    source_fps: Amount
    runs: tuple[Run, ...]
    fit: FitDocument
    cached: bool = False

    @classmethod
    def of(
        cls, size: tuple[int, int], source_fps: float, runs: tuple[Run, ...]
    ) -> ResolutionProfile:
        """Fits *runs*. Raises UsageError where the machine kept up with none of them."""
        (found,) = fit_together([[run.measurement() for run in runs]])
        return cls(
            width=size[0], height=size[1], source_fps=source_fps, runs=runs, fit=_said(found)
        )

    @staticmethod
    def together(found: Sequence[ResolutionProfile]) -> tuple[ResolutionProfile, ...]:
        """Fitted anew, all of one application at once: see ``planner.estimation.fit_together``."""
        fits = fit_together([[run.measurement() for run in one.runs] for one in found])
        return tuple(
            msgspec.structs.replace(one, fit=_said(fitted))
            for one, fitted in zip(found, fits, strict=True)
        )

    def needs(self, fps: float) -> Needs:
        return Fit(**msgspec.structs.asdict(self.fit)).needs(fps)


def _said(found: Fit) -> FitDocument:
    return FitDocument(**{name: getattr(found, name) for name in FitDocument.__struct_fields__})


class Prediction(msgspec.Struct, frozen=True, kw_only=True):
    """One stream's needs: cores, bytes, share of one accelerator.

    A machine that runs n of them needs *machine_cpu* + n x *cpu*, and so of memory.
    *basis*: ``measured`` or ``published`` (for that resolution), or ``interpolated`` between two.
    """

    fps: Amount
    width: Count
    height: Count
    cpu: Amount
    memory: Amount
    accelerator: Amount
    machine_cpu: Amount = 0.0
    machine_memory: Amount = 0.0
    basis: Basis


class Profile(msgspec.Struct, frozen=True, kw_only=True):
    """What ``edgesdk profile --json`` prints.

    *applications* were measured together on each camera; *shared* names the operators that serve
    more than one of them and were therefore counted once. *evidence* is ``stand-in`` where an
    accelerator was emulated, ``published`` where nothing ran here and *source* says who published
    the figures.
    """

    schema: Literal[1] = 1
    command: Literal["profile"] = "profile"
    applications: tuple[str, ...]
    operators: tuple[str, ...]
    shared: tuple[str, ...] = ()
    device_class: str
    executed_on: tuple[str, ...] = ()
    evidence: Literal["real", "stand-in", "published"] = "real"
    source: str = ""
    edgesdk: str
    resolutions: tuple[ResolutionProfile, ...]
    predictions: tuple[Prediction, ...] = ()
    seconds: Amount = 0.0

    def predict(self, fps: float, width: int, height: int) -> Prediction:
        """What a stream of *width* x *height* analysed at *fps* needs.

        A resolution that was not measured lies on the line through the two nearest that were.
        Raises UsageError where only one was.
        """
        known_as: Basis = "published" if self.evidence == "published" else "measured"
        for measured in self.resolutions:
            if (measured.width, measured.height) == (width, height):
                return _prediction(measured.needs(fps), fps, width, height, known_as, measured.fit)
        pixels = width * height
        by_pixels = {r.width * r.height: r for r in self.resolutions}
        if len(by_pixels) < 2:
            known = ", ".join(f"{r.width}x{r.height}" for r in self.resolutions) or "none"
            raise UsageError(
                f"{width}x{height} was not measured ({known} was), and a line needs two "
                "resolutions: add a camera of another one with --camera"
            )
        low, high = sorted(sorted(by_pixels, key=lambda known: abs(known - pixels))[:2])
        needs = interpolate(
            (low, by_pixels[low].needs(fps)), (high, by_pixels[high].needs(fps)), pixels
        )
        return _prediction(needs, fps, width, height, "interpolated", by_pixels[high].fit)


def load_profile(path: str | Path) -> Profile:
    """What ``edgesdk profile --json`` wrote. Raises ConfigError, which names the field."""
    try:
        with Path(path).open("rb") as stream:
            data = stream.read(MAX_FILE_BYTES + 1)
    except OSError as error:
        raise ConfigError(f"{path}: {error.strerror}: expected {_EXPECTED}") from None
    if len(data) > MAX_FILE_BYTES:
        raise ConfigError(f"{path}: over {MAX_FILE_BYTES} bytes: expected {_EXPECTED}")
    try:
        return msgspec.json.decode(data, type=Profile)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path}: {error}: expected {_EXPECTED}") from None


def _prediction(
    needs: Needs, fps: float, width: int, height: int, basis: Basis, machine: FitDocument
) -> Prediction:
    return Prediction(
        fps=fps,
        width=width,
        height=height,
        cpu=needs.cpu,
        memory=needs.memory,
        accelerator=needs.accelerator,
        machine_cpu=machine.cpu_shared,
        machine_memory=machine.memory_shared,
        basis=basis,
    )
