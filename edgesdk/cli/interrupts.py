"""SIGINT and SIGTERM: the first asks to end, the second ends. SIGHUP, where one heeds it."""

from __future__ import annotations

import os
import signal
import sys
import threading
from types import FrameType, TracebackType
from typing import Any

__all__ = ["Interrupts", "clear_shared_memory", "interrupts"]


class Interrupts:
    """While entered, sets :attr:`asked` at the first SIGINT or SIGTERM; a second one ends the
    process at once. Must be entered by the main thread.

    ``left_behind``: a thread hangs in a library and was given up, so that the process must be ended
    without waiting for it. :attr:`hung_up` is set at each SIGHUP, once :meth:`heed_hangups` was
    called; before, and for others, it ends the process as ever.
    """

    def __init__(self) -> None:
        self.asked = threading.Event()
        self.hung_up = threading.Event()
        self.left_behind = False
        self._before: dict[int, Any] = {}

    def __enter__(self) -> Interrupts:
        for number in (signal.SIGINT, signal.SIGTERM):
            self._before[number] = signal.signal(number, self._handle)
        return self

    def heed_hangups(self) -> None:
        """From here on SIGHUP asks, and ends nothing. On the main thread, while entered."""
        self._before[signal.SIGHUP] = signal.signal(
            signal.SIGHUP, lambda number, frame: self.hung_up.set()
        )

    def __exit__(
        self,
        kind: type[BaseException] | None,
        value: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        for number, before in self._before.items():
            signal.signal(number, before)

    def _handle(self, number: int, frame: FrameType | None) -> None:
        if self.asked.is_set():
            # The capture workers see our end, and remove their rings.
            clear_shared_memory()
            os._exit(128 + number)
        self.asked.set()


def clear_shared_memory() -> None:
    """Removes the names of a node that ends without closing what it opened."""
    # Not imported here: what hangs may be the import itself.
    leftovers = sys.modules.get("edgesdk.runtime.leftovers")
    if leftovers is not None and hasattr(leftovers, "remove_own"):
        leftovers.remove_own()


interrupts = Interrupts()
"""Those of this process; ``demo`` and ``run`` are entered with it."""
