"""Logging to standard error for the commands: one line an event, credentials hidden.

A library that is embedded sets up no logging; only the commands call :func:`log_to_stderr`.
"""

from __future__ import annotations

import logging
import sys

from edgesdk.redaction import redact

__all__ = ["RedactingFormatter", "log_to_stderr"]


class RedactingFormatter(logging.Formatter):
    """Whatever a record says, of edgesdk or of a library, goes through ``redact``."""

    def format(self, record: logging.LogRecord) -> str:
        return redact(super().format(record))


def log_to_stderr(*, verbose: bool) -> None:
    """Warnings, and what edgesdk does where *verbose*; called again it replaces what it set up."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(RedactingFormatter("%(levelname).1s %(name)s: %(message)s"))
    handler.set_name("edgesdk")
    root = logging.getLogger()
    for before in [h for h in root.handlers if h.get_name() == "edgesdk"]:
        root.removeHandler(before)
    root.addHandler(handler)
    logging.getLogger("edgesdk").setLevel(logging.INFO if verbose else logging.WARNING)
