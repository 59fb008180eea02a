"""A node seen from a browser or a monitor on the same machine: metrics, health, live pictures."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from edgesdk.web.server import WebServer

__all__ = ["WebServer"]


def __getattr__(name: str) -> Any:
    if name != "WebServer":
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from edgesdk.web.server import WebServer

    return WebServer
