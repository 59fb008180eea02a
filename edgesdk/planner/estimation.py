"""What one stream needs, estimated from a test run.

The model is that of Kaseb et al., "Cloud Resource Management for Analyzing Big Real-Time Visual
Data from Network Cameras" (IEEE TCC 2017): CPU is linear in the frame rate, memory is constant.
Two things are added: what a machine pays once, however many streams it has (the agent, a loaded
model), is told apart from what each stream adds; and what a stream costs per frame of its source
(decoding) from what it costs per analysed frame.

Everything here is pure. CPU is in cores, memory in bytes, accelerator in the share of one
accelerator that is busy, rates in frames a second.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from edgesdk.errors import UsageError

__all__ = [
    "Fit",
    "Measurement",
    "Needs",
    "fit",
    "further_runs",
    "has_settled",
    "interpolate",
    "per_stream",
    "published_fit",
]

SATURATED_ETA = 0.95
_TELLING_ETA = 0.5
_SETTLED = 0.05


@dataclass(frozen=True, slots=True)
class Measurement:
    """One test run: *streams* cameras of one resolution at once, each analysed at *fps*.

    cpu, memory and accelerator are of the machine, all streams together; cpu_seconds: cpu in each
    second of the run, in order. eta: actual over desired rate, mean over the cameras.
    """

    streams: int
    fps: float
    cpu: float
    memory: int
    accelerator: float
    eta: float
    cpu_seconds: tuple[float, ...] = ()


@dataclass(frozen=True, slots=True)
class Needs:
    """What one stream adds to a machine: cores, bytes, share of an accelerator."""

    cpu: float
    memory: float
    accelerator: float


@dataclass(frozen=True, slots=True)
class Fit:
    """``cpu = cpu_shared + streams * (cpu_fixed + cpu_per_frame * fps)``, and so on.

    cpu_error and memory_error: the largest deviation of a measurement from the fit, relative to the
    measurement. content_variation: how far the CPU of a second lay from its run's mean (90th less
    10th percentile, over the mean; the median of the runs): what changing content does.
    """

    cpu_shared: float
    cpu_fixed: float
    cpu_per_frame: float
    memory_shared: float
    memory: float
    accelerator_per_frame: float
    cpu_error: float
    memory_error: float
    content_variation: float

    def needs(self, fps: float) -> Needs:
        """Of one stream analysed at *fps*."""
        return Needs(
            cpu=self.cpu_fixed + self.cpu_per_frame * fps,
            memory=self.memory,
            accelerator=self.accelerator_per_frame * fps,
        )


def per_stream(runs: Sequence[Measurement]) -> float:
    """Cores that one more stream costs, over *runs* of one rate with different numbers of them."""
    if len(runs) == 1:
        return runs[0].cpu / runs[0].streams
    counts = np.array([run.streams for run in runs], dtype=np.float64)
    cpu = np.array([run.cpu for run in runs], dtype=np.float64)
    return float(max(0.0, np.polyfit(counts, cpu, 1)[0]))


def has_settled(runs: Sequence[Measurement]) -> bool:
    """Whether the last run changed the estimate of one stream by less than 5 %.

    runs: of one rate, in the order in which cameras were added. A machine that cannot keep up
    settles it too: more cameras would measure the machine, not the streams.
    """
    if runs and runs[-1].eta < SATURATED_ETA:
        return True
    if len(runs) < 3:
        return False
    now, before = per_stream(runs), per_stream(runs[:-1])
    return abs(now - before) <= _SETTLED * max(now, 1e-3)


def further_runs(lower: Sequence[float], held: int, most: int) -> list[tuple[int, float]]:
    """Which numbers of streams to run at the rates *lower* than the desired one.

    held: with how many the machine kept up at the desired rate. One stream and several at each
    rate, so that what a machine pays once is told from what each stream costs; where the machine
    held only one, two at the lowest rate tell that.
    """
    several = min(held, most)
    runs = [(1, rate) for rate in lower]
    if several > 1:
        return [*runs, *((several, rate) for rate in lower)]
    return [*runs, (2, min(lower))] if lower and most > 1 else runs


def fit(runs: Sequence[Measurement]) -> Fit:
    """Fits *runs* of one resolution: :func:`fit_together` of one."""
    return fit_together([runs])[0]


def fit_together(groups: Sequence[Sequence[Measurement]]) -> list[Fit]:
    """Fits runs of one application, a group for each resolution; those that the machine could not
    keep up with are left out.

    What a machine pays once does not depend on the resolution: all groups tell it together, since
    of one alone it is hard to tell from what each stream costs. Deviations count relative to the
    measurement: a small need is to be as right as a large one. Accelerator time a frame is the
    median of the runs with the fewest streams, where no frame waits for another's batch. Raises
    UsageError where no run of a group remains.
    """
    kept = [_kept(runs) for runs in groups]
    runs = [run for group in kept for run in group]
    of = np.repeat(np.arange(len(kept)), [len(group) for group in kept])
    streams = np.array([run.streams for run in runs], dtype=np.float64)
    frames = np.array([run.streams * run.fps for run in runs], dtype=np.float64)
    cpu = np.array([run.cpu for run in runs], dtype=np.float64)
    memory = np.array([run.memory for run in runs], dtype=np.float64)
    accelerator = np.array([run.accelerator for run in runs], dtype=np.float64)
    ones = np.ones_like(streams)
    each = (of[:, None] == np.arange(len(kept))).astype(np.float64)
    streams_of, frames_of = each * streams[:, None], each * frames[:, None]
    terms = np.column_stack([ones, streams_of, frames_of])
    cpu_found = _least_squares(*_relative(terms, cpu))
    memory_terms = np.column_stack([ones, streams_of])
    memory_found = _least_squares(*_relative(memory_terms, memory))
    cpu_fitted, memory_fitted = terms @ cpu_found, memory_terms @ memory_found
    fits = []
    for number in range(len(kept)):
        here = of == number
        few = here & (streams == streams[here].min())
        fits.append(
            Fit(
                cpu_shared=cpu_found[0],
                cpu_fixed=cpu_found[1 + number],
                cpu_per_frame=cpu_found[1 + len(kept) + number],
                memory_shared=memory_found[0],
                memory=memory_found[1 + number],
                accelerator_per_frame=float(np.median(accelerator[few] / frames[few])),
                cpu_error=_largest_deviation(cpu_fitted[here], cpu[here]),
                memory_error=_largest_deviation(memory_fitted[here], memory[here]),
                content_variation=float(
                    np.median([_variation(run.cpu_seconds) for run in kept[number]])
                ),
            )
        )
    return fits


def _kept(runs: Sequence[Measurement]) -> list[Measurement]:
    kept = [run for run in runs if run.eta >= SATURATED_ETA]
    if len({run.fps for run in kept}) == 1:
        # One rate does not tell what a frame costs. Runs that fell short do, of the frames that
        # were analysed, if not how many streams the machine can take.
        short = (run for run in runs if _TELLING_ETA <= run.eta < SATURATED_ETA)
        kept += [replace(run, fps=run.fps * run.eta) for run in short]
    if not kept:
        best = max((run.eta for run in runs), default=0.0)
        rates = sorted({run.fps for run in runs})
        raise UsageError(
            f"this machine reached {best:.0%} of the desired rate at best (rates "
            f"{', '.join(f'{rate:g}' for rate in rates)} fps): measure at lower rates, with --fps"
        )
    return kept


def published_fit(
    figures: Sequence[tuple[float, float, float, float]], *, machine: tuple[float, float]
) -> Fit:
    """The same line through figures of one stream each: (fps, cores, bytes, accelerator).

    machine: cores and bytes that a machine pays once, which no figure of one stream tells. Memory
    is the largest figure.
    """
    rates, cpu, memory, accelerator = (np.array(c, np.float64) for c in zip(*figures, strict=True))
    terms = np.column_stack([np.ones_like(rates), rates])
    if len(set(rates.tolist())) > 1:
        fixed, per_frame = _least_squares(*_relative(terms, cpu))
    else:
        fixed, per_frame = 0.0, float(cpu.mean() / rates[0])
    return Fit(
        cpu_shared=machine[0],
        cpu_fixed=fixed,
        cpu_per_frame=per_frame,
        memory_shared=machine[1],
        memory=float(memory.max()),
        accelerator_per_frame=float(np.median(accelerator / rates)),
        cpu_error=_largest_deviation(fixed + per_frame * rates, cpu) if cpu.any() else 0.0,
        memory_error=0.0,
        content_variation=0.0,
    )


def interpolate(low: tuple[int, Needs], high: tuple[int, Needs], pixels: int) -> Needs:
    """Needs at *pixels* a frame, on the line through two measured resolutions.

    Decoding and resizing grow with the pixels, inference does not: needs are affine in them.
    Beyond the measured ones the line goes on, but never below zero.
    """
    (few, at_few), (many, at_many) = low, high
    share = (pixels - few) / (many - few)

    def on_line(a: float, b: float) -> float:
        return max(0.0, a + share * (b - a))

    return Needs(
        cpu=on_line(at_few.cpu, at_many.cpu),
        memory=on_line(at_few.memory, at_many.memory),
        accelerator=on_line(at_few.accelerator, at_many.accelerator),
    )


def _relative(
    columns: NDArray[np.float64], values: NDArray[np.float64]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    weight = 1.0 / np.maximum(values, 1e-3 * max(float(values.max()), 1e-9))
    return columns * weight[:, None], values * weight


def _least_squares(columns: NDArray[np.float64], values: NDArray[np.float64]) -> list[float]:
    """Least squares with coefficients of 0 or more: the most negative column is left out.

    Columns that the runs cannot tell apart (one number of streams, one rate) share the cost: the
    solution of least norm, on columns of equal length.
    """
    used = list(range(columns.shape[1]))
    found = np.zeros(columns.shape[1])
    while used:
        part = columns[:, used]
        scale = np.linalg.norm(part, axis=0)
        solved = np.linalg.lstsq(part / scale, values, rcond=None)[0] / scale
        if (solved >= 0).all():
            found[used] = solved
            break
        used.pop(int(np.argmin(solved * scale)))
    return [float(value) for value in found]


def _largest_deviation(fitted: NDArray[np.float64], measured: NDArray[np.float64]) -> float:
    return float(np.max(np.abs(fitted - measured) / np.maximum(measured, 1e-9)))


def _variation(seconds: Sequence[float]) -> float:
    if len(seconds) < 2:
        return 0.0
    values = np.array(seconds)
    low, high = np.percentile(values, [10, 90])
    return float((high - low) / max(float(values.mean()), 1e-9))
