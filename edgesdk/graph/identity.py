"""Content-addressed ids: equal ids, equal computation.

Ids hold no camera, no file and no place: the key of a result is (camera, source incarnation,
sequence, id). They are the same in every process and on every machine.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from typing import Any

import msgspec

__all__ = ["execution_id", "operator_id"]


def _digest(said: list[Any]) -> str:
    return hashlib.sha256(msgspec.msgpack.encode(said, order="deterministic")).hexdigest()


def operator_id(
    *,
    name: str,
    version: int | str,
    parameters: Mapping[str, Any],
    model: str | None = None,
    preprocessing: Mapping[str, Any] | None = None,
    inputs: Sequence[str] = (),
    selectors: Sequence[str] = (),
) -> str:
    """What an operator computes, as 64 hex digits.

    version: of the implementation; for a user's operator with its source's digest. model: the
    card's digest. inputs: ids of the value inputs, in order. selectors: ids of what decides which
    frames it sees, in any order; given for stateful operators and selectors only, since what a
    stateless one says of a frame does not depend on which other frames it saw.
    """
    return _digest(
        [
            "edgesdk.operator/1",
            name,
            version,
            parameters,
            model,
            preprocessing,
            list(inputs),
            sorted(selectors),
        ]
    )


def execution_id(
    operator: str,
    *,
    variant_sha256: str | None = None,
    backend: str | None = None,
    backend_version: str | None = None,
    device: str | None = None,
    precision: str | None = None,
    decoder: str | None = None,
    codec: str | None = None,
) -> str:
    """What produced the bytes of a result, as 64 hex digits: the key of caches and provenance.

    operator: its :func:`operator_id`. decoder: what decoded the frame (``"h264 libavcodec 61.3"``);
    codec: what carried it between nodes, None where it came from the node's own ring.
    """
    return _digest(
        [
            "edgesdk.execution/1",
            operator,
            variant_sha256,
            backend,
            backend_version,
            device,
            precision,
            decoder,
            codec,
        ]
    )
