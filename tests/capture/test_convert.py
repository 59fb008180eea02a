"""Colours: every matrix and range against the formula, at sizes that swscale finds awkward."""

from __future__ import annotations

import av
import numpy as np
import pytest
from numpy.typing import NDArray

from edgesdk.capture import convert
from edgesdk.capture.convert import BgrConverter, colours
from edgesdk.capture.picture import SPARE_BYTES, row_bytes
from edgesdk.core.ring import ColourRange, ColourSpace

WEIGHTS = {ColourSpace.BT601: (0.299, 0.114), ColourSpace.BT709: (0.2126, 0.0722)}
AV_SPACE = {ColourSpace.BT601: 6, ColourSpace.BT709: 1}
AV_RANGE = {ColourRange.LIMITED: 1, ColourRange.FULL: 2}


def bands(width: int, height: int) -> list[tuple[slice, tuple[int, int, int]]]:
    """Horizontal bands of constant Y, U, V: chroma interpolation has no say within them."""
    values = [(60, 100, 180), (150, 160, 90), (220, 128, 128), (40, 200, 110)]
    step = max(4, height // len(values) // 4 * 4)
    return [
        (slice(i * step, min(height, (i + 1) * step)), value)
        for i, value in enumerate(values)
        if i * step < height
    ]


def coded(width: int, height: int, space: ColourSpace, full: ColourRange) -> av.VideoFrame:
    frame = av.VideoFrame(width, height, "yuv420p")
    for number, plane in enumerate(frame.planes):
        pixels = np.zeros((plane.buffer_size // plane.line_size, plane.line_size), np.uint8)
        for rows, value in bands(width, height):
            scale = 1 if number == 0 else 2
            pixels[rows.start // scale : -(-rows.stop // scale)] = value[number]
        last = bands(width, height)[-1]
        pixels[-(-last[0].stop // (1 if number == 0 else 2)) :] = last[1][number]
        plane.update(pixels.tobytes())
    frame.colorspace, frame.color_range = AV_SPACE[space], AV_RANGE[full]
    return frame


def formula(
    yuv: tuple[int, int, int], space: ColourSpace, full: ColourRange
) -> NDArray[np.float64]:
    red, blue = WEIGHTS[space]
    y, u, v = float(yuv[0]), yuv[1] - 128.0, yuv[2] - 128.0
    if full is ColourRange.LIMITED:
        y, u, v = (y - 16) * 255 / 219, u * 255 / 224, v * 255 / 224
    r, b = y + 2 * (1 - red) * v, y + 2 * (1 - blue) * u
    g = (y - red * r - blue * b) / (1 - red - blue)
    return np.clip([b, g, r], 0, 255)


@pytest.mark.parametrize(
    "size", [(640, 360), (322, 242), (854, 480), (321, 241), (66, 50), (18, 50)]
)
@pytest.mark.parametrize("space", list(WEIGHTS))
@pytest.mark.parametrize("full", list(AV_RANGE))
@pytest.mark.parametrize("direct", [True, False])
def test_pixels_are_those_of_the_formula_up_to_the_last_column(
    size: tuple[int, int],
    space: ColourSpace,
    full: ColourRange,
    direct: bool,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    if not direct:
        monkeypatch.setattr(convert._Scaler, "load", staticmethod(lambda: None))
    width, height = size
    frame = coded(width, height, space, full)
    assert colours(frame) == (space, full)
    stride = row_bytes(width)
    slot = np.full(height * stride + SPARE_BYTES + 64, 77, np.uint8)
    BgrConverter()(frame, slot, stride)
    pixels = slot[: height * stride].reshape(height, stride)[:, : width * 3]
    pixels = pixels.reshape(height, width, 3).astype(float)
    for rows, yuv in bands(width, height):
        inner = pixels[rows.start + 4 : rows.stop - 4]
        assert np.abs(inner - formula(yuv, space, full)).max(initial=0) <= 3
    assert (slot[height * stride + SPARE_BYTES :] == 77).all(), "it wrote beyond the slot"


@pytest.mark.parametrize(
    ("size", "form", "expected"),
    [
        ((1280, 720), "yuv420p", (ColourSpace.BT709, ColourRange.LIMITED)),
        ((640, 480), "yuv420p", (ColourSpace.BT601, ColourRange.LIMITED)),
        ((1280, 720), "yuvj420p", (ColourSpace.BT709, ColourRange.FULL)),
        ((64, 64), "rgb24", (ColourSpace.SRGB, ColourRange.FULL)),
    ],
)
def test_what_a_stream_leaves_unsaid_is_what_players_assume(
    size: tuple[int, int], form: str, expected: tuple[ColourSpace, ColourRange]
) -> None:
    frame = av.VideoFrame(*size, form)
    frame.colorspace, frame.color_range = 2, 0
    assert colours(frame) == expected


@pytest.mark.parametrize(
    "form", ["nv12", "yuv422p", "yuv444p", "yuv420p10le", "gray", "rgb24", "bgra"]
)
def test_every_layout_of_planes_is_converted(form: str) -> None:
    red = np.zeros((64, 96, 3), np.uint8)
    red[:] = (200, 200, 200) if form == "gray" else (20, 40, 200)
    frame = av.VideoFrame.from_ndarray(red, "bgr24").reformat(format=form, dst_colorspace="ITU601")
    slot = np.zeros(64 * row_bytes(96), np.uint8)
    BgrConverter()(frame, slot, row_bytes(96))
    assert np.abs(slot.reshape(64, 96, 3).astype(int) - red).max() <= 6


def test_one_converter_follows_a_stream_that_changes_its_size() -> None:
    converter = BgrConverter()
    for width, height in ((64, 48), (640, 360), (64, 48)):
        frame = coded(width, height, ColourSpace.BT601, ColourRange.LIMITED)
        slot = np.zeros(height * row_bytes(width) + SPARE_BYTES, np.uint8)
        converter(frame, slot, row_bytes(width))
        assert slot[: width * 3].any()
    converter.close()
