"""Runs compiled graphs on one node: sessions, executors, the ledger, results."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from edgesdk.runtime.node import Node

__all__ = ["Node"]


def __getattr__(name: str) -> Any:
    if name != "Node":
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from edgesdk.runtime.node import Node

    return Node
