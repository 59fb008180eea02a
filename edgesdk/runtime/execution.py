"""What produced the bytes of a result, as it is told between nodes and in the provenance."""

from __future__ import annotations

import hashlib
from typing import Annotated, Literal

import msgspec

__all__ = ["Execution"]

_Text = Annotated[str, msgspec.Meta(max_length=256)]


class Execution(msgspec.Struct, frozen=True):
    """What produced the bytes of a result beside its operator: a variant in a runtime on a node.

    node, executed_on and device as in the provenance; *codec* is what carried the pictures, None
    where they came as they were.
    """

    node: _Text
    model: _Text
    backend: _Text
    backend_version: _Text
    device: _Text
    executed_on: _Text
    precision: _Text
    evidence: Literal["real", "stand-in"] = "real"
    codec: _Text | None = None

    @property
    def key(self) -> str:
        """Hex SHA-256 of all but the node: equal keys, equal bytes of equal inputs."""
        said = (self.model, self.backend, self.backend_version, self.executed_on, self.precision)
        return hashlib.sha256(msgspec.msgpack.encode((*said, self.codec))).hexdigest()
