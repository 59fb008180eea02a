"""The ground plane: from places in the picture to metres."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np

from edgesdk.graph import parameters as check

__all__ = ["Homography", "ground_plane", "plane_of"]

Homography = tuple[tuple[float, float, float], ...]

_EXPECTED = "metres a pixel (a number above 0), or 3 rows of 3 numbers (an invertible homography)"


def plane_of(scale: object) -> float | Homography:
    """The parameter ``scale`` of speed, checked."""
    if check.is_number(scale):
        return check.number("speed", "scale", scale, low=0, above=True)
    if isinstance(scale, str) or not isinstance(scale, Iterable):
        raise check.wrong("speed", "scale", scale, _EXPECTED)
    try:
        matrix = np.asarray([[float(item) for item in row] for row in scale], np.float64)
    except (TypeError, ValueError):
        raise check.wrong("speed", "scale", scale, _EXPECTED) from None
    if (
        matrix.shape != (3, 3)
        or not np.isfinite(matrix).all()
        or abs(np.linalg.det(matrix)) < 1e-12
    ):
        raise check.wrong("speed", "scale", scale, _EXPECTED)
    return _rows(matrix)


def _rows(matrix: Any) -> Homography:
    return tuple((float(a), float(b), float(c)) for a, b, c in matrix)


def ground_plane(
    *, image: Sequence[tuple[float, float]], metres: Sequence[tuple[float, float]]
) -> Homography:
    """The homography for ``tracks.speed(scale=)`` from four points seen and measured.

    image: four points (x, y) in [0, 1] of the frame, no three on a line. metres: where the same
    points lie on the ground, (x, y) in metres.
    """
    seen = check.points("ground_plane", "image", image, least=4, exactly=True)
    try:
        measured = [(float(x), float(y)) for x, y in metres]
    except (TypeError, ValueError):
        measured = []
    if len(measured) != 4 or not np.isfinite(measured).all():
        raise check.wrong("ground_plane", "metres", metres, "4 points (x, y) in metres")
    rows = []
    for (x, y), (u, v) in zip(seen, measured, strict=True):
        rows.append([x, y, 1, 0, 0, 0, -u * x, -u * y])
        rows.append([0, 0, 0, x, y, 1, -v * x, -v * y])
    system = np.asarray(rows, np.float64)
    if np.linalg.matrix_rank(system, tol=1e-9) < 8:
        raise check.wrong("ground_plane", "image", image, "4 points, no three of them on a line")
    solved = np.linalg.solve(system, np.asarray(measured, np.float64).ravel())
    return _rows(np.append(solved, 1.0).reshape(3, 3))
