"""A frame and its boxes as a JPEG picture, small enough for a browser."""

from __future__ import annotations

import colorsys
from functools import lru_cache

import cv2
import numpy as np
from numpy.typing import NDArray

from edgesdk.snapshot import PreviewFrame
from edgesdk.values import Detections

__all__ = ["draw", "placeholder"]

_WIDTH = 960
_QUALITY = 75
_BOXES = 200
_FONT = cv2.FONT_HERSHEY_SIMPLEX
_GREY = (150, 150, 150)

Picture = NDArray[np.uint8]
Colour = tuple[int, int, int]


def draw(frame: PreviewFrame) -> bytes:
    """*frame* at most 960 pixels wide, with boxes, labels and track numbers, as JPEG."""
    height, width = frame.pixels.shape[:2]
    scale = min(1.0, _WIDTH / max(1, width))
    size = (max(1, round(width * scale)), max(1, round(height * scale)))
    picture = cv2.resize(frame.pixels, size, interpolation=cv2.INTER_AREA)
    if picture.ndim == 2:
        picture = cv2.cvtColor(picture, cv2.COLOR_GRAY2BGR)
    canvas = np.ascontiguousarray(picture, np.uint8)
    if canvas is frame.pixels:  # a resize to the same size may hand back its input
        canvas = canvas.copy()
    for detections in frame.detections.values():
        _draw_boxes(canvas, detections, scale)
    return _encode(canvas)


def placeholder(text: str) -> bytes:
    """A dark picture that says *text*."""
    canvas = np.full((360, 640, 3), 28, np.uint8)
    (width, _), _ = cv2.getTextSize(text, _FONT, 0.7, 1)
    cv2.putText(canvas, text, ((640 - width) // 2, 188), _FONT, 0.7, _GREY, 1, cv2.LINE_AA)
    return _encode(canvas)


def _draw_boxes(canvas: Picture, detections: Detections, scale: float) -> None:
    # A box far outside, or not a number, must not reach OpenCV's 32-bit coordinates.
    limit = 2.0 * max(canvas.shape[:2])
    boxes = np.nan_to_num(detections.boxes[:_BOXES] * scale, nan=0.0, posinf=limit, neginf=-limit)
    corners = np.clip(boxes, -limit, limit).round().astype(int)
    for row, (x1, y1, x2, y2) in enumerate(corners.tolist()):
        track = None if detections.track_ids is None else int(detections.track_ids[row])
        label = detections.labels[row]
        colour = _colour(label if track is None else track)
        words = f"{label} {detections.scores[row]:.2f}" if track is None else f"{label} #{track}"
        cv2.rectangle(canvas, (x1, y1), (x2, y2), colour, 2, cv2.LINE_AA)
        _draw_label(canvas, words, x1, y1, colour)


def _draw_label(canvas: Picture, words: str, x: int, y: int, colour: Colour) -> None:
    words = words.encode("ascii", "replace").decode()  # what the font has
    (width, height), below = cv2.getTextSize(words, _FONT, 0.45, 1)
    x = max(0, min(x, canvas.shape[1] - width - 6))
    top = y - height - below - 4
    if top < 0:
        top = max(0, y)
    cv2.rectangle(canvas, (x, top), (x + width + 6, top + height + below + 4), colour, cv2.FILLED)
    place = (x + 3, top + height + 2)
    cv2.putText(canvas, words, place, _FONT, 0.45, (20, 20, 20), 1, cv2.LINE_AA)


@lru_cache(maxsize=1024)
def _colour(key: str | int) -> Colour:
    """A bright colour that stays the same for a track or label; neighbours differ well."""
    number = key if isinstance(key, int) else sum(key.encode())
    red, green, blue = colorsys.hsv_to_rgb(0.1 + number * 0.618034 % 1.0, 0.55, 1.0)
    return round(blue * 255), round(green * 255), round(red * 255)


def _encode(canvas: Picture) -> bytes:
    done, data = cv2.imencode(".jpg", canvas, (cv2.IMWRITE_JPEG_QUALITY, _QUALITY))
    if not done:
        raise ValueError(f"a picture of {canvas.shape[1]}x{canvas.shape[0]} cannot be encoded")
    return data.tobytes()
