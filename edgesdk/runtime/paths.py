"""Where a node keeps things, and what it is called."""

from __future__ import annotations

import os
import re
import socket
from pathlib import Path

from edgesdk.config import NodeConfig
from edgesdk.models import default_cache

__all__ = ["cache_directory", "node_name", "state_directory"]


def node_name(config: NodeConfig) -> str:
    """The configured name, or the host's."""
    if config.name:
        return config.name
    return re.sub(r"[^A-Za-z0-9._-]", "-", socket.gethostname())[:64].strip("-.") or "node"


def state_directory(config: NodeConfig) -> Path:
    """``[node] state``, or ``$XDG_STATE_HOME/edgesdk``; not made here."""
    if config.state:
        return Path(config.state)
    home = os.environ.get("XDG_STATE_HOME", "")
    base = Path(home) if os.path.isabs(home) else Path.home() / ".local" / "state"
    return base / "edgesdk"


def cache_directory(config: NodeConfig) -> Path:
    """``[node] cache``, or ``$XDG_CACHE_HOME/edgesdk``; not made here."""
    return Path(config.cache) if config.cache else default_cache()
