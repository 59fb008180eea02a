"""Runs a node in the foreground: start-up, a live table, the end, and the words about it."""

from __future__ import annotations

import os
import sys
import threading
import time
from typing import TYPE_CHECKING

from edgesdk.cli.interrupts import Interrupts
from edgesdk.errors import Cancelled
from edgesdk.records import encode_line

if TYPE_CHECKING:
    from edgesdk.runtime import Node

__all__ = ["run_until_done"]

_START_CANCEL_S = 1.2


def run_until_done(node: Node, *, duration: float | None, as_json: bool) -> None:
    """Starts *node*, waits for its end, *duration* seconds or a signal, stops it, and says how it
    went: a table while it runs, where standard error is a terminal; then the summary."""
    with Interrupts() as interrupts:
        started = _start(node, interrupts)
        if started:
            end = None if duration is None else time.monotonic() + duration
            while not interrupts.asked.is_set():
                left = 3600.0 if end is None else end - time.monotonic()
                if left <= 0 or node.wait(min(left, 0.1)):
                    break
        node.stop()
    summary = node.summary()
    if as_json:
        sys.stdout.buffer.write(encode_line(summary))
        sys.stdout.flush()


def _start(node: Node, interrupts: Interrupts) -> bool:
    """Starts in a thread, so that a signal ends even a start that hangs in a library."""
    failure: list[BaseException] = []

    def start() -> None:
        try:
            node.start(cancel=interrupts.asked)
        except BaseException as error:
            failure.append(error)

    thread = threading.Thread(target=start, name="start", daemon=True)
    thread.start()
    while thread.is_alive() and not interrupts.asked.is_set():
        thread.join(0.05)
    if interrupts.asked.is_set():
        thread.join(_START_CANCEL_S)
        if thread.is_alive():
            sys.stdout.flush()
            os._exit(0)
    if failure and not (isinstance(failure[0], Cancelled) and interrupts.asked.is_set()):
        raise failure[0]
    return not failure
