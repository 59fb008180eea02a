"""The two halves of encoding: what is shrunk here and filled elsewhere is the same bytes."""

import itertools
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from edgesdk.errors import InputMismatch
from edgesdk.models import Codec, load_card
from edgesdk.models.encoding import Shrunk

CARD = """
schema = 1
name = "m"
task = "raw"
[[variants]]
file = "absent.onnx"
backend = "onnxruntime"
sha256 = "{zeros}"
[[inputs]]
name = "image"
layout = "{layout}"
dtype = "{dtype}"
shape = {shape}
colour = "{colour}"
resize = "{resize}"
{more}
[decode]
kind = "raw"
"""
RNG = np.random.default_rng(5)
FRAME = RNG.integers(0, 256, (90, 120, 3), dtype=np.uint8)
GREY = RNG.integers(0, 256, (90, 120), dtype=np.uint8)
BOXES = (None, (10.2, 5.0, 60.9, 44.0), (100.0, 80.0, 120.0, 90.0))
SCALED = {
    "uint8": ("", "mean = [127.5, 120.0, 100.0]\nscale = [2.0, 1.0, 1.0]"),
    "int8": (
        "",
        "mean = 127.5\nscale = 127.5\nquantisation = { scale = 0.0078125, zero_point = 0 }",
    ),
    "float32": ("", "scale = 255", "mean = [123.7, 116.3, 103.5]\nscale = [58.4, 57.1, 57.4]"),
}


def codec(write_card: Any, **said: str) -> Codec:
    channels = 1 if said["colour"] == "GRAY" else 3
    said["shape"] = (
        f"[1, 32, 48, {channels}]" if said["layout"] == "NHWC" else f"[1, {channels}, 32, 48]"
    )
    path = write_card(
        CARD.format(zeros="0" * 64, **said), f"{abs(hash(tuple(said.values())))}.toml"
    )
    card = load_card(path)
    return Codec(card, card.variants[0])


@pytest.mark.parametrize("dtype", list(SCALED))
@pytest.mark.parametrize("resize", ["stretch", "letterbox", "crop"])
@pytest.mark.parametrize("colour", ["RGB", "BGR", "GRAY"])
def test_a_shrunk_picture_has_the_values_of_its_frame(
    write_card: Callable[..., Any], dtype: str, resize: str, colour: str
) -> None:
    frames = [(FRAME, "BGR"), (FRAME, "RGB"), (GREY, "GRAY")]
    for layout, more in itertools.product(("NHWC", "NCHW"), SCALED[dtype]):
        if colour == "GRAY" and "[" in more:
            continue
        made = codec(
            write_card, layout=layout, dtype=dtype, colour=colour, resize=resize, more=more
        )
        images = [(*frame, box) for frame in frames for box in BOXES]
        at_once, geometries = made.encode(images, 16)
        at_once = {name: tensor.copy() for name, tensor in at_once.items()}
        small = made.shrink(images)
        in_two, same = made.encode(small, 16)
        assert in_two["image"].tobytes() == at_once["image"].tobytes()
        assert in_two["image"].dtype == at_once["image"].dtype
        assert same == geometries == [picture.geometry for picture in small]
        mixed, _ = made.encode([images[0], *small[1:]], 16)
        assert mixed["image"].tobytes() == at_once["image"].tobytes()


def test_a_shrunk_picture_is_all_that_is_left_of_its_frame(write_card: Callable[..., Any]) -> None:
    made = codec(write_card, layout="NHWC", dtype="uint8", colour="BGR", resize="stretch", more="")
    frame = FRAME[:32, :48].copy()
    (small,) = made.shrink([(frame, "BGR", None)])
    before = small.image.copy()
    frame[:] = 0
    assert (small.image == before).all()
    assert small.image.flags.c_contiguous
    assert small.image.shape == (32, 48, 3)
    assert made.shrink([small]) == [small]


def test_a_picture_of_another_form_is_refused(write_card: Callable[..., Any]) -> None:
    made = codec(
        write_card, layout="NCHW", dtype="float32", colour="RGB", resize="stretch", more=""
    )
    (small,) = made.shrink([(FRAME, "BGR", None)])
    for image in (small.image[1:], small.image[..., :1], small.image.astype(np.int8)):
        with pytest.raises(InputMismatch, match="for an input"):
            made.encode([Shrunk(image, small.geometry)])
        with pytest.raises(InputMismatch):
            made.check(image)
    made.check(small.image)


def test_the_form_tells_inputs_apart_that_need_other_pictures(
    write_card: Callable[..., Any],
) -> None:
    base = {"layout": "NCHW", "dtype": "float32", "colour": "RGB", "resize": "stretch", "more": ""}
    form = codec(write_card, **base).form
    other_values = {**base, "layout": "NHWC", "dtype": "uint8"}
    assert codec(write_card, **other_values).form == form
    assert codec(write_card, **{**base, "more": "scale = 255"}).form == form
    for other in ({"colour": "BGR"}, {"resize": "letterbox"}, {"more": 'interpolation = "area"'}):
        assert codec(write_card, **{**base, **other}).form != form
