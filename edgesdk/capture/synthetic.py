"""A generated scene with ground truth: rectangles that bounce about on a still background.

Deterministic by seed: frame *k* is the same on every machine and in every run, and
``scene(seed).boxes(k)`` says where the rectangles are without drawing them.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial

import numpy as np
from numpy.typing import NDArray

from edgesdk.capture.picture import Picture
from edgesdk.capture.source import Source
from edgesdk.core.ring import ColourRange, ColourSpace

__all__ = ["Scene", "SyntheticReader", "read_index", "scene"]

SECOND = 1_000_000_000
OBJECTS = 4
CELL = 4
BITS = 16


class Scene:
    """Where things are. Immutable, thread-safe.

    ``index`` counts frames from 0. A ring's sequence numbers begin with 1, so in a ring that
    nobody used before, ``index = sequence - 1``; :func:`read_index` tells it from the pixels.
    """

    def __init__(self, seed: int, width: int, height: int) -> None:
        self.width, self.height = width, height
        random = np.random.default_rng(seed)
        size = random.uniform((0.06, 0.15), (0.15, 0.35), (OBJECTS, 2))
        self._size = np.maximum(4, (size * (width, height)).astype(np.int64))
        self._range = np.array((width, height)) - self._size
        self._start = random.uniform(0.0, 2.0, (OBJECTS, 2)) * self._range
        # Pixels a frame: an object crosses the picture in 40 to 200 frames.
        self._speed = random.uniform(0.005, 0.025, (OBJECTS, 2)) * (width, height)
        self.colours: NDArray[np.uint8] = random.integers(90, 256, (OBJECTS, 3), dtype=np.uint8)
        """BGR of each rectangle."""
        x, y = np.arange(width), np.arange(height)[:, None]
        shade = 40 + 30 * ((x // 32 + y // 32) % 2)
        self._background = np.repeat(shade[:, :, None], 3, 2).astype(np.uint8)

    def boxes(self, index: int) -> NDArray[np.float64]:
        """Rectangles of frame *index*: [n, 4], ``x1, y1, x2, y2`` in pixels, x2 and y2 exclusive.

        Later ones lie over earlier ones.
        """
        way = (self._start + self._speed * index) % (2 * self._range)
        corner = np.floor(np.where(way > self._range, 2 * self._range - way, way))
        return np.concatenate((corner, corner + self._size), 1)

    def draw(self, index: int, image: NDArray[np.uint8]) -> None:
        """Draw frame *index* into *image*, uint8 BGR [height, width, 3]."""
        image[:] = self._background
        for (x1, y1, x2, y2), colour in zip(
            self.boxes(index).astype(int), self.colours, strict=True
        ):
            image[y1:y2, x1:x2] = colour
        bits = (index >> np.arange(2 * BITS)) & 1
        cells = np.kron(bits.reshape(2, BITS), np.ones((CELL, CELL), np.int64)) * 255
        image[: 2 * CELL, : BITS * CELL] = cells[:, :, None]


def scene(seed: int = 0, width: int = 640, height: int = 360) -> Scene:
    """The scene of ``synthetic:?seed=SEED&width=WIDTH&height=HEIGHT``."""
    return Scene(seed, width, height)


def read_index(image: NDArray[np.uint8]) -> int:
    """The frame's index, from the 32 black or white cells in its upper left corner.

    *image* is BGR or grey and may have been through a video codec, but not resized.
    """
    corner = image[: 2 * CELL, : BITS * CELL]
    grey = corner if corner.ndim == 2 else corner.mean(2)
    means = grey.reshape(2, CELL, BITS, CELL).mean((1, 3)).ravel()
    return int(((means > 127).astype(np.int64) << np.arange(2 * BITS)).sum())


class SyntheticReader:
    """Draws the scene, from frame 0."""

    codec = "synthetic"

    def __init__(self, source: Source) -> None:
        self.decode_errors = 0
        self.note: str | None = None
        self._source = source
        self._scene = scene(source.seed, source.width, source.height)

    def __iter__(self) -> Iterator[Picture]:
        index, source = 0, self._source
        while not source.frames or index < source.frames:
            yield Picture(
                width=source.width,
                height=source.height,
                write=partial(self._write, index),
                media_ns=round(index * SECOND / source.fps),
                colour_space=ColourSpace.SRGB,
                colour_range=ColourRange.FULL,
                frame_rate=source.fps,
            )
            index += 1

    def _write(self, index: int, slot: NDArray[np.uint8], stride: int) -> None:
        height, width = self._scene.height, self._scene.width
        rows = slot[: height * stride].reshape(height, stride)
        self._scene.draw(index, rows[:, : width * 3].reshape(height, width, 3))

    def close(self) -> None:
        pass
