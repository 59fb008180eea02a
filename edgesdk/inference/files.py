"""The file of a model, before a runtime opens it."""

from __future__ import annotations

import math
from collections.abc import Sequence

from edgesdk.errors import DigestMismatch, ModelInvalid
from edgesdk.inference.protocol import ModelFile, digest

MAX_TENSOR_BYTES = 1 << 30


def check_file(model: ModelFile) -> None:
    """Raises ModelInvalid where the file cannot be read, DigestMismatch where it is another."""
    try:
        if not model.path.is_file():
            raise ModelInvalid(f"there is no model file at {model.path}")
        if model.path.stat().st_size == 0:
            raise ModelInvalid(f"{model.path} is empty")
        found = digest(model.path) if model.sha256 else ""
    except OSError as error:
        raise ModelInvalid(f"{model.path} cannot be read: {error.strerror}") from error
    if found != model.sha256.lower():
        raise DigestMismatch(
            f"{model.path} has SHA-256 {found[:16]}…, but {model.sha256[:16].lower()}… is "
            "expected; pull it again, or correct the card"
        )


def check_size(path: str, name: str, shape: Sequence[int | None], item_bytes: int) -> None:
    """Raises ModelInvalid where a tensor is larger than anything a camera feeds: a file or card
    of a few bytes can ask for more memory than the machine has."""
    size = math.prod(n or 1 for n in shape) * item_bytes
    if size > MAX_TENSOR_BYTES:
        raise ModelInvalid(
            f"{path}: tensor {name!r} of shape {list(shape)} takes {size / 2**30:,.1f} GiB; "
            f"at most {MAX_TENSOR_BYTES >> 30} GiB is allowed"
        )
