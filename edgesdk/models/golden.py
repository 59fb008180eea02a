"""Golden inputs and outputs: what a model gave, once, on an image that anybody can make again."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Literal

import msgspec
import numpy as np
from msgspec import Meta
from numpy.typing import NDArray

from edgesdk.errors import CardError
from edgesdk.models.card import ModelCard
from edgesdk.models.schema import SsdNms, TflitePostprocess

__all__ = ["GoldenDocument", "golden_image", "largest_difference", "load_golden", "sample_outputs"]

MAX_GOLDEN_BYTES = 16 << 20
MAX_INPUT_BYTES = 64 << 20
SAMPLES = 64


class GoldenOutput(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Samples of one output, evenly spread over it, and its extremes."""

    shape: list[int]
    low: float
    high: float
    samples: Annotated[list[float], Meta(max_length=4096)]


class GoldenDocument(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Outputs by role. made_by: the backend and version that gave them."""

    schema: Literal[1]
    made_by: str
    outputs: dict[str, GoldenOutput]


def golden_image(width: int, height: int) -> NDArray[np.uint8]:
    """A picture ``[height, width, 3]`` of integer arithmetic only: equal on every machine.

    Two figures, in which person detectors see persons, before a wall.
    """
    y, x = np.mgrid[0:height, 0:width].astype(np.int64)
    v, u = y * 1000 // max(1, height), x * 1000 // max(1, width)
    texture = (x * x * 7 + y * y * 13 + x * y * 3) % 23
    wall = np.where(v < 700, 190 - v // 20, 110 - v // 30) + texture
    picture = np.stack([wall, wall, wall], axis=-1)
    for centre in (300, 680):
        for part, colour in _figure(u - centre, v):
            picture[part] = np.array(colour) + (texture[part] * 3 // 5)[:, None]
    return _blurred(np.clip(picture, 0, 255), max(1, width // 60) | 1).astype(np.uint8)


def _figure(
    u: NDArray[np.int64], v: NDArray[np.int64]
) -> list[tuple[NDArray[np.bool_], tuple[int, int, int]]]:
    """Masks and colours of a standing figure around u = 0, in thousandths of the picture."""
    away = abs(u)
    return [
        (u**2 * 3600 + (v - 120) ** 2 * 1296 < 4665600, (190, 150, 125)),
        ((away < 14) & (v > 160) & (v < 200), (180, 140, 115)),
        ((away * 1000 < 76000 - abs(v - 310) * 96) & (v > 190) & (v < 480), (45, 60, 110)),
        ((abs(away * 100 - 9200 - (v - 210) * 6) < 1800) & (v > 210) & (v < 490), (45, 60, 105)),
        ((abs(away * 100 - 3600 - (v - 480) * 3) < 2900) & (v >= 480) & (v < 840), (40, 40, 48)),
        ((abs(away - 48) < 36) & (v >= 820) & (v < 860), (20, 20, 20)),
    ]


def _blurred(picture: NDArray[np.int64], size: int) -> NDArray[np.int64]:
    """A box filter of *size*, odd, in integers."""
    half = size // 2
    padded = np.pad(picture, ((half + 1, half), (half + 1, half), (0, 0)), "edge")
    sums = padded.cumsum(0).cumsum(1)
    added = sums[size:, size:] - sums[:-size, size:] - sums[size:, :-size] + sums[:-size, :-size]
    blurred: NDArray[np.int64] = added // (size * size)
    return blurred


def input_image(card: ModelCard, width: int, height: int) -> NDArray[np.uint8]:
    """The golden input of *card* in RGB: its .npy file, or the generated picture.

    :raises CardError: the file is not an array ``[h, w, 3]`` of uint8, or too large.
    """
    golden = card.document.golden
    if golden is None or golden.input is None:
        return golden_image(width, height)
    path = card.path.parent / golden.input
    try:
        if path.stat().st_size > MAX_INPUT_BYTES or not path.is_file():
            raise CardError(
                f"{card.path}: golden.input: larger than {MAX_INPUT_BYTES >> 20} MiB, or no file"
            )
        array: NDArray[np.uint8] = np.load(path, allow_pickle=False)
    except (OSError, ValueError, EOFError) as e:
        raise CardError(f"{card.path}: golden.input: {golden.input!r}: {e}") from None
    if array.dtype != np.uint8 or array.ndim != 3 or array.shape[2] != 3 or array.size == 0:
        raise CardError(f"{card.path}: golden.input: expected uint8 [height, width, 3], RGB")
    return np.ascontiguousarray(array)


def load_golden(card: ModelCard) -> GoldenDocument | None:
    """The golden outputs that *card* names, None if it names none.

    :raises CardError: the file is missing or wrong.
    """
    golden = card.document.golden
    if golden is None:
        return None
    path = card.path.parent / golden.outputs
    try:
        if path.exists() and not path.is_file():
            raise CardError(f"{card.path}: golden.outputs: {path} is not a regular file")
        with path.open("rb") as f:
            raw = f.read(MAX_GOLDEN_BYTES)
        return msgspec.json.decode(raw, type=GoldenDocument)
    except OSError as e:
        reason = e.strerror or str(e)
    except msgspec.DecodeError as e:
        reason = str(e)
    raise CardError(f"{card.path}: golden.outputs: {golden.outputs!r}: {reason}")


def sample_outputs(card: ModelCard, roles: Mapping[str, NDArray[Any]]) -> dict[str, GoldenOutput]:
    """What is kept of the outputs by role.

    Of a model that thins its own boxes only the scores: rows that score alike change places.
    """
    thinned = isinstance(card.decode, SsdNms | TflitePostprocess)
    return {
        role: _sample(array, ranked=thinned)
        for role, array in roles.items()
        if array.size and (not thinned or role == "scores")
    }


def _sample(array: NDArray[Any], *, ranked: bool) -> GoldenOutput:
    flat = array.astype(np.float64).ravel()
    if ranked:
        flat = -np.sort(-flat)
    at = np.linspace(0, flat.size - 1, min(SAMPLES, flat.size)).round().astype(np.intp)
    samples = [round(float(v), 7) for v in flat[at]]
    return GoldenOutput(list(array.shape), float(flat.min()), float(flat.max()), samples)


def largest_difference(
    expected: Mapping[str, GoldenOutput], found: Mapping[str, GoldenOutput]
) -> float:
    """The largest difference of two samples, as a part of its output's range; inf: other shapes."""
    worst = 0.0
    for role, want in expected.items():
        have = found.get(role)
        if have is None or have.shape != want.shape or len(have.samples) != len(want.samples):
            return float("inf")
        extent = max(want.high - want.low, 1e-6)
        apart = np.abs(np.array(have.samples) - np.array(want.samples)).max(initial=0.0)
        worst = max(worst, float(apart) / extent) if np.isfinite(apart) else float("inf")
    return worst
