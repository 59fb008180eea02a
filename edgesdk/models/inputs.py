"""What a card says of its input tensors, beyond what the types of its keys can check."""

from __future__ import annotations

from edgesdk.models.cardfile import Keys
from edgesdk.models.schema import Input

__all__ = ["check_inputs", "layout_of"]


def check_inputs(inputs: tuple[Input, ...], keys: Keys, mistakes: list[tuple[Keys, str]]) -> None:
    """Appends to *mistakes* what is wrong with *inputs*, which stand at *keys* of the card."""
    for i, spec in enumerate(inputs):
        at = (*keys, i)
        if spec.constant is not None:
            continue
        problem = image_shape_problem(spec)
        if problem:
            mistakes.append(((*at, "shape"), f"{list(spec.shape)}: {problem}"))
            continue
        channels = 1 if spec.colour == "GRAY" else 3
        for key, value in (("mean", spec.mean), ("scale", spec.scale)):
            if isinstance(value, tuple) and len(value) != channels:
                text = f"{list(value)}: expected {channels} numbers, one a channel of {spec.colour}"
                mistakes.append(((*at, key), text))
        scales = spec.scale if isinstance(spec.scale, tuple) else (spec.scale,)
        if 0 in scales:
            mistakes.append(((*at, "scale"), "0: pixels are divided by it"))
        if spec.dtype in ("int32", "int64"):
            text = f"{spec.dtype!r}: an image is uint8, int8, float16 or float32"
            mistakes.append(((*at, "dtype"), text))
        if spec.quantisation is not None and spec.dtype not in ("uint8", "int8"):
            text = f"only uint8 and int8 are quantised, not {spec.dtype}"
            mistakes.append(((*at, "quantisation"), text))


def image_shape_problem(spec: Input) -> str | None:
    """What keeps *spec* from being an image of fixed size, or None."""
    if len(spec.shape) != 4:
        return "an image has 4 dimensions, such as [1, 300, 300, 3]"
    layout = layout_of(spec)
    channels = 1 if spec.colour == "GRAY" else 3
    if layout is None:
        return f"neither NHWC nor NCHW with {channels} channels ({spec.colour}); say layout"
    at = layout.index("C")
    if spec.shape[at] != channels:
        return f"{spec.colour} in {layout} has {channels} channels, at index {at}"
    if spec.shape[0] == 0 or min(spec.shape[1:]) < 1:
        return "height and width are numbers; only the first dimension (batch) may be -1"
    return None


def layout_of(spec: Input) -> str | None:
    """NHWC or NCHW: as said, else where the channels are."""
    if spec.layout is not None:
        return spec.layout
    channels = 1 if spec.colour == "GRAY" else 3
    if spec.shape[-1] == channels:
        return "NHWC"
    return "NCHW" if len(spec.shape) == 4 and spec.shape[1] == channels else None
