"""What produced the bytes of a result, as it is told between nodes and in the provenance."""

from __future__ import annotations

import hashlib
from typing import Annotated, Literal

import msgspec

__all__ = ["Execution"]

_OF_THE_BYTES = (
    *("model", "backend", "backend_version", "executed_on", "hardware", "precision"),
    "codec",
)
_Text = Annotated[str, msgspec.Meta(max_length=256)]


class Execution(msgspec.Struct, frozen=True, array_like=True):
    """What produced the bytes of a result beside its operator: a variant in a runtime on a node.

    *model*: the variant's SHA-256. *executed_on*: the runtime's name of what ran it, *hardware* its
    maker's. *codec*: what carried the pictures there; None where they came as they were.
    """

    node: _Text
    model: _Text
    backend: _Text
    backend_version: _Text
    device: _Text
    executed_on: _Text
    hardware: _Text
    precision: _Text
    evidence: Literal["real", "stand-in"] = "real"
    codec: _Text | None = None

    @property
    def key(self) -> str:
        """Hex SHA-256: equal keys, equal bytes of equal frames."""
        said = [getattr(self, name) for name in _OF_THE_BYTES]
        return hashlib.sha256(msgspec.msgpack.encode(said)).hexdigest()

    def differences(self, other: Execution) -> list[str]:
        """What must be equal for equal bytes, and is not, in the provenance's words."""
        return [
            name.replace("codec", "wire codec").replace("model", "variant").replace("_", " ")
            for name in _OF_THE_BYTES
            if getattr(self, name) != getattr(other, name)
        ]
