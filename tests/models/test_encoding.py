"""Pixels reach the model as the card says, and boxes find their way back."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edgesdk.models.encoding import ImageEncoder
from edgesdk.models.geometry import place, region_of
from edgesdk.models.schema import Input, Quantisation

RNG = np.random.default_rng(7)
FRAME = RNG.integers(0, 256, (90, 160, 3), np.uint8)


def encoder(shape: tuple[int, ...] = (1, 48, 64, 3), **keys: Any) -> ImageEncoder:
    spec = Input(shape=shape, **{"dtype": "uint8", **keys})
    return ImageEncoder(spec, spec.quantisation, align=spec.align or "centre", pad=spec.pad or 0)


def resized(frame: np.ndarray = FRAME) -> np.ndarray:
    return cv2.resize(frame, (64, 48), interpolation=cv2.INTER_LINEAR)


@pytest.mark.parametrize("resize", ["stretch", "letterbox", "crop"])
@settings(max_examples=200, deadline=None)
@given(
    frame=st.tuples(st.integers(1, 4000), st.integers(1, 4000)),
    size=st.tuples(st.integers(1, 800), st.integers(1, 800)),
    data=st.data(),
)
def test_a_point_of_the_frame_comes_back_from_the_input(
    resize: str, frame: tuple[int, int], size: tuple[int, int], data: Any
) -> None:
    width, height = frame
    x = sorted(data.draw(st.tuples(st.floats(0, width), st.floats(0, width))))
    y = sorted(data.draw(st.tuples(st.floats(0, height), st.floats(0, height))))
    region = region_of((x[0], y[0], x[1], y[1]), width, height)
    at = place(region, *size, resize=resize, centred=True, crop_fraction=1.0)
    geometry = at.geometry(width, height)
    x1, y1, x2, y2 = at.region
    assert 0 <= x1 < x2 <= width
    assert 0 <= y1 < y2 <= height
    assert at.left + at.width <= size[0]
    assert at.top + at.height <= size[1]
    # the placed rectangle of the input is the region of the frame, to its edges
    inside = np.array([[at.left, at.top, at.left + at.width, at.top + at.height]], np.float32)
    np.testing.assert_allclose(geometry.to_frame(inside)[0], at.region, atol=2e-3)


def test_boxes_are_clipped_to_the_frame() -> None:
    geometry = place(
        (0, 0, 160, 90), 64, 64, resize="letterbox", centred=True, crop_fraction=1
    ).geometry(160, 90)
    boxes = geometry.to_frame(np.array([[-50, -50, 500, 500]], np.float32))
    assert boxes.tolist() == [[0, 0, 160, 90]]


def test_a_bright_square_is_found_where_it_was_to_a_fraction_of_a_pixel() -> None:
    frame = np.zeros((300, 500, 3), np.uint8)
    frame[60:180, 100:300] = 255
    for resize in ("stretch", "letterbox", "crop"):
        e = encoder((1, 200, 200, 3), resize=resize, interpolation="area")
        tensor, (geometry,) = e.encode([(frame, "RGB", None)], 1)
        bright = tensor[0, :, :, 0].astype(np.float64) / 255
        # edges with sub-pixel precision, from the coverage of the pixels
        columns, rows = bright.max(0), bright.max(1)
        x1 = columns.argmax() + 0.0 - columns[: columns.argmax()].sum()
        y1 = rows.argmax() + 0.0 - rows[: rows.argmax()].sum()
        found = geometry.to_frame(np.array([[x1, y1, x1 + columns.sum(), y1 + rows.sum()]]))
        np.testing.assert_allclose(found[0], [100, 60, 300, 180], atol=1.0)


@pytest.mark.parametrize(
    ("frame_colour", "model_colour"),
    [("BGR", "RGB"), ("RGB", "BGR"), ("BGR", "BGR"), ("RGB", "RGB")],
)
def test_colours_are_in_the_models_order(frame_colour: str, model_colour: str) -> None:
    tensor, _ = encoder(colour=model_colour).encode([(FRAME, frame_colour, None)], 1)
    expected = resized() if frame_colour == model_colour else resized()[..., ::-1]
    np.testing.assert_array_equal(tensor[0], expected)


def test_grey_frames_and_grey_models() -> None:
    grey = FRAME[..., 0]
    tensor, _ = encoder().encode([(grey, "GRAY", None)], 1)
    np.testing.assert_array_equal(tensor[0], np.repeat(resized(grey)[..., None], 3, 2))
    tensor, _ = encoder((1, 48, 64, 1), colour="GRAY").encode([(FRAME, "BGR", None)], 1)
    np.testing.assert_array_equal(tensor[0, ..., 0], cv2.cvtColor(resized(), cv2.COLOR_BGR2GRAY))
    tensor, _ = encoder((1, 1, 48, 64), colour="GRAY").encode([(grey, "GRAY", None)], 1)
    np.testing.assert_array_equal(tensor[0, 0], resized(grey))


@pytest.mark.parametrize("form", ["NV12", "I420"])
def test_yuv_frames_look_like_their_bgr(form: str) -> None:
    smooth = cv2.resize(RNG.integers(0, 256, (6, 8, 3), np.uint8), (160, 90))
    i420 = cv2.cvtColor(smooth, cv2.COLOR_BGR2YUV_I420)
    if form == "I420":
        frame = i420
    else:
        u, v = i420[90:].reshape(2, -1)
        frame = np.concatenate([i420[:90].ravel(), np.stack([u, v], 1).ravel()]).reshape(135, 160)
    tensor, (geometry,) = encoder(colour="BGR").encode([(frame, form, None)], 1)
    assert (geometry.frame_width, geometry.frame_height) == (160, 90)
    assert np.abs(tensor[0].astype(int) - resized(smooth)).mean() < 4


def test_an_unknown_colour_is_an_error() -> None:
    with pytest.raises(ValueError, match="JPEG"):
        encoder().encode([(FRAME, "JPEG", None)], 1)


@pytest.mark.parametrize("shape", [(1, 48, 64, 3), (1, 3, 48, 64)])
@pytest.mark.parametrize("dtype", ["float32", "float16"])
@pytest.mark.parametrize(
    ("mean", "scale"), [(None, 255.0), (127.5, 127.5), ((123.7, 116.3, 103.5), (58.4, 57.1, 57.4))]
)
def test_floats_are_pixel_less_mean_by_scale(
    shape: tuple[int, ...], dtype: str, mean: Any, scale: Any
) -> None:
    e = encoder(shape, dtype=dtype, mean=mean, scale=scale)
    tensor, _ = e.encode([(FRAME, "RGB", None)], 1)
    expected = (resized().astype(np.float64) - (0 if mean is None else np.array(mean))) / scale
    got = tensor[0] if shape[-1] == 3 else tensor[0].transpose(1, 2, 0)
    assert got.dtype == dtype
    np.testing.assert_allclose(got, expected, atol=1e-5 if dtype == "float32" else 4e-3)


@pytest.mark.parametrize("shape", [(1, 48, 64, 3), (1, 3, 48, 64)])
@pytest.mark.parametrize("dtype", ["uint8", "int8"])
def test_eight_bit_inputs_without_normalisation_take_pixels_as_they_are(
    shape: tuple[int, ...], dtype: str
) -> None:
    # so are image models quantised, whatever scale the file has
    e = encoder(shape, dtype=dtype, quantisation=Quantisation(scale=0.0125, zero_point=131))
    tensor, _ = e.encode([(FRAME, "RGB", None)], 1)
    got = tensor[0] if shape[-1] == 3 else tensor[0].transpose(1, 2, 0)
    expected = resized().astype(int) - (128 if dtype == "int8" else 0)
    np.testing.assert_array_equal(got, expected)


@pytest.mark.parametrize("shape", [(1, 48, 64, 3), (1, 3, 48, 64)])
@pytest.mark.parametrize(("dtype", "zero"), [("uint8", 100), ("int8", -3)])
def test_normalised_eight_bit_inputs_are_quantised(
    shape: tuple[int, ...], dtype: str, zero: int
) -> None:
    e = encoder(
        shape,
        dtype=dtype,
        mean=(127.5, 120.0, 110.0),
        scale=127.5,
        quantisation=Quantisation(scale=1 / 64, zero_point=zero),
    )
    tensor, _ = e.encode([(FRAME, "RGB", None)], 1)
    real = (resized().astype(np.float64) - [127.5, 120, 110]) / 127.5
    info = np.iinfo(dtype)
    expected = np.clip(np.round(real * 64 + zero), info.min, info.max)
    got = tensor[0] if shape[-1] == 3 else tensor[0].transpose(1, 2, 0)
    np.testing.assert_array_equal(got, expected)


def test_a_letterbox_keeps_the_aspect_and_pads_evenly() -> None:
    tensor, (geometry,) = encoder((1, 64, 64, 3), resize="letterbox", pad=7).encode(
        [(FRAME, "RGB", None)], 1
    )
    np.testing.assert_array_equal(tensor[0, 14:50], cv2.resize(FRAME, (64, 36)))
    assert (tensor[0, :14] == 7).all()
    assert (tensor[0, 50:] == 7).all()
    assert geometry.step_x == geometry.step_y == 2.5


def test_a_letterbox_may_begin_at_the_top_left() -> None:
    tensor, _ = encoder((1, 64, 64, 3), resize="letterbox", align="top-left").encode(
        [(FRAME, "RGB", None)], 1
    )
    np.testing.assert_array_equal(tensor[0, :36], cv2.resize(FRAME, (64, 36)))


def test_crops_of_one_frame_make_a_batch_and_missing_rows_are_zero() -> None:
    boxes = [(10.2, 5.7, 60.1, 44.9), (-9, -9, 500, 500), (159.5, 89.5, 159.6, 89.6)]
    e = encoder((-1, 48, 64, 3))
    tensor, geometries = e.encode([(FRAME, "RGB", b) for b in boxes], 4)
    assert tensor.shape == (4, 48, 64, 3)
    np.testing.assert_array_equal(tensor[0], resized(FRAME[5:45, 10:61]))
    np.testing.assert_array_equal(tensor[1], resized())
    np.testing.assert_array_equal(tensor[2], np.broadcast_to(FRAME[89, 159], (48, 64, 3)))
    assert not tensor[3].any()
    whole = np.array([[0, 0, 64, 48]], np.float32)
    np.testing.assert_allclose(geometries[0].to_frame(whole), [[10, 5, 61, 45]], atol=1e-4)


@pytest.mark.parametrize("box", [(1, 2, 3), (0, 0, float("nan"), 5), "box"])
def test_a_crop_that_is_no_box_is_an_error(box: Any) -> None:
    with pytest.raises(ValueError, match=r"crop|could not convert"):
        encoder().encode([(FRAME, "RGB", box)], 1)


def test_a_frame_of_the_models_size_is_not_resampled() -> None:
    frame = RNG.integers(0, 256, (48, 64, 3), np.uint8)
    tensor, _ = encoder().encode([(frame, "RGB", None)], 1)
    np.testing.assert_array_equal(tensor[0], frame)


def test_rows_with_a_stride_are_read_as_they_lie() -> None:
    padded = np.zeros((90, 200, 3), np.uint8)
    padded[:, :160] = FRAME
    view = padded[:, :160]
    view.flags.writeable = False
    tensor, _ = encoder().encode([(view, "RGB", None)], 1)
    np.testing.assert_array_equal(tensor[0], resized())


def test_a_tensor_is_the_callers_until_nobody_holds_it() -> None:
    e = encoder()
    first, _ = e.encode([(FRAME, "RGB", None)], 1)
    kept = first.copy()
    row = first[0]
    address = first.ctypes.data
    del first
    second, _ = e.encode([(255 - FRAME, "RGB", None)], 1)
    assert second.ctypes.data != address, "memory with a live view was handed out again"
    np.testing.assert_array_equal(row, kept[0])
    del row
    third, _ = e.encode([(FRAME, "RGB", None)], 1)
    assert third.ctypes.data == address, "memory that nobody holds was not used again"


def test_threads_may_share_an_encoder() -> None:
    e = encoder((1, 3, 48, 64), dtype="float32", scale=255.0)
    frames = [np.full((90, 160, 3), v, np.uint8) for v in range(0, 240, 30)]
    wrong: list[int] = []

    def work(value: int, frame: np.ndarray) -> None:
        for _ in range(50):
            tensor, _ = e.encode([(frame, "RGB", None)], 1)
            if not np.allclose(tensor, value / 255, atol=1e-6):
                wrong.append(value)

    threads = [threading.Thread(target=work, args=(int(f[0, 0, 0]), f)) for f in frames]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    assert not wrong


Make = Callable[..., Any]


def test_the_codec_refuses_more_images_than_the_batch(detector_card: Make) -> None:
    from edgesdk.models import Codec

    card = detector_card('kind = "yolo-v8"')
    codec = Codec(card, card.variants[0])
    with pytest.raises(ValueError, match="2 images"):
        codec.encode([(FRAME, "BGR", None)] * 2, 1)
    with pytest.raises(ValueError, match="0 images"):
        codec.encode([], 1)
