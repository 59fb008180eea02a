"""TensorFlow's .pb, a GraphDef or SavedModel: read only as far as to tell whether it is whole.

What its tensors are is left to the runtime, which infers their shapes.
"""

from __future__ import annotations

from pathlib import Path

from edgesdk.errors import ModelInvalid
from edgesdk.models.embedded.facts import FileFacts
from edgesdk.models.embedded.protobuf import Damaged, fields, view_of

__all__ = ["read_tensorflow"]

_NODE, _META_GRAPH = 1, 2


def read_tensorflow(path: Path) -> FileFacts:
    try:
        parts = {number for number, value in fields(view_of(path)) if not isinstance(value, int)}
    except Damaged as e:
        raise ModelInvalid(f"{path}: truncated, damaged or not TensorFlow's: {e}") from None
    if not parts & {_NODE, _META_GRAPH}:
        raise ModelInvalid(f"{path}: not a TensorFlow model: it has no graph")
    return FileFacts(format="pb")
