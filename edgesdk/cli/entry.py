"""The console script: Ctrl-C has an end without a traceback from here, before any import."""

from __future__ import annotations

import gc
import os
import signal
import sys

__all__ = ["main"]


def main() -> None:
    """Runs the command; never returns."""
    _open_closed_streams()
    if sys.argv[1:2] == ["agent"]:
        # Its file is read later than now anyway: from its first moment SIGHUP ends nothing.
        signal.signal(signal.SIGHUP, signal.SIG_IGN)
        # What numpy would do with more threads a node does not do; they spin, from the import on.
        os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
        # Nothing of what is imported becomes garbage, and to look for it is a tenth of the start.
        gc.disable()
    try:
        from edgesdk.cli.main import main as run
    except KeyboardInterrupt:
        sys.exit(130)
    run()


def _open_closed_streams() -> None:
    """Puts the null device where the caller closed a standard stream (``>&-``): a socket or a
    results file would else be given its number, and printed to."""
    for number, name in enumerate(("stdin", "stdout", "stderr")):
        if getattr(sys, name) is None:
            while os.open(os.devnull, os.O_RDWR) < number:
                pass
            setattr(sys, name, open(number, "w" if number else "r", closefd=False))  # noqa: SIM115
