"""The console script: Ctrl-C has an end without a traceback from here, before any import."""

from __future__ import annotations

import sys

__all__ = ["main"]


def main() -> None:
    """Runs the command; never returns."""
    try:
        from edgesdk.cli.main import main as run
    except KeyboardInterrupt:
        sys.exit(130)
    run()
