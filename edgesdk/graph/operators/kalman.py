"""A Kalman filter for many boxes at once: constant velocity of centre, aspect and height.

The filter of DeepSORT (Wojke et al., 2017) that ByteTrack uses: state x, y, a = w/h, h and their
velocities. Its motion, its measurement and its noises never mix two of the four coordinates, so
the covariance stays 2 x 2 for each: three numbers a coordinate instead of an 8 x 8 matrix, with the
same results.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

__all__ = ["BoxFilter"]

Floats = NDArray[np.float64]

_POSITION = 1 / 20  # standard deviations, in heights of the box
_VELOCITY = 1 / 160


def _noise(height: Floats, scale: float, aspect: float) -> Floats:
    found = np.repeat((scale * height)[:, None], 4, axis=1)
    found[:, 2] = aspect
    return np.asarray(found**2)


@dataclass
class BoxFilter:
    """*n* boxes; every array is float64 ``[n, 4]``. Changed in place, one row a box."""

    place: Floats
    velocity: Floats
    var_place: Floats
    covariance: Floats
    var_velocity: Floats

    @classmethod
    def start(cls, boxes: Floats) -> BoxFilter:
        """At rest, at *boxes* (x1, y1, x2, y2)."""
        place = to_centre(boxes)
        height = place[:, 3]
        return cls(
            place,
            np.zeros_like(place),
            _noise(height, 2 * _POSITION, 1e-2),
            np.zeros_like(place),
            _noise(height, 10 * _VELOCITY, 1e-5),
        )

    def rows(self) -> Floats:
        """All of it, ``[n, 20]``: its arrays, in order."""
        return np.concatenate([getattr(self, name) for name in self.__dataclass_fields__], axis=1)

    @classmethod
    def of(cls, rows: Floats) -> BoxFilter:
        """What :meth:`rows` gave."""
        return cls(*(rows[:, 4 * i : 4 * i + 4].copy() for i in range(5)))

    def __len__(self) -> int:
        return len(self.place)

    def boxes(self) -> Floats:
        """x1, y1, x2, y2."""
        x, y, aspect, height = self.place.T
        width = aspect * height
        return np.stack([x - width / 2, y - height / 2, x + width / 2, y + height / 2], axis=1)

    def predict(self, frames: float = 1.0) -> None:
        """A number of frames on; one is the published filter's step, a 30th of a second.

        Noise grows with time, as that of a random walk does.
        """
        height = self.place[:, 3]
        moved = 2 * frames * self.covariance + frames**2 * self.var_velocity
        self.place = self.place + frames * self.velocity
        self.var_place = self.var_place + moved + frames * _noise(height, _POSITION, 1e-2)
        self.covariance = self.covariance + frames * self.var_velocity
        self.var_velocity = self.var_velocity + frames * _noise(height, _VELOCITY, 1e-5)

    def update(self, rows: NDArray[np.intp], boxes: Floats) -> None:
        """Takes the measured *boxes* for *rows*."""
        place, var, cov = self.place[rows], self.var_place[rows], self.covariance[rows]
        expected = var + _noise(place[:, 3], _POSITION, 1e-1)
        gain, gain_velocity = var / expected, cov / expected
        surprise = to_centre(boxes) - place
        self.place[rows] = place + gain * surprise
        self.velocity[rows] += gain_velocity * surprise
        self.var_place[rows] = var - gain * var
        self.covariance[rows] = cov - gain * cov
        self.var_velocity[rows] -= gain_velocity * cov

    def keep(self, rows: NDArray[np.bool_]) -> None:
        for name in self.__dataclass_fields__:
            setattr(self, name, getattr(self, name)[rows])

    def extend(self, other: BoxFilter) -> None:
        for name in self.__dataclass_fields__:
            setattr(self, name, np.concatenate([getattr(self, name), getattr(other, name)]))


def to_centre(boxes: Floats) -> Floats:
    """x, y, aspect, height of x1, y1, x2, y2; a side of less than 1e-3 pixels counts as that."""
    width = np.maximum(boxes[:, 2] - boxes[:, 0], 1e-3)
    height = np.maximum(boxes[:, 3] - boxes[:, 1], 1e-3)
    x, y = (boxes[:, 0] + boxes[:, 2]) / 2, (boxes[:, 1] + boxes[:, 3]) / 2
    return np.stack([x, y, width / height, height], axis=1)
