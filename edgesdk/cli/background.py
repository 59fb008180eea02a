"""Work in a thread, which a signal ends even where it hangs in a library."""

from __future__ import annotations

import threading
from collections.abc import Callable

from edgesdk.cli.interrupts import interrupts

__all__ = ["in_background"]

_START_CANCEL_S = 1.0


def in_background(work: Callable[[], object]) -> bool:
    """Does *work* in a thread, so that a signal ends even what hangs in a library.

    False if a signal came; raises what *work* raised otherwise. Work that does not heed the signal
    is left behind (see :class:`~edgesdk.cli.interrupts.Interrupts`).
    """
    failures: list[BaseException] = []

    def run() -> None:
        try:
            work()
        except BaseException as error:
            failures.append(error)

    thread = threading.Thread(target=run, name="start", daemon=True)
    thread.start()
    while thread.is_alive() and not interrupts.asked.is_set():
        thread.join(0.05)
    if interrupts.asked.is_set():
        thread.join(_START_CANCEL_S)
        interrupts.left_behind = thread.is_alive()
        return False
    if failures:
        raise failures[0]
    return True
